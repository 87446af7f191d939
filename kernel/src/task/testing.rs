//! Processes and threads for unit tests: in no table, started by nobody.

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};

use super::account::Account;
use super::credentials::Credentials;
use super::id::{Pid, Tid};
use super::image::Image;
use super::limits::{INFINITY, Limits};
use super::name::Name;
use super::process::{Process, ProcessParts};
use super::thread::{Inherited, Thread, ThreadParts};
use crate::scheduling::ThreadCore;
use crate::signal::{Actions, ProcessSignals, SharedActions, ThreadSignals};

/// Ids that the table never gives out.
static NEXT: AtomicU32 = AtomicU32::new(super::ID_LIMIT);

/// What a process with id `pid` is made of.
pub(super) fn parts(pid: Pid) -> ProcessParts {
    let account = Account::of(0);
    let actions = SharedActions::new(Arc::new(Actions::DEFAULT));
    ProcessParts {
        pid,
        name: Name::new(b"test"),
        limits: Arc::new(Limits::initial(INFINITY)),
        signals: ProcessSignals::new(actions, account.clone(), INFINITY),
        credentials: Arc::new(Credentials::root(account)),
        space: None,
        image: Image::none(),
        parent: None,
        group: None,
        exit_signal: None,
        vfork: None,
    }
}

/// A process without threads.
pub(crate) fn process() -> Arc<Process> {
    Process::new(parts(Pid::new(NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// Adds a thread to `process`; the first one is its leader.
pub(crate) fn add_thread(process: &Arc<Process>, scheduling: ThreadCore) -> Arc<Thread> {
    let is_first = process.signals().thread_count == 0;
    let fresh = || Tid::new(NEXT.fetch_add(1, Ordering::Relaxed));
    let thread = Thread::new(ThreadParts {
        tid: if is_first { process.pid().leader() } else { fresh() },
        process: process.clone(),
        name: Name::new(b"test"),
        credentials: process.credentials(),
        signals: ThreadSignals::default(),
        scheduling,
        files: None,
        fs: None,
        inherited: Inherited::DEFAULT,
    });
    let mut state = process.signals();
    state.threads.insert(thread.clone());
    state.thread_count += 1;
    drop(state);
    thread
}
