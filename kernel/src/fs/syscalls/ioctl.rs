//! ioctl(2): what is the same for every file; the rest is the file's own.

use arch::addr::UserAddr;
use linux_raw_sys::ioctl as abi;

use super::super::asynchronous::{self, Telling};
use super::super::{CloseOnExec, Fd, FileType, OpenFlags, SeekFrom, Special};
use super::{file, files, owner};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Argument, Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] =
    &[syscall!(16, ioctl(descriptor: Fd, command: u32, argument: u64))];

/// ioctl(2).
fn ioctl(caller: &mut Caller<'_>, descriptor: Fd, command: u32, argument: u64) -> Result {
    let file = file(caller, descriptor)?;
    let integer = UserPtr::<i32>::new(UserAddr::from_register(argument));
    match command {
        abi::FIOCLEX => files(caller).set_close_on_exec(descriptor, CloseOnExec::Yes)?,
        abi::FIONCLEX => files(caller).set_close_on_exec(descriptor, CloseOnExec::No)?,
        abi::FIONBIO => set_flag(&file, OpenFlags::NONBLOCK, integer.read()?),
        abi::FIOASYNC => {
            let telling = if integer.read()? != 0 { Telling::On } else { Telling::Off };
            asynchronous::change(&file, descriptor, telling)?;
        }
        abi::FIOSETOWN | abi::SIOCSPGRP if is_socket(&file) => {
            owner::set(caller.thread, &file, integer.read()?)?;
        }
        abi::FIOGETOWN | abi::SIOCGPGRP if is_socket(&file) => {
            integer.write(&owner::get(&file))?;
        }
        abi::FIONREAD if file.inode().file_type() == FileType::Regular && file.is_seekable() => {
            let end = file.operations().seek(&file, 0, SeekFrom::End(0))?;
            let left = end.saturating_sub(file.position());
            integer.write(&i32::try_from(left).unwrap_or(i32::MAX))?;
        }
        abi::FIONREAD => match file.operations().readable_bytes(&file) {
            Ok(bytes) => integer.write(&i32::try_from(bytes).unwrap_or(i32::MAX))?,
            Err(Errno::ENOTTY) => return file.operations().ioctl(&file, command, argument),
            Err(error) => return Err(error),
        },
        _ => return file.operations().ioctl(&file, command, argument),
    }
    Ok(0)
}

fn is_socket(file: &super::super::File) -> bool {
    matches!(file.operations().special(), Special::Socket(_))
}

fn set_flag(file: &super::super::File, flag: OpenFlags, value: i32) {
    let flags = if value != 0 { flag } else { OpenFlags::empty() };
    file.set_status(flags, flag);
}
