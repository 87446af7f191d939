//! New entries: mkdir(2), mknod(2), symlink(2), link(2), and the creating half of open(2).

use alloc::sync::Arc;

use linux_raw_sys::general::{S_ISGID, S_ISVTX};

use super::super::inode::{Inode, NewInode, NewNode};
use super::super::metadata::FileType;
use super::super::name::Name;
use super::super::path::Path;
use super::super::walk::{self, Viewer};
use super::{may_add, touch_change_time, touch_directory};
use crate::errno::{Errno, Result};

/// Makes a new inode called `name` in `directory`. `permissions` have the umask applied.
///
/// # Errors
/// `EEXIST`, `EROFS`, `EACCES`, `ENOENT` (the directory was removed), and the file system's.
pub fn create(
    viewer: &Viewer,
    directory: &Path,
    name: &Name,
    node: NewNode<'_>,
    permissions: u16,
) -> Result<Path> {
    let _guard = directory.dentry.lock_directory();
    must_be_free(directory, name)?;
    may_add(directory, viewer)?;
    let new = owned(viewer, directory, node, permissions);
    let entries = directory.inode().directory().ok_or(Errno::ENOTDIR)?;
    let inode = entries.create(name, &new)?;
    touch_directory(directory);
    let dentry = super::super::dentry::Dentry::enter(&directory.dentry, name, inode)?;
    Ok(Path { mount: directory.mount.clone(), dentry })
}

/// Makes a regular file without a name in the file system of `directory` (`O_TMPFILE`).
///
/// # Errors
/// `EROFS`, `EACCES`, `EOPNOTSUPP`, and the file system's.
pub fn create_unnamed(
    viewer: &Viewer,
    directory: &Path,
    permissions: u16,
) -> Result<Arc<dyn Inode>> {
    if directory.mount.is_read_only() {
        return Err(Errno::EROFS);
    }
    may_add(directory, viewer)?;
    let new = owned(viewer, directory, NewNode::Regular, permissions);
    directory.inode().directory().ok_or(Errno::ENOTDIR)?.create_unnamed(&new)
}

/// Makes `name` in `directory` another name of the file at `target`.
///
/// # Errors
/// `EEXIST`, `EXDEV` (another mount), `EPERM` (a directory), `ENOENT` (removed already), `EROFS`, `EACCES`, and the
/// file system's.
pub fn link(viewer: &Viewer, target: &Path, directory: &Path, name: &Name) -> Result<()> {
    let guard = directory.dentry.lock_directory();
    match walk::lookup_locked(&directory.dentry, name) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    if !Arc::ptr_eq(&target.mount, &directory.mount) {
        return Err(Errno::EXDEV);
    }
    if directory.mount.is_read_only() {
        return Err(Errno::EROFS);
    }
    may_add(directory, viewer)?;
    if target.inode().file_type() == FileType::Directory {
        return Err(Errno::EPERM);
    }
    if target.dentry.is_unlinked() && target.inode().metadata().links == 0 {
        return Err(Errno::ENOENT);
    }
    directory.inode().directory().ok_or(Errno::ENOTDIR)?.attach(name, target.inode())?;
    touch_directory(directory);
    drop(guard);
    touch_change_time(&**target.inode());
    Ok(())
}

/// Checks that there is no entry `name` yet, and that one could be made.
fn must_be_free(directory: &Path, name: &Name) -> Result<()> {
    match walk::lookup_locked(&directory.dentry, name) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) if directory.mount.is_read_only() => Err(Errno::EROFS),
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The new inode's owner and group: the caller's, or the group of a set-group-id directory (inode(7)).
fn owned<'a>(
    viewer: &Viewer,
    directory: &Path,
    node: NewNode<'a>,
    permissions: u16,
) -> NewInode<'a> {
    let parent = directory.inode().metadata();
    let inherits = u32::from(parent.permissions) & S_ISGID != 0;
    let is_directory = matches!(node, NewNode::Directory);
    let mut permissions = permissions;
    if is_directory {
        permissions &= 0o777 | S_ISVTX as u16;
        if inherits {
            permissions |= S_ISGID as u16;
        }
    }
    let user = viewer.credentials.user.file_system;
    let group = if inherits { parent.group } else { viewer.credentials.group.file_system };
    NewInode { node, permissions, user, group }
}
