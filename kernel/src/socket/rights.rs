//! Open files on their way from one process to another (SCM_RIGHTS).
//!
//! A file in flight stays open although no process has a descriptor for it. Two bounds keep that finite, and both
//! fail with `ETOOMANYREFS` as on Linux:
//!
//! - a user may have as many files in flight as a process may have open (`RLIMIT_NOFILE`), unless privileged;
//! - a socket whose queue holds sockets whose queues hold sockets may be nested [`NESTING_MAX`] deep.
//!
//! Sockets that sit in each other's queues with no descriptor left are not looked for: they stay, within the first
//! bound.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::{Rank, SpinLock};

use crate::errno::{Errno, Result};
use crate::fs::File;

/// How deep sockets in flight may be nested (`MAX_RECURSION_LEVEL`).
pub const NESTING_MAX: u32 = 4;

/// Files in flight by user.
static IN_FLIGHT: SpinLock<BTreeMap<u32, usize>> =
    SpinLock::new(Rank::SOCKET_NAMES, BTreeMap::new());

/// Open files that travel with a message.
pub struct Rights {
    files: Vec<Arc<File>>,
    user: u32,
}

impl core::fmt::Debug for Rights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} files of user {}", self.files.len(), self.user)
    }
}

impl Rights {
    /// `files`, sent by `user`, who may have `limit` in flight.
    ///
    /// # Errors
    /// `ETOOMANYREFS`.
    pub fn new(files: Vec<Arc<File>>, user: u32, limit: u64) -> Result<Arc<Self>> {
        {
            let mut in_flight = IN_FLIGHT.lock();
            let count = in_flight.entry(user).or_insert(0);
            // As Linux does, the bound is checked before the new files are counted.
            if *count as u64 > limit {
                return Err(Errno::ETOOMANYREFS);
            }
            *count += files.len();
        }
        Ok(Arc::new(Self { files, user }))
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[Arc<File>] {
        &self.files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let mut in_flight = IN_FLIGHT.lock();
        if let Some(count) = in_flight.get_mut(&self.user) {
            *count = count.saturating_sub(self.files.len());
            if *count == 0 {
                in_flight.remove(&self.user);
            }
        }
    }
}
