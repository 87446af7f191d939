//! fork(2), vfork(2), clone(2), clone3(2): making threads and processes.
//!
//! Everything that a child takes over is shared by a counted pointer and copied by whoever changes it first, so the
//! cost does not depend on how much the parent has. The steps: what can fail is made first and belongs to nobody; then,
//! under the locks, the child joins tree, group and table, unless a signal came for the parent meanwhile,
//! which is taken before the fork (so a Ctrl-C reaches parent and child, or finds no child yet); the scheduler gets
//! it last.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use arch::context::UserContext;

use super::clone_flags::{Asker, CloneFlags, CloneRequest};
use super::credentials::Capability;
use super::family;
use super::id::Pid;
use super::limits::{INFINITY, Resource};
use super::pidfd;
use super::process::{Process, ProcessParts};
use super::run::{self, Start};
use super::table::{self, FreshId};
use super::thread::{Thread, ThreadParts};
use crate::errno::{Errno, Result};
use crate::fs::{CloseOnExec, File, OpenFlags, Reservation};
use crate::memory::pressure;
use crate::memory::user::{UserPtr, read_bytes};
use crate::rseq;
use crate::scheduling::{self, Completion, ThreadCore};
use crate::signal::{Actions, AlternateStack, ProcessSignals, SharedActions, ThreadSignals};
use crate::syscall::Caller;
use crate::trace::{self, Event};

/// Bytes of the first version of `struct clone_args`, and of the one known here.
const FIRST_ARGUMENTS_SIZE: usize = 64;
const ARGUMENTS_SIZE: usize = 88;

/// Makes a child process with a copy of everything.
pub(super) fn fork(caller: &mut Caller<'_>) -> Result {
    make(caller, &CloneRequest::FORK)
}

/// Makes a child process that borrows the caller's memory until it calls execve(2) or ends.
pub(super) fn vfork(caller: &mut Caller<'_>) -> Result {
    make(caller, &CloneRequest::VFORK)
}

/// Makes a child process or a thread.
pub(super) fn clone(
    caller: &mut Caller<'_>,
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    thread_pointer: u64,
) -> Result {
    let request = CloneRequest::from_clone(flags, stack, parent_tid, child_tid, thread_pointer)?;
    make(caller, &request)
}

/// Makes a child process or a thread, with a structure that may grow.
pub(super) fn clone3(caller: &mut Caller<'_>, arguments: UserAddr, size: usize) -> Result {
    if size > arch::addr::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < FIRST_ARGUMENTS_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; ARGUMENTS_SIZE];
    let known = size.min(ARGUMENTS_SIZE);
    read_bytes(arguments, &mut bytes[..known])?;
    check_rest(arguments, known, size)?;
    let mut words = [0; ARGUMENTS_SIZE / 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    make(caller, &CloneRequest::from_clone3(&words)?)
}

/// What is not known here must be zero.
fn check_rest(arguments: UserAddr, from: usize, to: usize) -> Result<()> {
    for offset in from..to {
        let at = arguments.checked_add(offset as u64).ok_or(Errno::EFAULT)?;
        if UserPtr::<u8>::new(at).read()? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    Ok(())
}

/// Makes what `request` asks for and starts it. Returns its id.
fn make(caller: &mut Caller<'_>, request: &CloneRequest) -> Result {
    let parent = caller.thread;
    let credentials = parent.credentials();
    request.check(Asker {
        is_init: parent.process().pid() == Pid::INIT,
        is_administrator: credentials.has(Capability::SysAdmin),
    })?;
    if parent.has_pending_signal() {
        return Err(Errno::ERESTARTNOINTR);
    }
    let place = ThreadPlace::take(parent)?;
    let files = parent.files();
    let pidfd = match request.flags.contains(CloneFlags::PIDFD) {
        true => Some(files.reserve(0, parent.process().limit(Resource::OpenFiles))?),
        false => None,
    };
    let id = table::allocate()?;
    let vfork = request.flags.contains(CloneFlags::VFORK).then(|| Arc::new(Completion::new()));
    let child = if request.flags.contains(CloneFlags::THREAD) {
        make_thread(parent, parent.process().clone(), &id, caller.context, request)?
    } else {
        let process = make_process(parent, &id, request, vfork.clone())?;
        make_thread(parent, process, &id, caller.context, request)?
    };
    let tid = child.tid();
    let descriptor = pidfd.map(|slot| open_pidfd(slot, &child)).transpose()?;
    join(parent, &child, id, request)?;
    place.keep();
    tell_parent(request, &child, descriptor);
    let process = u64::from(child.process().pid().as_u32());
    trace::record(Event::Fork, parent.tid(), tid.into(), process);
    scheduling::spawn(&child);
    drop(child);
    if let Some(vfork) = vfork {
        // A parent that is to end does not wait: it never sees the child's use of its memory.
        let _killed = vfork.wait_killable();
    }
    Ok(tid.as_usize())
}

/// A thread counted against the user's limit; taken back unless kept.
struct ThreadPlace<'a>(&'a Thread);

