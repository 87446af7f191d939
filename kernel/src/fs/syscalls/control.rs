//! fcntl(2), apart from record locks.

use alloc::sync::Arc;

use linux_raw_sys::general as abi;

use super::super::asynchronous::{self, Telling};
use super::super::{CloseOnExec, Fd, File, OpenFlags};
use super::{descriptors, files, is_path_only, owner, records};
use crate::errno::{Errno, Result};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] =
    &[syscall!(72, fcntl(descriptor: Fd, command: u32, argument: u64))];

/// fcntl(2).
fn fcntl(caller: &mut Caller<'_>, descriptor: Fd, command: u32, argument: u64) -> Result {
    let files = files(caller);
    let file = files.get_any(descriptor)?;
    match command {
        abi::F_DUPFD => return duplicate(caller, descriptor, argument, CloseOnExec::No),
        abi::F_DUPFD_CLOEXEC => return duplicate(caller, descriptor, argument, CloseOnExec::Yes),
        abi::F_GETFD => {
            let set = files.is_close_on_exec(descriptor)? == CloseOnExec::Yes;
            return Ok(if set { abi::FD_CLOEXEC as usize } else { 0 });
        }
        abi::F_SETFD => {
            let value = CloseOnExec::from_flag(argument as u32 & abi::FD_CLOEXEC != 0);
            return files.set_close_on_exec(descriptor, value).map(|()| 0);
        }
        abi::F_GETFL => return Ok((file.status() | OpenFlags::LARGE_FILE).bits() as usize),
        _ if is_path_only(&file) => return Err(Errno::EBADF),
        _ => {}
    }
    match command {
        abi::F_SETFL => set_flags(caller, &file, descriptor, argument as u32),
        abi::F_GETLK
        | abi::F_SETLK
        | abi::F_SETLKW
        | abi::F_OFD_GETLK
        | abi::F_OFD_SETLK
        | abi::F_OFD_SETLKW => records::control(&files, &file, command, argument),
        abi::F_GETPIPE_SZ => file.operations().pipe_capacity(),
        abi::F_SETPIPE_SZ => {
            let bytes = usize::try_from(argument as i32).map_err(|_| Errno::EINVAL)?;
            file.operations().set_pipe_capacity(bytes)
        }
        abi::F_GET_SEALS => file.operations().seals().map(|seals| seals as usize),
        abi::F_ADD_SEALS => {
            if !file.access().can_write() {
                return Err(Errno::EPERM);
            }
            file.operations().add_seals(argument as u32).map(|()| 0)
        }
        _ => owner::control(caller.thread, &file, command, argument),
    }
}

fn duplicate(
    caller: &Caller<'_>,
    descriptor: Fd,
    minimum: u64,
    close_on_exec: CloseOnExec,
) -> Result {
    let minimum = u64::from(minimum as u32);
    if minimum >= super::descriptor_limit(caller) {
        return Err(Errno::EINVAL);
    }
    descriptors::duplicate(caller, descriptor, minimum as usize, close_on_exec)
}

fn set_flags(caller: &Caller<'_>, file: &Arc<File>, descriptor: Fd, flags: u32) -> Result {
    let flags = OpenFlags::from_bits_retain(flags);
    if flags.contains(OpenFlags::NO_ATIME) && !file.status().contains(OpenFlags::NO_ATIME) {
        let metadata = file.inode().metadata();
        if !super::super::permission::is_owner(&metadata, &caller.thread.credentials()) {
            return Err(Errno::EPERM);
        }
    }
    // What can fail comes first: the call changes all flags or none.
    match asynchronous::change(file, descriptor, Telling::of(flags)) {
        // A file that has nothing to tell never has the flag; asking for it is no error here.
        Ok(()) | Err(Errno::ENOTTY) => {}
        Err(error) => return Err(error),
    }
    file.set_status(flags, OpenFlags::SETTABLE.difference(OpenFlags::ASYNC));
    Ok(0)
}
