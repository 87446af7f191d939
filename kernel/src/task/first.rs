//! Processes that the kernel starts itself: the first one, and helpers, which do a job for it as root.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::context::UserContext;
use arch::sync::{Rank, SpinLock};

use super::account::Account;
use super::credentials::Credentials;
use super::family;
use super::group::{ProcessGroup, Session};
use super::id::Pid;
use super::image::Image;
use super::limits::{INFINITY, Limit, Limits, Resource};
use super::name::Name;
use super::process::{Process, ProcessParts};
use super::run::{self, Load, Start};
use super::table;
use super::thread::{Inherited, Thread, ThreadParts};
use crate::errno::{Errno, Result};
use crate::fs::{FileTable, FsContext};
use crate::log_error;
use crate::scheduling::{self, Completion, ThreadCore};
use crate::signal::choose::Protection;
use crate::signal::{Actions, ProcessSignals, SharedActions, ThreadSignals};

/// What such a process is made of.
struct Parts {
    name: &'static [u8],
    files: Arc<FileTable>,
    fs: Arc<FsContext>,
    limits: Limits,
    protection: Protection,
    load: Load,
}

/// Makes process 1 and starts its thread, which calls `load`; that executes the first program as execve does and returns
/// its registers. As on Linux the process is in the kernel's group and session, number 0, until it calls setsid(2).
///
/// `threads` is how many threads and queued signals one user may have (Linux derives it from the amount of memory).
///
/// # Errors
/// `ENOMEM`.
pub fn spawn_first(
    files: Arc<FileTable>,
    fs: Arc<FsContext>,
    threads: u64,
    load: fn(&Arc<Thread>) -> Result<UserContext>,
) -> Result<Arc<Process>> {
    let load = Box::new(move |thread: &Arc<Thread>| {
        load(thread).inspect_err(|errno| {
            log_error!("the first program cannot be executed: {errno}");
        })
    });
    let limits = Limits::initial(threads);
    spawn(Parts { name: b"init", files, fs, limits, protection: Protection::Init, load })
}

/// What became of the attempt to execute a helper's program.
struct Attempt {
    outcome: SpinLock<Result<()>>,
    is_over: Completion,
}

/// Starts a process of root's, without a parent, that executes a program by `load`, and waits until it does (Linux:
/// `call_usermodehelper`). It leaves no core file if it dies, for it may have been started because of one.
///
/// # Errors
/// `ENOMEM`; those of `load`.
pub fn spawn_helper(
    files: Arc<FileTable>,
    fs: Arc<FsContext>,
    load: impl FnOnce(&Arc<Thread>) -> Result<UserContext> + Send + 'static,
) -> Result<()> {
    let attempt = Arc::new(Attempt {
        outcome: SpinLock::new(Rank::THREAD, Err(Errno::ENOMEM)),
        is_over: Completion::new(),
    });
    let its_attempt = attempt.clone();
    let load = Box::new(move |thread: &Arc<Thread>| {
        let loaded = load(thread);
        *its_attempt.outcome.lock() = loaded.as_ref().map(drop).map_err(|errno| *errno);
        its_attempt.is_over.complete();
        loaded
    });
    let limits = Limits::initial(INFINITY).with(Resource::Core, Limit::both(1));
    spawn(Parts { name: b"helper", files, fs, limits, protection: Protection::None, load })?;
    attempt.is_over.wait();
    *attempt.outcome.lock()
}

fn spawn(parts: Parts) -> Result<Arc<Process>> {
    let id = table::allocate()?;
    let account = Account::of(0);
    let scheduling = ThreadCore::new_user(run::start)?;
    account.move_thread_in();
    let credentials = Arc::new(Credentials::root(account.clone()));
    let actions = SharedActions::new(Arc::new(Actions::DEFAULT));
    let queue_limit = parts.limits.soft(Resource::PendingSignals);
    let mut signals = ProcessSignals::new(actions, account, queue_limit);
    signals.protection = parts.protection;
    let process = Process::new(ProcessParts {
        pid: id.tid().as_pid(),
        name: Name::new(parts.name),
        limits: Arc::new(parts.limits),
        signals,
        credentials: credentials.clone(),
        space: None,
        image: Image::none(),
        parent: None,
        group: None,
        exit_signal: None,
        vfork: None,
    });
    let thread = Thread::new(ThreadParts {
        tid: id.tid(),
        process: process.clone(),
        name: Name::new(parts.name),
        credentials,
        signals: ThreadSignals::default(),
        scheduling,
        files: Some(parts.files),
        fs: Some(parts.fs),
        inherited: Inherited::DEFAULT,
    });
    thread.set_start(Start::Program(parts.load));
    let mut family = family::lock();
    let group = table::find_group(Pid::KERNEL).unwrap_or_else(|| {
        let session = Session::new(Pid::KERNEL, &family);
        ProcessGroup::new(Pid::KERNEL, session, &family)
    });
    family.rw(&process.kinship).group = Some(group);
    family::enter(&process, &mut family);
    drop(family);
    let mut state = process.signals();
    state.threads.insert(thread.clone());
    state.thread_count += 1;
    drop(state);
    id.enter(&thread);
    scheduling::spawn(&thread);
    Ok(process)
}