impl<'a> ThreadPlace<'a> {
    /// # Errors
    /// `EAGAIN` when the user has as many threads as `RLIMIT_NPROC` allows, and no privilege.
    fn take(parent: &'a Thread) -> Result<Self> {
        let credentials = parent.credentials();
        let privileged = credentials.user.real == 0
            || credentials.has(Capability::SysResource)
            || credentials.has(Capability::SysAdmin);
        let limit = if privileged { u64::MAX } else { parent.process().limit(Resource::Processes) };
        credentials.account.add_thread(limit)?;
        Ok(Self(parent))
    }

    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for ThreadPlace<'_> {
    fn drop(&mut self) {
        self.0.credentials().account.remove_thread();
    }
}

fn make_process(
    parent: &Thread,
    id: &FreshId,
    request: &CloneRequest,
    vfork: Option<Arc<Completion>>,
) -> Result<Arc<Process>> {
    let old = parent.process();
    let has = |flags| request.flags.contains(flags);
    let space = match old.space() {
        Some(space) if has(CloneFlags::VM) => Some(space),
        // Whatever went wrong, fork(2) calls it this.
        Some(space) => Some(pressure::retry(parent, || space.fork().map_err(|_| Errno::ENOMEM))?),
        None => None,
    };
    let (actions, account, queue_limit) = {
        let state = old.signals();
        (state.actions.clone(), state.account.clone(), state.queue_limit)
    };
    let actions = if has(CloneFlags::SIGHAND) {
        actions
    } else if has(CloneFlags::CLEAR_SIGHAND) {
        let mut cleared = Actions::clone(&actions.snapshot());
        cleared.reset_for_exec();
        SharedActions::new(Arc::new(cleared))
    } else {
        actions.fork()
    };
    let child = Process::new(ProcessParts {
        pid: id.tid().as_pid(),
        name: parent.name(),
        limits: old.limits(),
        signals: ProcessSignals::new(actions, account, queue_limit),
        credentials: parent.credentials(),
        space,
        image: old.image(),
        parent: None,
        group: None,
        exit_signal: request.exit_signal,
        vfork,
    });
    if old.limit(Resource::Cpu) != INFINITY {
        child.timers.watch_cpu_limit();
    }
    child.set_dumpable(old.dumpable());
    child.set_core_filter(old.core_filter());
    child.set_out_of_memory_adjustment(old.out_of_memory_adjustment());
    Ok(child)
}

