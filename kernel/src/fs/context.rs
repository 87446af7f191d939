//! Where a process stands in the tree: root, working directory and umask ([`FsContext`]).
//!
//! Threads share one (`CLONE_FS`); fork copies it. One spin lock of rank `FILES` guards the two places; whatever is
//! replaced is dropped after the lock is released.

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};

use super::path::Path;

#[derive(Clone)]
struct Places {
    root: Path,
    working_directory: Path,
}

/// The file-system context of a process (chroot(2), chdir(2), umask(2)).
pub struct FsContext {
    places: SpinLock<Places>,
    umask: AtomicU32,
}

impl FsContext {
    /// What init starts with: everything at `root`, umask 022.
    #[must_use]
    pub fn new(root: Path) -> Arc<Self> {
        let places = Places { working_directory: root.clone(), root };
        Arc::new(Self { places: SpinLock::new(Rank::FILES, places), umask: AtomicU32::new(0o022) })
    }

    /// A copy that changes on its own from now on (fork(2), `CLONE_FS` unset).
    #[must_use]
    pub fn duplicate(&self) -> Arc<Self> {
        let places = self.places.lock().clone();
        Arc::new(Self {
            places: SpinLock::new(Rank::FILES, places),
            umask: AtomicU32::new(self.umask.load(Ordering::Relaxed)),
        })
    }

    /// Where `/` leads.
    #[must_use]
    pub fn root(&self) -> Path {
        self.places.lock().root.clone()
    }

    /// Where relative paths start.
    #[must_use]
    pub fn working_directory(&self) -> Path {
        self.places.lock().working_directory.clone()
    }

    /// Makes `path` the root (chroot(2)).
    pub fn set_root(&self, path: Path) {
        let old = core::mem::replace(&mut self.places.lock().root, path);
        drop(old);
    }

    /// Makes `path` the working directory (chdir(2)).
    pub fn set_working_directory(&self, path: Path) {
        let old = core::mem::replace(&mut self.places.lock().working_directory, path);
        drop(old);
    }

    /// The permission bits that new files do not get.
    #[must_use]
    pub fn umask(&self) -> u16 {
        // A number by itself: it orders nothing.
        (self.umask.load(Ordering::Relaxed) & 0o777) as u16
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, mask: u32) -> u16 {
        (self.umask.swap(mask & 0o777, Ordering::Relaxed) & 0o777) as u16
    }
}
