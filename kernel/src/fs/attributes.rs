//! Changes of metadata as their system calls define them: chmod(2), chown(2), utimensat(2), truncate(2).

use linux_raw_sys::general::{S_ISGID, S_ISUID};

use super::inode::Inode;
use super::metadata::{AttributeChanges, FileType, Metadata, Timestamp};
use super::path::Path;
use super::permission::{self, Permission};
use crate::errno::{Errno, Result};
use crate::task::{Capability, Credentials};

const SET_USER: u16 = S_ISUID as u16;
const SET_GROUP: u16 = S_ISGID as u16;
const GROUP_EXECUTE: u16 = 0o010;

fn must_be_writable(path: &Path) -> Result<()> {
    if path.mount.is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
}

/// Sets the permission bits (chmod(2)).
///
/// # Errors
/// `EROFS`, `EPERM`, `EOPNOTSUPP` on a symbolic link.
pub fn change_mode(path: &Path, permissions: u16, credentials: &Credentials) -> Result<()> {
    must_be_writable(path)?;
    let inode = path.inode();
    if inode.file_type() == FileType::SymbolicLink {
        return Err(Errno::EOPNOTSUPP);
    }
    let metadata = inode.metadata();
    if !permission::is_owner(&metadata, credentials) {
        return Err(Errno::EPERM);
    }
    let mut permissions = permissions & 0o7777;
    if !credentials.in_group(metadata.group) && !credentials.has(Capability::Fsetid) {
        permissions &= !SET_GROUP;
    }
    inode.set_attributes(&AttributeChanges {
        permissions: Some(permissions),
        changed: Some(Timestamp::now()),
        ..AttributeChanges::default()
    })
}

/// Sets owner and group, each unless `None` (chown(2)).
///
/// # Errors
/// `EROFS`, `EPERM`.
pub fn change_owner(
    path: &Path,
    user: Option<u32>,
    group: Option<u32>,
    credentials: &Credentials,
) -> Result<()> {
    must_be_writable(path)?;
    let inode = path.inode();
    let metadata = inode.metadata();
    let owns = credentials.user.file_system == metadata.user;
    if !credentials.has(Capability::Chown) {
        let same_user = user.is_none_or(|user| user == metadata.user);
        let group_allowed =
            group.is_none_or(|group| group == metadata.group || credentials.in_group(group));
        if (user.is_some() || group.is_some()) && !(owns && same_user && group_allowed) {
            return Err(Errno::EPERM);
        }
    }
    inode.set_attributes(&AttributeChanges {
        user,
        group,
        permissions: without_set_id(&metadata),
        changed: Some(Timestamp::now()),
        ..AttributeChanges::default()
    })
}

/// The permission bits without those that a change of owner or content takes away; `None` if that is no change.
fn without_set_id(metadata: &Metadata) -> Option<u16> {
    if metadata.file_type == FileType::Directory {
        return None;
    }
    let old = metadata.permissions;
    let mut new = old & !SET_USER;
    // Without group execution the bit once meant mandatory locking, and stays.
    if old & GROUP_EXECUTE != 0 {
        new &= !SET_GROUP;
    }
    (new != old).then_some(new)
}

/// Takes the set-id bits off a file whose content changes, unless the writer may keep them.
///
/// # Errors
/// The file system's.
pub fn drop_set_id(inode: &dyn Inode, credentials: &Credentials) -> Result<()> {
    let metadata = inode.metadata();
    if metadata.file_type != FileType::Regular || credentials.has(Capability::Fsetid) {
        return Ok(());
    }
    match without_set_id(&metadata) {
        None => Ok(()),
        permissions => {
            inode.set_attributes(&AttributeChanges { permissions, ..AttributeChanges::default() })
        }
    }
}

/// A time that utimensat(2) sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeChange {
    /// Stays (`UTIME_OMIT`).
    Omit,
    /// The time now (`UTIME_NOW`).
    Now,
    /// This time.
    At(Timestamp),
}

/// Sets access and modification time (utimensat(2)).
///
/// # Errors
/// `EROFS`; `EACCES` if both are set to now by somebody who may not write; `EPERM` otherwise.
pub fn change_times(
    path: &Path,
    accessed: TimeChange,
    modified: TimeChange,
    credentials: &Credentials,
) -> Result<()> {
    if accessed == TimeChange::Omit && modified == TimeChange::Omit {
        return Ok(());
    }
    must_be_writable(path)?;
    let inode = path.inode();
    if !permission::is_owner(&inode.metadata(), credentials) {
        if accessed != TimeChange::Now || modified != TimeChange::Now {
            return Err(Errno::EPERM);
        }
        permission::check(&**inode, credentials, Permission::WRITE)?;
    }
    let now = Timestamp::now();
    let resolve = |change| match change {
        TimeChange::Omit => None,
        TimeChange::Now => Some(now),
        TimeChange::At(time) => Some(time),
    };
    inode.set_attributes(&AttributeChanges {
        accessed: resolve(accessed),
        modified: resolve(modified),
        changed: Some(now),
        ..AttributeChanges::default()
    })
}

/// Sets the size of the file at `path` (truncate(2)); the caller checked that the size is no more than it may be.
///
/// # Errors
/// `EISDIR`, `EINVAL` (no regular file), `EACCES`, `EROFS`, and the file system's.
pub fn truncate(path: &Path, size: u64, credentials: &Credentials) -> Result<()> {
    let inode = path.inode();
    match inode.file_type() {
        FileType::Directory => return Err(Errno::EISDIR),
        FileType::Regular => {}
        _ => return Err(Errno::EINVAL),
    }
    permission::check_path(path, credentials, Permission::WRITE)?;
    inode.truncate(size)?;
    drop_set_id(&**inode, credentials)
}