fn make_thread(
    parent: &Thread,
    process: Arc<Process>,
    id: &FreshId,
    registers: &UserContext,
    request: &CloneRequest,
) -> Result<Arc<Thread>> {
    let has = |flags| request.flags.contains(flags);
    let (blocked, stack) = {
        let state = parent.process().signals();
        let own = state.of(parent);
        (own.blocked, own.stack)
    };
    let mut signals = ThreadSignals::new(blocked);
    // A thread that shares memory must not run on the same stack.
    let keeps_stack = !has(CloneFlags::VM) || has(CloneFlags::VFORK);
    signals.stack = if keeps_stack { stack } else { AlternateStack::default() };
    let (files, fs) = (parent.files(), parent.fs());
    let child = Thread::new(ThreadParts {
        tid: id.tid(),
        process,
        name: parent.name(),
        credentials: parent.credentials(),
        signals,
        scheduling: ThreadCore::forked(run::start)?,
        files: Some(if has(CloneFlags::FILES) { files } else { files.fork() }),
        fs: Some(if has(CloneFlags::FS) { fs } else { fs.duplicate() }),
        inherited: parent.inherited(),
    });
    if has(CloneFlags::CHILD_CLEARTID) {
        child.set_clear_child_tid(request.child_tid);
    }
    if !has(CloneFlags::VM) {
        rseq::inherit(parent, &child);
    }
    let (mut context, mut bases) = (*registers, arch::thread::segment_bases());
    context.rax = 0;
    if request.stack != 0 {
        context.rsp = request.stack;
    }
    if has(CloneFlags::SETTLS) {
        if UserAddr::try_new(request.thread_pointer).is_none() {
            return Err(Errno::EPERM);
        }
        bases.fs = request.thread_pointer;
    }
    let store_id = has(CloneFlags::CHILD_SETTID).then_some(request.child_tid);
    child.set_start(Start::Forked { context, bases, store_id });
    Ok(child)
}

/// Makes the child part of the world: list of threads, tree, group, table.
///
/// # Errors
/// `ERESTARTNOINTR` when a signal came for the parent, which it takes first.
fn join(
    parent: &Arc<Thread>,
    child: &Arc<Thread>,
    id: FreshId,
    request: &CloneRequest,
) -> Result<()> {
    let mut family = family::lock();
    if parent.has_pending_signal() {
        return Err(Errno::ERESTARTNOINTR);
    }
    let (old, new) = (parent.process(), child.process());
    let is_thread = Arc::ptr_eq(old, new);
    if !is_thread {
        let kin = family.ro(&old.kinship);
        let sibling = request.flags.contains(CloneFlags::PARENT);
        let (grandparent, signal) = (kin.parent.clone(), kin.exit_signal);
        let group = kin.group.clone();
        let new_parent = if sibling { grandparent } else { Some(old.clone()) };
        let _none = new.replace_parent(new_parent, &mut family);
        let kin = family.rw(&new.kinship);
        if sibling {
            kin.exit_signal = signal;
        }
        kin.group = group;
        family::enter(new, &mut family);
    }
    let mut state = new.signals();
    if is_thread
        && (state.exit.is_some() || state.of(parent).stop || state.of(parent).ending.is_some())
    {
        return Err(Errno::ERESTARTNOINTR);
    }
    state.threads.insert(child.clone());
    state.thread_count += 1;
    drop(state);
    id.enter(child);
    Ok(())
}

/// A pidfd that is open, in a descriptor that is reserved and not visible yet.
type FreshPidfd<'a> = (Reservation<'a>, Arc<File>);

fn open_pidfd<'a>(slot: Reservation<'a>, child: &Thread) -> Result<FreshPidfd<'a>> {
    Ok((slot, pidfd::open(child.process().clone(), OpenFlags::empty())?))
}

/// Stores the child's id and pidfd. Addresses that fault are the caller's own mistake, as on Linux.
fn tell_parent(request: &CloneRequest, child: &Thread, pidfd: Option<FreshPidfd<'_>>) {
    if request.flags.contains(CloneFlags::PARENT_SETTID) {
        store(request.parent_tid, child.tid().as_u32());
    }
    if let Some((slot, file)) = pidfd
        && let Ok(descriptor) = slot.install(file, CloseOnExec::Yes)
    {
        store(request.pidfd, descriptor.0 as u32);
    }
}

fn store(address: u64, value: u32) {
    if let Some(address) = UserAddr::try_new(address) {
        let _stored = UserPtr::new(address).write(&value);
    }
}
