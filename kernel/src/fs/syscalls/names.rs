//! System calls that change names: mkdir(2), unlink(2), rename(2), link(2), symlink(2), mknod(2), readlink(2).

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::names::{self, Removal, RenameEnd, RenameMode};
use super::super::{DeviceNumber, Fd, FileType, Last, LinkTarget, NewNode, Parent, WalkFlags};
use super::{TrailingSlash, at_flags, context, find_new, find_parent, find_text, viewer};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserCString};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(82, rename(from: UserCString, to: UserCString)),
    syscall!(83, mkdir(path: UserCString, mode: u32)),
    syscall!(84, rmdir(path: UserCString)),
    syscall!(86, link(from: UserCString, to: UserCString)),
    syscall!(87, unlink(path: UserCString)),
    syscall!(88, symlink(target: UserCString, path: UserCString)),
    syscall!(89, readlink(path: UserCString, buffer: UserAddr, size: i32)),
    syscall!(133, mknod(path: UserCString, mode: u32, device: u32)),
    syscall!(258, mkdirat(directory: Fd, path: UserCString, mode: u32)),
    syscall!(259, mknodat(directory: Fd, path: UserCString, mode: u32, device: u32)),
    syscall!(263, unlinkat(directory: Fd, path: UserCString, flags: u32)),
    syscall!(264, renameat(from_directory: Fd, from: UserCString, to_directory: Fd, to: UserCString)),
    syscall!(265, linkat(from_directory: Fd, from: UserCString, to_directory: Fd, to: UserCString, flags: u32)),
    syscall!(266, symlinkat(target: UserCString, directory: Fd, path: UserCString)),
    syscall!(267, readlinkat(directory: Fd, path: UserCString, buffer: UserAddr, size: i32)),
    syscall!(316, renameat2(from_directory: Fd, from: UserCString, to_directory: Fd, to: UserCString, flags: u32)),
];

/// mkdir(2).
fn mkdir(caller: &mut Caller<'_>, path: UserCString, mode: u32) -> Result {
    mkdirat(caller, Fd::CWD, path, mode)
}

/// mkdirat(2).
fn mkdirat(caller: &mut Caller<'_>, directory: Fd, path: UserCString, mode: u32) -> Result {
    let path = path.read_path()?;
    let (parent, name) = find_new(caller, directory, &path, TrailingSlash::Allowed)?;
    let permissions = mode as u16 & 0o1777 & !context(caller).umask();
    names::create(&viewer(caller), &parent, &name, NewNode::Directory, permissions)?;
    Ok(0)
}

/// mknod(2).
fn mknod(caller: &mut Caller<'_>, path: UserCString, mode: u32, device: u32) -> Result {
    mknodat(caller, Fd::CWD, path, mode, device)
}

