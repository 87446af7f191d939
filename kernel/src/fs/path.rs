//! A place in the tree of mounts: a [`Path`] is a directory entry seen through a mount.

use alloc::sync::Arc;

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;

/// A directory entry and the mount through which it was reached. Cheap to clone; keeps both alive.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The entry, in the mount's file system.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode here.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether both name the same entry of the same mount.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}
