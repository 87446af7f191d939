//! Extended attributes (xattr(7)): no file system here keeps any, and each call says so the way Linux does.

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::{Fd, WalkFlags};
use super::{file, find};
use crate::errno::{Errno, Result};
use crate::memory::user::UserCString;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(188, setxattr(path: UserCString, name: UserCString, value: UserAddr, size: usize, flags: u32)),
    syscall!(189, lsetxattr(path: UserCString, name: UserCString, value: UserAddr, size: usize, flags: u32)),
    syscall!(190, fsetxattr(descriptor: Fd, name: UserCString, value: UserAddr, size: usize, flags: u32)),
    syscall!(191, getxattr(path: UserCString, name: UserCString, value: UserAddr, size: usize)),
    syscall!(192, lgetxattr(path: UserCString, name: UserCString, value: UserAddr, size: usize)),
    syscall!(193, fgetxattr(descriptor: Fd, name: UserCString, value: UserAddr, size: usize)),
    syscall!(194, listxattr(path: UserCString, list: UserAddr, size: usize)),
    syscall!(195, llistxattr(path: UserCString, list: UserAddr, size: usize)),
    syscall!(196, flistxattr(descriptor: Fd, list: UserAddr, size: usize)),
    syscall!(197, removexattr(path: UserCString, name: UserCString)),
    syscall!(198, lremovexattr(path: UserCString, name: UserCString)),
    syscall!(199, fremovexattr(descriptor: Fd, name: UserCString)),
    syscall!(303, name_to_handle_at(directory: Fd, path: UserCString, handle: UserAddr, mount: UserAddr, flags: u32)),
];

/// The longest name (`XATTR_NAME_MAX`).
const NAME_LIMIT: usize = 255;
/// The largest value (`XATTR_SIZE_MAX`).
const VALUE_LIMIT: usize = 65536;

/// Reads the name: `ERANGE` for an empty or too long one.
fn check_name(name: UserCString) -> Result<()> {
    let name = name.read(NAME_LIMIT, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(()) }
}

fn check_set(name: UserCString, size: usize, flags: u32) -> Result<()> {
    if flags & !(abi::XATTR_CREATE | abi::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    check_name(name)?;
    if size > VALUE_LIMIT { Err(Errno::E2BIG) } else { Ok(()) }
}

/// setxattr(2).
fn setxattr(
    caller: &mut Caller<'_>,
    path: UserCString,
    name: UserCString,
    _value: UserAddr,
    size: usize,
    flags: u32,
) -> Result {
    check_set(name, size, flags)?;
    find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?;
    Err(Errno::EOPNOTSUPP)
}

/// lsetxattr(2).
fn lsetxattr(
    caller: &mut Caller<'_>,
    path: UserCString,
    name: UserCString,
    _value: UserAddr,
    size: usize,
    flags: u32,
) -> Result {
    check_set(name, size, flags)?;
    find(caller, Fd::CWD, path, WalkFlags::empty())?;
    Err(Errno::EOPNOTSUPP)
}

/// fsetxattr(2).
fn fsetxattr(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    name: UserCString,
    _value: UserAddr,
    size: usize,
    flags: u32,
) -> Result {
    check_set(name, size, flags)?;
    file(caller, descriptor)?;
    Err(Errno::EOPNOTSUPP)
}

/// getxattr(2).
fn getxattr(
    caller: &mut Caller<'_>,
    path: UserCString,
    name: UserCString,
    _value: UserAddr,
    _size: usize,
) -> Result {
    check_name(name)?;
    find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?;
    Err(Errno::EOPNOTSUPP)
}

/// lgetxattr(2).
fn lgetxattr(
    caller: &mut Caller<'_>,
    path: UserCString,
    name: UserCString,
    _value: UserAddr,
    _size: usize,
) -> Result {
    check_name(name)?;
    find(caller, Fd::CWD, path, WalkFlags::empty())?;
    Err(Errno::EOPNOTSUPP)
}

/// fgetxattr(2).
fn fgetxattr(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    name: UserCString,
    _value: UserAddr,
    _size: usize,
) -> Result {
    file(caller, descriptor)?;
    check_name(name)?;
    Err(Errno::EOPNOTSUPP)
}

/// listxattr(2): an empty list.
fn listxattr(caller: &mut Caller<'_>, path: UserCString, _list: UserAddr, _size: usize) -> Result {
    find(caller, Fd::CWD, path, WalkFlags::FOLLOW).map(|_| 0)
}

/// llistxattr(2): an empty list.
fn llistxattr(caller: &mut Caller<'_>, path: UserCString, _list: UserAddr, _size: usize) -> Result {
    find(caller, Fd::CWD, path, WalkFlags::empty()).map(|_| 0)
}

/// flistxattr(2): an empty list.
fn flistxattr(caller: &mut Caller<'_>, descriptor: Fd, _list: UserAddr, _size: usize) -> Result {
    file(caller, descriptor).map(|_| 0)
}

/// removexattr(2).
fn removexattr(caller: &mut Caller<'_>, path: UserCString, name: UserCString) -> Result {
    check_name(name)?;
    find(caller, Fd::CWD, path, WalkFlags::FOLLOW)?;
    Err(Errno::EOPNOTSUPP)
}

/// lremovexattr(2).
fn lremovexattr(caller: &mut Caller<'_>, path: UserCString, name: UserCString) -> Result {
    check_name(name)?;
    find(caller, Fd::CWD, path, WalkFlags::empty())?;
    Err(Errno::EOPNOTSUPP)
}

/// fremovexattr(2).
fn fremovexattr(caller: &mut Caller<'_>, descriptor: Fd, name: UserCString) -> Result {
    file(caller, descriptor)?;
    check_name(name)?;
    Err(Errno::EOPNOTSUPP)
}

/// name_to_handle_at(2): no file system here has handles.
fn name_to_handle_at(
    _caller: &mut Caller<'_>,
    _directory: Fd,
    _path: UserCString,
    _handle: UserAddr,
    _mount: UserAddr,
    _flags: u32,
) -> Result {
    Err(Errno::EOPNOTSUPP)
}
