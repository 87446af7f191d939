//! Who waits for whose record lock, so that a cycle is refused with `EDEADLK` rather than slept in.

use alloc::vec::Vec;

use arch::sync::{Rank, SpinLock};

use super::Owner;
use crate::errno::{Errno, Result};

/// How far a chain of waiters is followed (as on Linux): longer ones count as free of cycles.
const CHAIN_MAX: usize = 10;

/// Pairs of an owner that waits and the owner of the lock that it waits for.
static WAITS: SpinLock<Vec<(Owner, Owner)>> = SpinLock::new(Rank::FILE, Vec::new());

/// An owner that is waiting, until dropped.
pub struct Waiting(Owner);

impl Waiting {
    /// `owner` starts to wait.
    pub fn new(owner: Owner) -> Self {
        Self(owner)
    }

    /// Records that the wait is for `blocker`.
    ///
    /// # Errors
    /// `EDEADLK` if that one waits, directly or not, for this one; `ENOLCK`.
    pub fn blocked_by(&self, blocker: Owner) -> Result<()> {
        // Open file descriptions have no single waiter that a cycle could go through.
        if !matches!((self.0, blocker), (Owner::Table(_), Owner::Table(_))) {
            return Ok(());
        }
        let mut waits = WAITS.lock();
        waits.retain(|(waiter, _)| *waiter != self.0);
        let mut at = blocker;
        for _ in 0..CHAIN_MAX {
            let Some((_, next)) = waits.iter().find(|(waiter, _)| *waiter == at) else { break };
            if *next == self.0 {
                return Err(Errno::EDEADLK);
            }
            at = *next;
        }
        waits.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
        waits.push((self.0, blocker));
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.lock().retain(|(waiter, _)| *waiter != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_of_waiters_is_refused() {
        let [a, b, c] = [101, 102, 103].map(Owner::Table);
        let (first, second, third) = (Waiting::new(a), Waiting::new(b), Waiting::new(c));
        assert_eq!(first.blocked_by(b), Ok(()));
        assert_eq!(second.blocked_by(c), Ok(()));
        assert_eq!(third.blocked_by(a), Err(Errno::EDEADLK));
        drop(second);
        assert_eq!(third.blocked_by(a), Ok(()));
    }
}
