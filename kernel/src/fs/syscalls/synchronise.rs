//! sync(2) and its relatives: there is no medium behind memory, so they only check their arguments.

use linux_raw_sys::general as abi;

use super::super::{Fd, FileType};
use super::file;
use crate::errno::{Errno, Result};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(74, fsync(descriptor: Fd)),
    syscall!(75, fdatasync(descriptor: Fd)),
    syscall!(162, sync()),
    syscall!(277, sync_file_range(descriptor: Fd, offset: i64, length: i64, flags: u32)),
    syscall!(306, syncfs(descriptor: Fd)),
];

/// sync(2).
fn sync(_caller: &mut Caller<'_>) -> Result {
    Ok(0)
}

/// syncfs(2).
fn syncfs(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    file(caller, descriptor).map(|_| 0)
}

/// fsync(2).
fn fsync(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    match file(caller, descriptor)?.inode().file_type() {
        FileType::Regular | FileType::Directory | FileType::BlockDevice => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// fdatasync(2).
fn fdatasync(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    fsync(caller, descriptor)
}

/// sync_file_range(2).
fn sync_file_range(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    offset: i64,
    length: i64,
    flags: u32,
) -> Result {
    let known = abi::SYNC_FILE_RANGE_WAIT_BEFORE
        | abi::SYNC_FILE_RANGE_WRITE
        | abi::SYNC_FILE_RANGE_WAIT_AFTER;
    let file = file(caller, descriptor)?;
    if flags & !known != 0 || offset < 0 || length < 0 || offset.checked_add(length).is_none() {
        return Err(Errno::EINVAL);
    }
    match file.inode().file_type() {
        FileType::Regular | FileType::Directory | FileType::SymbolicLink => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}
