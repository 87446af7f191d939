//! flock(2).

use linux_raw_sys::general as abi;

use super::super::Fd;
use super::super::lock::{self, LockKind, Patience};
use super::file;
use crate::errno::{Errno, Result};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[syscall!(73, flock(descriptor: Fd, operation: u32))];

/// flock(2).
fn flock(caller: &mut Caller<'_>, descriptor: Fd, operation: u32) -> Result {
    let patience = if operation & abi::LOCK_NB != 0 { Patience::Try } else { Patience::Wait };
    let kind = match operation & !abi::LOCK_NB {
        abi::LOCK_SH => Some(LockKind::Shared),
        abi::LOCK_EX => Some(LockKind::Exclusive),
        abi::LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = file(caller, descriptor)?;
    match kind {
        Some(kind) => lock::flock(&file, kind, patience)?,
        None => lock::unflock(&file),
    }
    Ok(0)
}
