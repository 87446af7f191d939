//! Descriptors themselves: close(2), close_range(2), dup(2) and its relatives.

use linux_raw_sys::general as abi;

use super::super::{CloseOnExec, Fd};
use super::{descriptor_limit, files};
use crate::errno::{Errno, Result};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(3, close(descriptor: Fd)),
    syscall!(32, dup(descriptor: Fd)),
    syscall!(33, dup2(from: Fd, to: Fd)),
    syscall!(292, dup3(from: Fd, to: Fd, flags: u32)),
    syscall!(436, close_range(first: u32, last: u32, flags: u32)),
];

/// The table is the caller's own first (linux/close_range.h).
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
/// Descriptors are marked rather than closed.
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

/// close(2).
fn close(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    files(caller).close(descriptor).map(|()| 0)
}

/// dup(2).
fn dup(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    duplicate(caller, descriptor, 0, CloseOnExec::No)
}

/// A new descriptor from `minimum` on for the file behind `descriptor`: dup(2), `F_DUPFD`.
pub(super) fn duplicate(
    caller: &Caller<'_>,
    descriptor: Fd,
    minimum: usize,
    close_on_exec: CloseOnExec,
) -> Result {
    let files = files(caller);
    let file = files.get_any(descriptor)?;
    let slot = files.reserve(minimum, descriptor_limit(caller))?;
    slot.install(file, close_on_exec).map(|descriptor| descriptor.0 as usize)
}

/// dup2(2): two equal descriptors are checked and left alone.
fn dup2(caller: &mut Caller<'_>, from: Fd, to: Fd) -> Result {
    if from == to {
        files(caller).get_any(from)?;
        return Ok(from.0 as usize);
    }
    replace(caller, from, to, CloseOnExec::No)
}

/// dup3(2): two equal descriptors are an error.
fn dup3(caller: &mut Caller<'_>, from: Fd, to: Fd, flags: u32) -> Result {
    if flags & !abi::O_CLOEXEC != 0 || from == to {
        return Err(Errno::EINVAL);
    }
    replace(caller, from, to, CloseOnExec::from_flag(flags & abi::O_CLOEXEC != 0))
}

fn replace(caller: &Caller<'_>, from: Fd, to: Fd, close_on_exec: CloseOnExec) -> Result {
    let limit = descriptor_limit(caller);
    if u64::try_from(to.0).map_or(true, |number| number >= limit) {
        return Err(Errno::EBADF);
    }
    let files = files(caller);
    let file = files.get_any(from)?;
    files.replace(to, file, limit, close_on_exec)?;
    Ok(to.0 as usize)
}

/// close_range(2).
fn close_range(caller: &mut Caller<'_>, first: u32, last: u32, flags: u32) -> Result {
    let known = CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC;
    if flags & !known != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        caller.thread.unshare_files();
    }
    let files = files(caller);
    let (first, last) = (first as usize, last as usize);
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        files.mark_range_close_on_exec(first, last)?;
    } else {
        files.close_range(first, last)?;
    }
    Ok(0)
}
