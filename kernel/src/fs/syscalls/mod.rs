//! The system calls about files, by area.
//!
//! Handlers decode and check arguments in Linux's order and leave the work to the modules above. What they share is
//! here: the caller's tables, paths relative to a descriptor, and flags.

pub mod attributes;
pub mod control;
pub mod descriptors;
pub mod directories;
pub mod extended;
pub mod io;
pub mod ioctl;
pub mod locks;
pub mod mounts;
pub mod names;
pub mod opening;
mod owner;
pub mod positions;
mod records;
pub mod statistics;
pub mod status;
pub mod synchronise;
pub mod transfer;

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as abi;

use super::flags::AccessMode;
use super::name::Name;
use super::{
    Fd, File, FileTable, FsContext, Last, Parent, Path, Viewer, WalkFlags, resolve, resolve_parent,
};
use crate::errno::{Errno, Result};
use crate::memory::user::UserCString;
use crate::syscall::{Caller, Syscall};
use crate::task::Resource;

/// The tables of all areas.
pub const SYSCALLS: &[&[Syscall]] = &[
    attributes::SYSCALLS,
    control::SYSCALLS,
    descriptors::SYSCALLS,
    directories::SYSCALLS,
    extended::SYSCALLS,
    io::SYSCALLS,
    ioctl::SYSCALLS,
    locks::SYSCALLS,
    mounts::SYSCALLS,
    names::SYSCALLS,
    opening::SYSCALLS,
    positions::SYSCALLS,
    statistics::SYSCALLS,
    status::SYSCALLS,
    synchronise::SYSCALLS,
    transfer::SYSCALLS,
];

/// The caller's descriptor table.
fn files(caller: &Caller<'_>) -> Arc<FileTable> {
    caller.thread.files()
}

/// Where the caller stands.
fn context(caller: &Caller<'_>) -> Arc<FsContext> {
    caller.thread.fs()
}

/// The caller's viewpoint for walks.
fn viewer(caller: &Caller<'_>) -> Viewer {
    Viewer::new(&context(caller), caller.thread.credentials())
}

/// The open file behind `descriptor`.
#[inline]
fn file(caller: &Caller<'_>, descriptor: Fd) -> Result<Arc<File>> {
    caller.thread.file(descriptor).ok_or(Errno::EBADF)
}

/// The caller's limit on descriptors.
fn descriptor_limit(caller: &Caller<'_>) -> u64 {
    caller.thread.process().limit(Resource::OpenFiles)
}

/// Where a path relative to `directory` starts. An absolute path does not look at the descriptor at all.
pub(crate) fn start(caller: &Caller<'_>, directory: Fd, path: &[u8]) -> Result<Path> {
    if path.first() == Some(&b'/') {
        return Ok(context(caller).root());
    }
    if directory == Fd::CWD {
        return Ok(context(caller).working_directory());
    }
    let file = files(caller).get_any(directory)?;
    if !path.is_empty() && file.inode().directory().is_none() {
        return Err(Errno::ENOTDIR);
    }
    Ok(file.path().clone())
}

/// What `path` relative to `directory` names.
fn find(caller: &Caller<'_>, directory: Fd, path: UserCString, flags: WalkFlags) -> Result<Path> {
    let path = path.read_path()?;
    find_text(caller, directory, &path, flags)
}

/// As [`find`], for a path that was read already.
fn find_text(caller: &Caller<'_>, directory: Fd, path: &[u8], flags: WalkFlags) -> Result<Path> {
    if path.is_empty() && !flags.contains(WalkFlags::EMPTY) {
        return Err(Errno::ENOENT);
    }
    resolve(&viewer(caller), start(caller, directory, path)?, path, flags)
}

/// The directory and the last component that `path` relative to `directory` names.
fn find_parent(caller: &Caller<'_>, directory: Fd, path: &[u8]) -> Result<Parent> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    resolve_parent(&viewer(caller), start(caller, directory, path)?, path)
}

/// As [`find_parent`], for calls that make the entry: the name of the new entry. A trailing slash stands only for a
/// directory.
fn find_new(
    caller: &Caller<'_>,
    directory: Fd,
    path: &[u8],
    slash: TrailingSlash,
) -> Result<(Path, Name)> {
    let parent = find_parent(caller, directory, path)?;
    let name = match parent.last {
        Last::Name(name) => name,
        _ => return Err(Errno::EEXIST),
    };
    if parent.trailing_slash && slash == TrailingSlash::Refused {
        let exists = super::walk::lookup_child(&parent.directory.dentry, &name).is_ok();
        return Err(if exists { Errno::EEXIST } else { Errno::ENOENT });
    }
    Ok((parent.directory, name))
}

/// Whether a new name may be followed by a slash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TrailingSlash {
    /// It is a directory's.
    Allowed,
    /// It is not.
    Refused,
}

/// The walk flags of `AT_SYMLINK_NOFOLLOW`, `AT_SYMLINK_FOLLOW`-less calls and `AT_EMPTY_PATH`, with no other bit set.
fn at_flags(flags: u32, allowed: u32) -> Result<WalkFlags> {
    if flags & !allowed != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk = WalkFlags::FOLLOW;
    walk.set(WalkFlags::FOLLOW, flags & abi::AT_SYMLINK_NOFOLLOW == 0);
    walk.set(WalkFlags::EMPTY, flags & abi::AT_EMPTY_PATH != 0);
    Ok(walk)
}

/// A buffer of `length` zero bytes whose allocation may fail.
fn try_zeroed(length: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(length, 0);
    Ok(buffer)
}

/// Whether `file` was opened with `O_PATH`.
fn is_path_only(file: &File) -> bool {
    file.access() == AccessMode::Path
}
