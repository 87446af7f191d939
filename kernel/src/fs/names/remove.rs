//! Entries that go: unlink(2) and rmdir(2).

use super::super::metadata::FileType;
use super::super::name::Name;
use super::super::path::Path;
use super::super::walk::{self, Viewer};
use super::{may_take, touch_change_time, touch_directory};
use crate::errno::{Errno, Result};

/// What kind of entry shall go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Anything but a directory (unlink).
    File,
    /// An empty directory (rmdir).
    Directory,
}

/// Removes entry `name` from `directory`.
///
/// # Errors
/// `EROFS, ENOENT, EACCES, EPERM` (sticky), `EISDIR`, `ENOTDIR`, `EBUSY` (a mount point), `ENOTEMPTY`.
pub fn remove(viewer: &Viewer, directory: &Path, name: &Name, removal: Removal) -> Result<()> {
    if directory.mount.is_read_only() {
        return Err(Errno::EROFS);
    }
    let victim;
    {
        let _guard = directory.dentry.lock_directory();
        victim = walk::lookup_locked(&directory.dentry, name)?;
        may_take(directory, &**victim.inode(), viewer)?;
        let is_directory = victim.inode().file_type() == FileType::Directory;
        match removal {
            Removal::File if is_directory => return Err(Errno::EISDIR),
            Removal::Directory if !is_directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if victim.mount_count() > 0 {
            return Err(Errno::EBUSY);
        }
        let entries = directory.inode().directory().ok_or(Errno::ENOTDIR)?;
        if is_directory {
            // With the victim's mutex held nothing can be created in it between the check and the removal.
            let _victim_guard = victim.lock_directory();
            if !victim.inode().directory().is_some_and(|entries| entries.is_empty()) {
                return Err(Errno::ENOTEMPTY);
            }
            entries.detach(name)?;
            directory.dentry.forget(name);
        } else {
            entries.detach(name)?;
            directory.dentry.forget(name);
        }
        touch_directory(directory);
    }
    touch_change_time(&**victim.inode());
    Ok(())
}
