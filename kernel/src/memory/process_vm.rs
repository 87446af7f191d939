//! `process_vm_readv(2)` and `process_vm_writev(2)`: copying between the caller's memory and another process's.
//!
//! Bytes go through a buffer, a page of the other process at a time: that page is reached by [`AddressSpace::read_remote`] and
//! [`AddressSpace::write_remote`], which hold the other space's lock, and the caller's own memory faults, so never both at once.
//! As on Linux a transfer that fails after it has moved something returns what it has moved.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use mm::AddressSpace;

use super::user::UserPtr;
use super::{errno_of, pressure};
use crate::errno::{Errno, Result};
use crate::fs::syscalls::io::{SEGMENTS_MAX, read_segments};
use crate::fs::{Sink, Source};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{Capability, Process, Thread, Tid, table};

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(310, process_vm_readv(id: i32, local: UserPtr<[u64; 2]>, locals: usize, remote: UserPtr<[u64; 2]>, remotes: usize, flags: u64)),
    syscall!(311, process_vm_writev(id: i32, local: UserPtr<[u64; 2]>, locals: usize, remote: UserPtr<[u64; 2]>, remotes: usize, flags: u64)),
];

/// Bytes that go through the buffer at a time.
const CHUNK: usize = PAGE_SIZE;

/// `PR_GET_DUMPABLE`: a process that its user may look into.
const DUMPABLE: u8 = 1;

/// Copies from another process's memory (process_vm_readv(2)).
fn process_vm_readv(
    caller: &mut Caller<'_>,
    id: i32,
    local: UserPtr<[u64; 2]>,
    locals: usize,
    remote: UserPtr<[u64; 2]>,
    remotes: usize,
    flags: u64,
) -> Result {
    let local = local_segments(local, locals, flags)?;
    let mut sink = Sink::vector(&local);
    let Some(transfer) = Transfer::begin(caller, id, remote, remotes, sink.remaining())? else {
        return Ok(0);
    };
    transfer.run(|space, at, buffer| {
        let wanted = buffer.len().min(sink.remaining());
        let read = space.read_remote(at, &mut buffer[..wanted]).map_err(errno_of)?;
        sink.put(&buffer[..read])
    })
}

/// Copies into another process's memory (process_vm_writev(2)).
fn process_vm_writev(
    caller: &mut Caller<'_>,
    id: i32,
    local: UserPtr<[u64; 2]>,
    locals: usize,
    remote: UserPtr<[u64; 2]>,
    remotes: usize,
    flags: u64,
) -> Result {
    let local = local_segments(local, locals, flags)?;
    let mut source = Source::vector(&local);
    let Some(transfer) = Transfer::begin(caller, id, remote, remotes, source.remaining())? else {
        return Ok(0);
    };
    // What was taken and could not be written, for want of memory, is written by the next attempt.
    let mut taken = 0;
    transfer.run(|space, at, buffer| {
        if taken == 0 {
            taken = source.take(buffer)?;
        }
        let written = space.write_remote(at, &buffer[..taken]).map_err(errno_of)?;
        taken = 0;
        Ok(written)
    })
}

/// The caller's own segments.
fn local_segments(
    segments: UserPtr<[u64; 2]>,
    count: usize,
    flags: u64,
) -> Result<Vec<crate::fs::Segment>> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    read_segments(segments, count)
}

/// The other process's side of a call.
struct Transfer<'a> {
    thread: &'a Thread,
    space: Arc<AddressSpace>,
    /// Starts and lengths, unchecked: what cannot be reached ends the transfer.
    remote: Vec<[u64; 2]>,
    /// Bytes that the caller's side holds.
    length: usize,
}

impl<'a> Transfer<'a> {
    /// `None` if there is nothing to copy on either side; nobody asks then whether there is such a process.
    fn begin(
        caller: &'a Caller<'_>,
        id: i32,
        remote: UserPtr<[u64; 2]>,
        remotes: usize,
        length: usize,
    ) -> Result<Option<Self>> {
        if length == 0 {
            return Ok(None);
        }
        if remotes > SEGMENTS_MAX {
            return Err(Errno::EINVAL);
        }
        let remote = remote.read_array(remotes)?;
        if remote.iter().all(|[_, length]| *length == 0) {
            return Ok(None);
        }
        let id = Tid::from_argument(id).ok_or(Errno::ESRCH)?;
        let target = table::find_thread(id).ok_or(Errno::ESRCH)?;
        let space = target.space().ok_or(Errno::ESRCH)?;
        may_attach(caller.thread, &target)?;
        Ok(Some(Self { thread: caller.thread, space, remote, length }))
    }

    /// Calls `copy` for one piece of the other process's memory after the other, with its start and a buffer as long as it.
    /// `copy` returns how much it has moved; less than asked for is the end.
    fn run(self, mut copy: impl FnMut(&AddressSpace, UserAddr, &mut [u8]) -> Result) -> Result {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(CHUNK).map_err(|_| Errno::ENOMEM)?;
        buffer.resize(CHUNK, 0);
        let mut done = 0;
        for [start, length] in &self.remote {
            let mut within = 0;
            while within < *length && done < self.length && !self.thread.has_fatal_signal() {
                let at = start.checked_add(within).and_then(UserAddr::try_new);
                let at = at.unwrap_or(UserAddr::END);
                let wanted = (PAGE_SIZE - at.page_offset()).min(self.length - done);
                let wanted = (length - within).min(wanted as u64) as usize;
                let piece = &mut buffer[..wanted];
                match pressure::retry(self.thread, || copy(&self.space, at, piece)) {
                    Ok(moved) => {
                        done += moved;
                        within += moved as u64;
                        if moved < wanted {
                            return Ok(done);
                        }
                    }
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(done)
    }
}

/// Whether `thread` may use the memory of `target` as its own: `PTRACE_MODE_ATTACH_REALCREDS` of ptrace(2).
fn may_attach(thread: &Thread, target: &Thread) -> Result<()> {
    let process: &Arc<Process> = target.process();
    if Arc::ptr_eq(thread.process(), process) {
        return Ok(());
    }
    let (own, other) = (thread.credentials(), target.credentials());
    let (user, group) = (other.user, other.group);
    let same = [user.real, user.effective, user.saved].iter().all(|id| *id == own.user.real)
        && [group.real, group.effective, group.saved].iter().all(|id| *id == own.group.real);
    let open = process.dumpable() == DUMPABLE && other.permitted.is_subset(own.permitted);
    if (same && open) || own.has(Capability::SysPtrace) { Ok(()) } else { Err(Errno::EPERM) }
}
