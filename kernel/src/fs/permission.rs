//! Who may do what to an inode (path_resolution(7), inode(7)): mode bits against file-system ids, and the
//! capabilities that override them.

use bitflags::bitflags;
use linux_raw_sys::general as abi;

use super::inode::Inode;
use super::metadata::{FileType, Metadata};
use super::path::Path;
use crate::errno::{Errno, Result};
use crate::task::{Capability, Credentials};

bitflags! {
    /// What is asked for, with the bit values of access(2) and of the mode's `rwx`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Permission: u16 {
        /// Execute a file, search a directory.
        const EXECUTE = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// Any of the three execute bits.
const ANY_EXECUTE: u16 = 0o111;

/// Whether `credentials` allow `wanted` on `inode`.
///
/// # Errors
/// `EACCES`.
pub fn check(inode: &dyn Inode, credentials: &Credentials, wanted: Permission) -> Result<()> {
    match inode.permission(credentials) {
        Some(decision) => decision,
        None => check_mode(&inode.metadata(), credentials, wanted),
    }
}

/// As [`check`], and that a mount which cannot be written or executed from does not stand in the way.
///
/// # Errors
/// `EROFS`, `EACCES`.
pub fn check_path(path: &Path, credentials: &Credentials, wanted: Permission) -> Result<()> {
    use super::mount::MountFlags;
    let flags = path.mount.flags();
    let file_type = path.inode().file_type();
    let on_medium =
        matches!(file_type, FileType::Regular | FileType::Directory | FileType::SymbolicLink);
    if wanted.contains(Permission::WRITE) && flags.contains(MountFlags::READ_ONLY) && on_medium {
        return Err(Errno::EROFS);
    }
    if wanted.contains(Permission::EXECUTE)
        && file_type == FileType::Regular
        && flags.contains(MountFlags::NO_EXECUTE)
    {
        return Err(Errno::EACCES);
    }
    check(&**path.inode(), credentials, wanted)
}

/// The decision from the mode bits.
fn check_mode(metadata: &Metadata, credentials: &Credentials, wanted: Permission) -> Result<()> {
    let bits = metadata.permissions;
    let granted = if credentials.user.file_system == metadata.user {
        bits >> 6
    } else if credentials.in_group(metadata.group) {
        bits >> 3
    } else {
        bits
    };
    if Permission::from_bits_truncate(granted).contains(wanted) {
        return Ok(());
    }
    let is_directory = metadata.file_type == FileType::Directory;
    let executable = is_directory || bits & ANY_EXECUTE != 0;
    if credentials.has(Capability::DacOverride)
        && (executable || !wanted.contains(Permission::EXECUTE))
    {
        return Ok(());
    }
    let searching =
        if is_directory { Permission::READ | Permission::EXECUTE } else { Permission::READ };
    if credentials.has(Capability::DacReadSearch) && searching.contains(wanted) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// Whether `credentials` are the owner's of what `metadata` describes, or override ownership.
#[must_use]
pub fn is_owner(metadata: &Metadata, credentials: &Credentials) -> bool {
    credentials.user.file_system == metadata.user || credentials.has(Capability::Fowner)
}

/// Whether the sticky bit of `directory` keeps `credentials` from removing or renaming `victim` in it.
#[must_use]
pub fn is_sticky(directory: &Metadata, victim: &Metadata, credentials: &Credentials) -> bool {
    u32::from(directory.permissions) & abi::S_ISVTX != 0
        && victim.user != credentials.user.file_system
        && directory.user != credentials.user.file_system
        && !credentials.has(Capability::Fowner)
}
