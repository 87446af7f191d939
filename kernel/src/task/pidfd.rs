//! Descriptors that refer to processes (pidfd_open(2)). Key type: [`Pidfd`].

use alloc::sync::Arc;

use super::id::Pid;
use super::limits::Resource;
use super::process::Process;
use super::table;
use super::thread::Thread;
use crate::errno::{Errno, Result};
use crate::fs::{
    AnonymousInode, AnonymousKind, CloseOnExec, Fd, File, FileOperations, OpenFlags, PollEvents,
    PollTable,
};
use crate::syscall::Caller;

/// `PIDFD_NONBLOCK` (pidfd_open(2)), the same bit as open's.
const NONBLOCK: u32 = linux_raw_sys::general::O_NONBLOCK;

/// The operations of a pidfd: it becomes readable when the process has ended.
pub struct Pidfd {
    process: Arc<Process>,
}

/// Whether waitid(2) by a pidfd may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// It may.
    Allowed,
    /// The descriptor is non-blocking.
    Never,
}

impl FileOperations for Pidfd {
    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.process.end);
        if self.process.has_ended() { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn as_pidfd(&self) -> Option<&Pidfd> {
        Some(self)
    }
}

/// An open pidfd for `process`.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn open(process: Arc<Process>, flags: OpenFlags) -> Result<Arc<File>> {
    let owner = super::current().credentials();
    let inode = AnonymousInode::new(AnonymousKind::Object("[pidfd]"), &owner, None);
    inode.open_file(Arc::new(Pidfd { process }), flags | OpenFlags::READ_WRITE)
}

/// The process that `descriptor` refers to, and whether waitid(2) may wait for it.
///
/// # Errors
/// `EBADF` when it is no pidfd.
pub(super) fn resolve(thread: &Thread, descriptor: Fd) -> Result<(Arc<Process>, Waiting)> {
    let file = thread.files().get(descriptor)?;
    let process = file.operations().as_pidfd().ok_or(Errno::EBADF)?.process.clone();
    let waiting = if file.is_nonblocking() { Waiting::Never } else { Waiting::Allowed };
    Ok((process, waiting))
}

/// The process that `descriptor` refers to.
///
/// # Errors
/// `EBADF` when it is no pidfd.
pub(crate) fn process_of(thread: &Thread, descriptor: Fd) -> Result<Arc<Process>> {
    Ok(resolve(thread, descriptor)?.0)
}

/// Opens a descriptor for a process.
pub(super) fn pidfd_open(caller: &mut Caller<'_>, pid: i32, flags: u32) -> Result {
    if flags & !NONBLOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let pid = Pid::from_argument(pid).ok_or(Errno::EINVAL)?;
    let process = match table::find_process(pid) {
        Some(process) => process,
        // A thread that is not the first of its process has no pidfd.
        None if table::find_thread(pid.leader()).is_some() => return Err(Errno::EINVAL),
        None => return Err(Errno::ESRCH),
    };
    let nonblocking = flags & NONBLOCK != 0;
    let flags = if nonblocking { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    let limit = caller.thread.process().limit(Resource::OpenFiles);
    let descriptor =
        caller.thread.files().insert(open(process, flags)?, limit, CloseOnExec::Yes)?;
    Ok(descriptor.0 as usize)
}
