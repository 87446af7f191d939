//! Descriptors from which signals are read (signalfd(2)). Key type: [`SignalFd`].

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU64, Ordering};

use super::calls::{check_size, read_set};
use super::info::{INFO_SIZE, SignalInfo};
use super::number::SignalSet;
use super::{deliver, timers};
use crate::errno::{Errno, Result};
use crate::fs::{
    AnonymousInode, AnonymousKind, CloseOnExec, Fd, File, FileOperations, OpenFlags, PollEvents,
    PollTable, Sink,
};
use crate::memory::user::UserPtr;
use crate::syscall::Caller;
use crate::task::{Resource, Thread, current};

/// `SFD_CLOEXEC` and `SFD_NONBLOCK` (signalfd(2)), the same bits as open's.
const CLOSE_ON_EXEC: u32 = linux_raw_sys::general::O_CLOEXEC;
const NONBLOCK: u32 = linux_raw_sys::general::O_NONBLOCK;

/// The operations of a signalfd. It belongs to nobody: whoever reads it reads their own signals.
pub struct SignalFd {
    /// What is read from it; one word, which orders nothing else.
    set: AtomicU64,
}

impl SignalFd {
    fn set(&self) -> SignalSet {
        SignalSet::from_bits(self.set.load(Ordering::Relaxed))
    }

    fn change(&self, set: SignalSet) {
        self.set.store(set.bits(), Ordering::Relaxed);
        current().process().signal_readers().wake_all();
    }
}

impl FileOperations for SignalFd {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        if sink.remaining() < INFO_SIZE {
            return Err(Errno::EINVAL);
        }
        let thread = current();
        let mut done = 0;
        while sink.remaining() >= INFO_SIZE {
            let info = match take(&thread, self.set()) {
                Some(info) => info,
                None if done > 0 => break,
                None if file.is_nonblocking() => return Err(Errno::EAGAIN),
                None => {
                    thread.process().signal_readers().wait_until(|| take(&thread, self.set()))?
                }
            };
            match sink.put(&info.to_signalfd()) {
                Ok(stored) => done += stored,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        let thread = current();
        table.watch(thread.process().signal_readers());
        let state = thread.process().signals();
        let pending = state.of(&thread).pending.set().union(state.pending.set());
        let readable = !pending.intersection(self.set()).is_empty();
        if readable { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn as_signalfd(&self) -> Option<&SignalFd> {
        Some(self)
    }
}

fn take(thread: &Thread, set: SignalSet) -> Option<SignalInfo> {
    let process = thread.process();
    let mut state = process.signals();
    let (_, mut info) = deliver::dequeue(&mut state, thread, SignalSet::ALL.difference(set))?;
    state.refresh(thread);
    drop(state);
    timers::note_delivery(process, &mut info);
    Some(info)
}

/// Opens a signalfd, or changes the set of one.
pub(super) fn signalfd(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    set: UserPtr<u64>,
    size: usize,
) -> Result {
    signalfd4(caller, descriptor, set, size, 0)
}

/// Opens a signalfd, or changes the set of one.
pub(super) fn signalfd4(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    set: UserPtr<u64>,
    size: usize,
    flags: u32,
) -> Result {
    check_size(size)?;
    let set = read_set(set)?.difference(SignalSet::UNBLOCKABLE);
    if flags & !(CLOSE_ON_EXEC | NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = caller.thread.files();
    if descriptor.0 != -1 {
        let file = files.get(descriptor)?;
        file.operations().as_signalfd().ok_or(Errno::EINVAL)?.change(set);
        return Ok(descriptor.0 as usize);
    }
    let owner = caller.thread.credentials();
    let inode = AnonymousInode::new(AnonymousKind::Object("[signalfd]"), &owner, None);
    let nonblocking = flags & NONBLOCK != 0;
    let status = if nonblocking { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
    let operations = Arc::new(SignalFd { set: AtomicU64::new(set.bits()) });
    let file = inode.open_file(operations, status | OpenFlags::READ_WRITE)?;
    let closes = flags & CLOSE_ON_EXEC != 0;
    let close_on_exec = if closes { CloseOnExec::Yes } else { CloseOnExec::No };
    let limit = caller.thread.process().limit(Resource::OpenFiles);
    Ok(files.insert(file, limit, close_on_exec)?.0 as usize)
}
