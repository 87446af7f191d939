//! A thread: what the scheduler runs. Key types: [`Thread`], [`ThreadParts`].

use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use arch::sync::{Rank, SpinLock};
use intrusive_collections::{KeyAdapter, RBTreeAtomicLink, intrusive_adapter};
use qcell::QCell;

use super::account::Account;
use super::credentials::Credentials;
use super::id::Tid;
use super::process::Process;
use crate::errno::Result;
use crate::scheduling::ThreadCore;
use crate::signal::ThreadSignals;
use crate::syscall::Caller;

/// A thread's name, as `prctl(PR_SET_NAME)` sets it: at most 15 bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; Self::SIZE]);

impl Name {
    /// Bytes with the terminating zero (`TASK_COMM_LEN`).
    pub const SIZE: usize = 16;

    /// The first 15 bytes of `text`, up to a zero.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut name = [0; Self::SIZE];
        let bytes = text.iter().take(Self::SIZE - 1).take_while(|&&byte| byte != 0);
        name.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(name)
    }

    /// The name without its padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::SIZE);
        &self.0[..end]
    }

    /// The name with its padding.
    #[must_use]
    pub fn padded(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// How restart_syscall(2) continues an interrupted call.
#[derive(Clone, Copy)]
pub struct Restart {
    /// Does the rest of the call.
    pub resume: fn(&mut Caller<'_>, [u64; 5]) -> Result,
    /// Whatever it needs to know.
    pub arguments: [u64; 5],
}

impl Restart {
    /// Does the rest of the call.
    ///
    /// # Errors
    /// Those of the call.
    pub fn run(&self, caller: &mut Caller<'_>) -> Result {
        (self.resume)(caller, self.arguments)
    }
}

/// What a thread is made of.
pub struct ThreadParts {
    /// Its id, [`Tid::KERNEL`] for the kernel's own threads.
    pub tid: Tid,
    /// The process that it is part of.
    pub process: Arc<Process>,
    /// Its name.
    pub name: Name,
    /// Whom it acts for.
    pub credentials: Arc<Credentials>,
    /// Its signal mask and pending signals.
    pub signals: ThreadSignals,
    /// Its kernel stack, registers and scheduling state.
    pub scheduling: ThreadCore,
}

/// There may be a signal to deliver, or a stop to take part in.
const ATTENTION_SIGNAL: u32 = 1 << 0;
/// The thread is to end.
const ATTENTION_KILL: u32 = 1 << 1;

intrusive_adapter!(pub(crate) Threads = Arc<Thread>: Thread { process_link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for Threads {
    type Key = Tid;
    fn get_key(&self, thread: &'a Thread) -> Tid {
        thread.tid()
    }
}

/// A thread of a process, or of the kernel.
pub struct Thread {
    // Fixed at creation.
    this: Weak<Thread>,
    tid: AtomicU32,
    process: Arc<Process>,

    /// Its kernel stack, registers and scheduling state; brings its own rules.
    pub scheduling: ThreadCore,

    // Guarded by the process's signal lock.
    pub(crate) signals: QCell<ThreadSignals>,
    process_link: RBTreeAtomicLink,

    // Each under a lock of its own, held for a copy.
    name: SpinLock<Name>,
    credentials: SpinLock<Arc<Credentials>>,

    /// [`ATTENTION_SIGNAL`] and [`ATTENTION_KILL`]; written under the process's signal lock.
    attention: AtomicU32,

    /// How restart_syscall(2) goes on.
    restart: SpinLock<Option<Restart>>,

    // Touched by the thread itself alone; relaxed.
    clear_child_tid: AtomicU64,
    robust_list: AtomicU64,
}

impl Thread {
    /// A thread that nobody knows yet: not in the table, not in its process's list, not in a run queue.
    #[must_use]
    pub fn new(parts: ThreadParts) -> Arc<Self> {
        let ThreadParts { tid, process, name, credentials, signals, scheduling } = parts;
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            tid: AtomicU32::new(tid.as_u32()),
            scheduling,
            signals: process.guarded_by_signal_lock(signals),
            process,
            process_link: RBTreeAtomicLink::new(),
            name: SpinLock::new(Rank::THREAD, name),
            credentials: SpinLock::new(Rank::THREAD, credentials),
            attention: AtomicU32::new(0),
            restart: SpinLock::new(Rank::THREAD, None),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
        })
    }

    /// A thread of the kernel's own, with full rights and no user memory.
    #[must_use]
    pub fn new_kernel(name: &str, scheduling: ThreadCore) -> Arc<Self> {
        Self::new(ThreadParts {
            tid: Tid::KERNEL,
            process: Arc::clone(Process::kernel()),
            name: Name::new(name.as_bytes()),
            credentials: Arc::new(Credentials::root(Account::of(0))),
            signals: ThreadSignals::default(),
            scheduling,
        })
    }

    /// A counted reference to this thread.
    ///
    /// # Panics
    /// From the thread's own destructor, where no reference can exist any more.
    #[must_use]
    pub fn to_arc(&self) -> Arc<Self> {
        self.this.upgrade().expect("a thread that is in use has references")
    }

    /// The id. It changes once at most: a thread that calls execve takes over the id of its process.
    #[must_use]
    pub fn tid(&self) -> Tid {
        Tid::new(self.tid.load(Ordering::Relaxed))
    }

    /// The process that the thread is part of.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Name {
        *self.name.lock()
    }

    /// Changes the name.
    pub fn set_name(&self, name: Name) {
        *self.name.lock() = name;
    }

    /// Whom the thread acts for.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Acts for somebody else from now on.
    pub(super) fn set_credentials(&self, credentials: Arc<Credentials>) {
        let former = core::mem::replace(&mut *self.credentials.lock(), credentials);
        drop(former);
    }

    /// Leaves word how restart_syscall(2) goes on. For calls that end with `ERESTART_RESTARTBLOCK`.
    pub fn set_restart(&self, restart: Restart) {
        *self.restart.lock() = Some(restart);
    }

    pub(crate) fn take_restart(&self) -> Option<Restart> {
        self.restart.lock().take()
    }

    /// Whether an interruptible wait must end: a signal is to be delivered, or the thread is to stop or end.
    ///
    /// A sender sets this and then wakes the thread; a thread that goes to sleep marks itself as sleeping and then
    /// asks this. The scheduler's wake-up protocol orders the two, so no wake-up is lost.
    #[must_use]
    pub fn has_pending_signal(&self) -> bool {
        self.attention.load(Ordering::Acquire) != 0
    }

    /// Whether a killable wait must end: the thread is to end.
    #[must_use]
    pub fn has_fatal_signal(&self) -> bool {
        self.attention.load(Ordering::Acquire) & ATTENTION_KILL != 0
    }

    /// Where to store a zero and wake a futex at exit (set_tid_address(2)); 0 for nowhere.
    #[must_use]
    pub fn clear_child_tid(&self) -> u64 {
        self.clear_child_tid.load(Ordering::Relaxed)
    }

    /// Sets the address of [`clear_child_tid`](Self::clear_child_tid).
    pub fn set_clear_child_tid(&self, address: u64) {
        self.clear_child_tid.store(address, Ordering::Relaxed);
    }

    /// The head of the robust futex list (set_robust_list(2)); 0 for none.
    #[must_use]
    pub fn robust_list(&self) -> u64 {
        self.robust_list.load(Ordering::Relaxed)
    }

    /// Sets the address of [`robust_list`](Self::robust_list).
    pub fn set_robust_list(&self, head: u64) {
        self.robust_list.store(head, Ordering::Relaxed);
    }
}

impl core::fmt::Debug for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "thread {} ({})", self.tid(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_15_bytes_or_the_first_zero() {
        assert_eq!(Name::new(b"a-name-of-over-fifteen").as_bytes(), b"a-name-of-over-");
        assert_eq!(Name::new(b"short\0rest").as_bytes(), b"short");
        assert_eq!(Name::new(b"").padded(), &[0; 16]);
    }
}
