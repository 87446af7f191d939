//! The first process.

use alloc::sync::Arc;

use arch::context::UserContext;

use super::account::Account;
use super::credentials::Credentials;
use super::family;
use super::group::{ProcessGroup, Session};
use super::id::Pid;
use super::image::Image;
use super::limits::{Limits, Resource};
use super::process::{Process, ProcessParts};
use super::run::{self, Start};
use super::table;
use super::thread::{Inherited, Name, Thread, ThreadParts};
use crate::errno::Result;
use crate::fs::{FileTable, FsContext};
use crate::scheduling::{self, ThreadCore};
use crate::signal::choose::Protection;
use crate::signal::{Actions, ProcessSignals, SharedActions, ThreadSignals};

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
    let id = table::allocate()?;
    let pid = id.tid().as_pid();
    let account = Account::of(0);
    account.move_thread_in();
    let credentials = Arc::new(Credentials::root(account.clone()));
    let limits = Arc::new(Limits::initial(threads));
    let actions = SharedActions::new(Arc::new(Actions::DEFAULT));
    let queue_limit = limits.soft(Resource::PendingSignals);
    let mut signals = ProcessSignals::new(actions, account, queue_limit);
    signals.protection = Protection::Init;
    let process = Process::new(ProcessParts {
        pid,
        name: Name::new(b"init"),
        limits,
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
        name: Name::new(b"init"),
        credentials,
        signals: ThreadSignals::default(),
        scheduling: ThreadCore::new_user(run::start)?,
        files: Some(files),
        fs: Some(fs),
        inherited: Inherited::DEFAULT,
    });
    thread.set_start(Start::Program(load));
    let mut family = family::lock();
    let session = Session::new(Pid::KERNEL, &family);
    let group = ProcessGroup::new(Pid::KERNEL, session, &family);
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
