//! pipe(2) and pipe2(2), and the table of the area.

use alloc::sync::{Arc, Weak};

use linux_raw_sys::general as abi;

use super::splice::{splice, tee};
use super::{Pipe, PipeEnd};
use crate::errno::{Errno, Result};
use crate::fs::{
    AccessMode, AnonymousInode, AnonymousKind, CloseOnExec, Fd, File, OpenFlags, Reopen,
};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{Credentials, Resource};

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(22, pipe(descriptors: UserPtr<[i32; 2]>)),
    syscall!(275, splice(input: Fd, input_offset: UserPtr<i64>, output: Fd, output_offset: UserPtr<i64>, length: usize, flags: u32)),
    syscall!(276, tee(input: Fd, output: Fd, length: usize, flags: u32)),
    syscall!(293, pipe2(descriptors: UserPtr<[i32; 2]>, flags: u32)),
];

/// pipe: a pipe without flags.
fn pipe(caller: &mut Caller<'_>, descriptors: UserPtr<[i32; 2]>) -> Result {
    pipe2(caller, descriptors, 0)
}

/// pipe2: a pipe, whose reading and writing ends become the lowest free descriptors.
fn pipe2(caller: &mut Caller<'_>, descriptors: UserPtr<[i32; 2]>, flags: u32) -> Result {
    if flags & !(abi::O_CLOEXEC | abi::O_NONBLOCK | abi::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = OpenFlags::from_bits_retain(flags);
    let close_on_exec = CloseOnExec::from_flag(flags.contains(OpenFlags::CLOSE_ON_EXEC));
    let files = caller.thread.files();
    let limit = caller.thread.process().limit(Resource::OpenFiles);
    let reading = files.reserve(0, limit)?;
    let writing = files.reserve(0, limit)?;
    let Ends { reader, writer, .. } = open(&caller.thread.credentials(), flags)?;
    descriptors.write(&[reading.descriptor().0, writing.descriptor().0])?;
    reading.install(reader, close_on_exec)?;
    writing.install(writer, close_on_exec)?;
    Ok(0)
}

/// A new pipe, and both its ends.
pub(crate) struct Ends {
    pub pipe: Arc<Pipe>,
    pub reader: Arc<File>,
    pub writer: Arc<File>,
}

/// A pipe that belongs to whom `credentials` say.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn open(credentials: &Credentials, flags: OpenFlags) -> Result<Ends> {
    let pipe = Pipe::new();
    let reopen: Weak<Pipe> = Arc::downgrade(&pipe);
    let reopen: Weak<dyn Reopen> = reopen;
    let inode = AnonymousInode::new(AnonymousKind::Pipe, credentials, Some(reopen));
    let reader = Arc::new(PipeEnd::new(pipe.clone(), AccessMode::Read));
    let reader = inode.open_file(reader, flags)?;
    let writer = Arc::new(PipeEnd::new(pipe.clone(), AccessMode::Write));
    let writer = inode.open_file(writer, flags | OpenFlags::WRITE_ONLY)?;
    Ok(Ends { pipe, reader, writer })
}
