//! The open file description: what descriptors refer to ([`File`]).
//!
//! It binds a place in the tree to the operations of its kind, with the access mode it was opened for, its status
//! flags and its position. dup(2) and fork(2) share it through `Arc`; the last reference to go calls
//! [`FileOperations::release`].

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};

use super::flags::{AccessMode, OpenFlags};
use super::inode::Inode;
use super::operations::FileOperations;
use super::path::Path;

/// An open file.
pub struct File {
    path: Path,
    operations: Arc<dyn FileOperations>,
    access: AccessMode,
    status: AtomicU32,
}

impl File {
    /// An open file at `path` that behaves as `operations` say.
    #[must_use]
    pub fn new(path: Path, operations: Arc<dyn FileOperations>, flags: OpenFlags) -> Arc<Self> {
        let status = AtomicU32::new(flags.status().bits());
        Arc::new(Self { path, operations, access: flags.access(), status })
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it refers to.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.path.inode()
    }

    /// How it behaves.
    #[must_use]
    pub fn operations(&self) -> &Arc<dyn FileOperations> {
        &self.operations
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> AccessMode {
        self.access
    }

    /// Its status flags: `O_APPEND`, `O_NONBLOCK` and their like, with the access mode.
    #[must_use]
    pub fn status(&self) -> OpenFlags {
        // The flags order nothing else: a change takes effect for the calls after it.
        OpenFlags::from_bits_retain(self.status.load(Ordering::Relaxed))
    }

    /// Whether calls that would wait fail with `EAGAIN`.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.status().contains(OpenFlags::NONBLOCK)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let operations = self.operations.clone();
        operations.release(self);
    }
}