/// mknodat(2).
fn mknodat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    mode: u32,
    device: u32,
) -> Result {
    let number = DeviceNumber::decode(device);
    let node = match FileType::from_mode(mode) {
        None if mode & abi::S_IFMT == 0 => NewNode::Regular,
        Some(FileType::Regular) => NewNode::Regular,
        Some(FileType::CharacterDevice) => NewNode::CharacterDevice(number),
        Some(FileType::BlockDevice) => NewNode::BlockDevice(number),
        Some(FileType::Fifo) => NewNode::Fifo,
        Some(FileType::Socket) => NewNode::Socket,
        Some(FileType::Directory) => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let path = path.read_path()?;
    let (parent, name) = find_new(caller, directory, &path, TrailingSlash::Refused)?;
    let is_device = matches!(node, NewNode::CharacterDevice(_) | NewNode::BlockDevice(_));
    if is_device && !caller.thread.credentials().has(Capability::Mknod) {
        return Err(Errno::EPERM);
    }
    let permissions = mode as u16 & 0o7777 & !context(caller).umask();
    names::create(&viewer(caller), &parent, &name, node, permissions)?;
    Ok(0)
}

/// symlink(2).
fn symlink(caller: &mut Caller<'_>, target: UserCString, path: UserCString) -> Result {
    symlinkat(caller, target, Fd::CWD, path)
}

/// symlinkat(2).
fn symlinkat(
    caller: &mut Caller<'_>,
    target: UserCString,
    directory: Fd,
    path: UserCString,
) -> Result {
    let target = target.read_path()?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = path.read_path()?;
    let (parent, name) = find_new(caller, directory, &path, TrailingSlash::Refused)?;
    names::create(&viewer(caller), &parent, &name, NewNode::SymbolicLink(&target), 0o777)?;
    Ok(0)
}

/// link(2).
fn link(caller: &mut Caller<'_>, from: UserCString, to: UserCString) -> Result {
    linkat(caller, Fd::CWD, from, Fd::CWD, to, 0)
}

/// linkat(2).
fn linkat(
    caller: &mut Caller<'_>,
    from_directory: Fd,
    from: UserCString,
    to_directory: Fd,
    to: UserCString,
    flags: u32,
) -> Result {
    if flags & !(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let empty = flags & abi::AT_EMPTY_PATH != 0;
    if empty && !caller.thread.credentials().has(Capability::DacReadSearch) {
        return Err(Errno::ENOENT);
    }
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::FOLLOW, flags & abi::AT_SYMLINK_FOLLOW != 0);
    walk.set(WalkFlags::EMPTY, empty);
    let from = from.read_path()?;
    let target = find_text(caller, from_directory, &from, walk)?;
    let to = to.read_path()?;
    let (parent, name) = find_new(caller, to_directory, &to, TrailingSlash::Refused)?;
    names::link(&viewer(caller), &target, &parent, &name)?;
    Ok(0)
}

/// unlink(2).
fn unlink(caller: &mut Caller<'_>, path: UserCString) -> Result {
    unlinkat(caller, Fd::CWD, path, 0)
}

/// rmdir(2).
fn rmdir(caller: &mut Caller<'_>, path: UserCString) -> Result {
    unlinkat(caller, Fd::CWD, path, abi::AT_REMOVEDIR)
}

/// unlinkat(2).
fn unlinkat(caller: &mut Caller<'_>, directory: Fd, path: UserCString, flags: u32) -> Result {
    if flags & !abi::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path()?;
    let parent = find_parent(caller, directory, &path)?;
    let viewer = viewer(caller);
    if flags & abi::AT_REMOVEDIR != 0 {
        let name = match parent.last {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Here => return Err(Errno::EBUSY),
        };
        names::remove(&viewer, &parent.directory, &name, Removal::Directory)?;
        return Ok(0);
    }
    let name = parent.last.name(Errno::EISDIR)?;
    if parent.trailing_slash {
        // A name with a slash is a directory's, which unlink does not remove.
        let entry = super::super::walk::lookup_child(&parent.directory.dentry, &name)?;
        let is_directory = entry.inode().file_type() == FileType::Directory;
        return Err(if is_directory { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    names::remove(&viewer, &parent.directory, &name, Removal::File)?;
    Ok(0)
}

/// rename(2).
fn rename(caller: &mut Caller<'_>, from: UserCString, to: UserCString) -> Result {
    renameat2(caller, Fd::CWD, from, Fd::CWD, to, 0)
}

/// renameat(2).
fn renameat(
    caller: &mut Caller<'_>,
    from_directory: Fd,
    from: UserCString,
    to_directory: Fd,
    to: UserCString,
) -> Result {
    renameat2(caller, from_directory, from, to_directory, to, 0)
}

/// renameat2(2).
fn renameat2(
    caller: &mut Caller<'_>,
    from_directory: Fd,
    from: UserCString,
    to_directory: Fd,
    to: UserCString,
    flags: u32,
) -> Result {
    let mode = match flags {
        0 => RenameMode::Replace,
        abi::RENAME_NOREPLACE => RenameMode::NoReplace,
        abi::RENAME_EXCHANGE => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    let from = from.read_path()?;
    let to = to.read_path()?;
    let from = find_parent(caller, from_directory, &from)?;
    let to = find_parent(caller, to_directory, &to)?;
    if !alloc::sync::Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno::EXDEV);
    }
    let from = rename_end(from, Errno::EBUSY)?;
    let taken = if mode == RenameMode::NoReplace { Errno::EEXIST } else { Errno::EBUSY };
    let to = rename_end(to, taken)?;
    names::rename(&viewer(caller), &from, &to, mode)?;
    Ok(0)
}

fn rename_end(parent: Parent, error: Errno) -> Result<RenameEnd> {
    let Parent { directory, last, trailing_slash } = parent;
    Ok(RenameEnd { directory, name: last.name(error)?, trailing_slash })
}

/// readlink(2).
fn readlink(caller: &mut Caller<'_>, path: UserCString, buffer: UserAddr, size: i32) -> Result {
    readlinkat(caller, Fd::CWD, path, buffer, size)
}

/// readlinkat(2). An empty path names the descriptor itself, which is then a link opened with `O_PATH`.
fn readlinkat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    buffer: UserAddr,
    size: i32,
) -> Result {
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(Errno::EINVAL)?;
    let path = path.read_path()?;
    let flags = at_flags(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH, u32::MAX)?;
    let place = find_text(caller, directory, &path, flags)?;
    if place.inode().file_type() != FileType::SymbolicLink {
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let text = match place.inode().read_link()? {
        LinkTarget::Text(text) => text,
        LinkTarget::Place(target) => target.display_text(&context(caller).root())?,
    };
    let count = text.len().min(size);
    user::write_bytes(buffer, &text[..count])?;
    Ok(count)
}
