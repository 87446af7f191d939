//! setsockopt(2) and getsockopt(2).

use arch::addr::UserAddr;
use linux_raw_sys::net as abi;

use super::{socket_file, socket_of};
use crate::errno::{Errno, Result};
use crate::fs::Fd;
use crate::memory::user::{self, UserPtr};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// The longest value of an option.
const VALUE_MAX: usize = 16;

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(54, setsockopt(socket: Fd, level: u32, name: u32, value: UserAddr, length: i32)),
    syscall!(55, getsockopt(
        socket: Fd, level: u32, name: u32, value: UserAddr, length: UserPtr<i32>
    )),
];

/// setsockopt: sets an option.
fn setsockopt(
    caller: &mut Caller<'_>,
    socket: Fd,
    level: u32,
    name: u32,
    value: UserAddr,
    length: i32,
) -> Result {
    let file = socket_file(caller, socket)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if level != abi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let forced = matches!(name, abi::SO_SNDBUFFORCE | abi::SO_RCVBUFFORCE);
    if forced && !caller.thread.credentials().has(Capability::NetAdmin) {
        return Err(Errno::EPERM);
    }
    let mut bytes = [0; VALUE_MAX];
    let bytes = &mut bytes[..length.min(VALUE_MAX)];
    user::read_bytes(value, bytes)?;
    socket_of(&file)?.set_option(name, bytes)?;
    Ok(0)
}

/// getsockopt: reads an option.
fn getsockopt(
    caller: &mut Caller<'_>,
    socket: Fd,
    level: u32,
    name: u32,
    value: UserAddr,
    length: UserPtr<i32>,
) -> Result {
    let file = socket_file(caller, socket)?;
    let room = usize::try_from(length.read()?).map_err(|_| Errno::EINVAL)?;
    if level != abi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let option = socket_of(&file)?.option(name)?;
    let bytes = &option.as_bytes()[..option.as_bytes().len().min(room)];
    user::write_bytes(value, bytes)?;
    length.write(&(bytes.len() as i32))?;
    Ok(0)
}
