//! Writing to a file against executing it: whoever comes second gets `ETXTBSY` (execve(2), open(2)).

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicI32, Ordering};

use super::inode::Inode;
use crate::errno::{Errno, Result};

/// How often a file is open for writing (positive) or being executed (negative).
#[derive(Default)]
pub struct WriteAccess(AtomicI32);

impl WriteAccess {
    /// Nobody writes or executes.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    /// Moves the count one step away from zero in `direction`, unless it is on the other side.
    fn enter(&self, direction: i32) -> Result<()> {
        let step = |now: i32| (now.signum() != -direction).then_some(now + direction);
        // Acquire and release: whoever gets in after the other side has left sees what that did.
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step)
            .map(|_| ())
            .map_err(|_| Errno::ETXTBSY)
    }

    fn leave(&self, direction: i32) {
        self.0.fetch_sub(direction, Ordering::AcqRel);
    }
}

/// What a claim keeps others from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The file is open for writing: it cannot be executed.
    Write,
    /// The file is being executed: it cannot be opened for writing.
    Execute,
}

impl Claim {
    const fn direction(self) -> i32 {
        match self {
            Self::Write => 1,
            Self::Execute => -1,
        }
    }
}

/// A claim on an inode; given up when dropped.
pub struct WriteClaim {
    inode: Arc<dyn Inode>,
    claim: Claim,
}

impl WriteClaim {
    /// Claims `inode`. Inodes that do not count are claimed by anybody.
    ///
    /// # Errors
    /// `ETXTBSY`.
    pub fn new(inode: &Arc<dyn Inode>, claim: Claim) -> Result<Self> {
        if let Some(access) = inode.write_access() {
            access.enter(claim.direction())?;
        }
        Ok(Self { inode: inode.clone(), claim })
    }
}

impl Drop for WriteClaim {
    fn drop(&mut self) {
        if let Some(access) = self.inode.write_access() {
            access.leave(self.claim.direction());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_and_executors_exclude_each_other() {
        let access = WriteAccess::new();
        assert_eq!(access.enter(1), Ok(()));
        assert_eq!(access.enter(1), Ok(()));
        assert_eq!(access.enter(-1), Err(Errno::ETXTBSY));
        access.leave(1);
        access.leave(1);
        assert_eq!(access.enter(-1), Ok(()));
        assert_eq!(access.enter(1), Err(Errno::ETXTBSY));
    }
}
