//! What mount(2) and umount2(2) do to the tree, permission and arguments checked.

use alloc::sync::Arc;

use super::super::inode::FileSystem;
use super::super::metadata::FileType;
use super::super::path::Path;
use super::{Mount, MountFlags, table};
use crate::errno::{Errno, Result};

/// How far a bind mount goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BindDepth {
    /// The one mount (`MS_BIND`).
    Single,
    /// With the mounts below (`MS_BIND | MS_REC`).
    Recursive,
}

/// How a mount is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Only if nobody uses it.
    Unused,
    /// At once, with all mounts below; it goes when the last user does (`MNT_DETACH`).
    Detach,
}

fn is_directory(path: &Path) -> bool {
    path.inode().file_type() == FileType::Directory
}

/// A directory covers only a directory, a file only a file.
fn check_kinds(covering: bool, place: &Path) -> Result<()> {
    if place.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    if covering == is_directory(place) { Ok(()) } else { Err(Errno::ENOTDIR) }
}

/// Mounts `file_system` at `place`, shown as `source`.
///
/// # Errors
/// `ENOTDIR, ENOENT, EBUSY, ENOSPC, ENOMEM`.
pub fn mount(
    file_system: Arc<dyn FileSystem>,
    flags: MountFlags,
    source: &[u8],
    place: &Path,
) -> Result<()> {
    check_kinds(true, place)?;
    table::cover(place, &Mount::new(file_system, flags, source)?)
}

/// Lets what stands at `from` appear at `place` too.
///
/// # Errors
/// As [`mount`].
pub fn bind(from: &Path, place: &Path, depth: BindDepth) -> Result<()> {
    check_kinds(is_directory(from), place)?;
    let below = match depth {
        BindDepth::Single => alloc::vec::Vec::new(),
        BindDepth::Recursive => table::below(&from.mount, &from.dentry)?,
    };
    let top = copy_of(&from.mount, from)?;
    table::cover(place, &top)?;
    // Outermost first, so the copy of a mount's parent is there before the mount's own.
    let mut copies = alloc::vec![(from.mount.clone(), top)];
    for original in below {
        let Some(at) = original.place() else { continue };
        let parent = copies.iter().find(|(parent, _)| Arc::ptr_eq(parent, &at.mount));
        let Some((_, parent_copy)) = parent else { continue };
        let copy = copy_of(&original, &original.root_path())?;
        table::cover(&Path { mount: parent_copy.clone(), dentry: at.dentry }, &copy)?;
        copies.push((original, copy));
    }
    Ok(())
}

fn copy_of(mount: &Arc<Mount>, root: &Path) -> Result<Arc<Mount>> {
    let file_system = mount.file_system().clone();
    Mount::with_root(file_system, root.dentry.clone(), mount.flags(), mount.source())
}

/// Whether `path` is the root of its mount.
fn must_be_mount_root(path: &Path) -> Result<()> {
    if Arc::ptr_eq(&path.dentry, path.mount.root()) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Moves the mount whose root is `from` to `place`.
///
/// # Errors
/// `EINVAL` if `from` is no mount's root or the root of the tree; `ELOOP`; otherwise as [`mount`].
pub fn move_mount(from: &Path, place: &Path) -> Result<()> {
    must_be_mount_root(from)?;
    check_kinds(is_directory(from), place)?;
    table::move_to(place, &from.mount)
}

/// Changes the flags of the mount whose root is `path`.
///
/// # Errors
/// `EINVAL` if `path` is no mount's root, or for options that the file system does not know.
pub fn remount(path: &Path, flags: MountFlags, options: &[u8]) -> Result<()> {
    must_be_mount_root(path)?;
    path.mount.file_system().reconfigure(options)?;
    path.mount.set_flags(flags);
    Ok(())
}

/// Changes the flags of the mount whose root is `path` and leaves its file system alone (`MS_REMOUNT | MS_BIND`).
///
/// # Errors
/// `EINVAL` if `path` is no mount's root.
pub fn set_flags(path: &Path, flags: MountFlags) -> Result<()> {
    must_be_mount_root(path)?;
    path.mount.set_flags(flags);
    Ok(())
}

/// Takes away the mount whose root is `path`.
///
/// # Errors
/// `EINVAL` if it is no mount's root or the root of the tree, `EBUSY`.
pub fn unmount(path: Path, how: Unmount) -> Result<()> {
    /// Ours.
    const REFERENCES: usize = 1;
    must_be_mount_root(&path)?;
    let mount = path.mount;
    drop(path.dentry);
    match how {
        Unmount::Detach => table::remove_tree(&mount),
        Unmount::Unused => table::remove_unused(&mount, REFERENCES),
    }
}
