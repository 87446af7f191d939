//! The signal state of a process and of its threads. Key types: [`ProcessSignals`], [`ThreadSignals`].
//!
//! Lock: one per process, rank `SIGNAL`, interrupts off, for signals are sent by interrupt handlers too. It guards
//! both; a thread's part lies in the thread and opens with the key that the process's part holds. Nothing that an
//! interrupt handler needs for sending lies elsewhere: the user account and the limit on queued signals
//! are copied here.

use alloc::sync::Arc;

use intrusive_collections::RBTree;
use qcell::{QCellOwner, QCellOwnerID};
use signals::duty;
use signals::stop::StopState;
use signals::{Crew, Part, Signal, SignalSet};

use super::action::{Actions, SharedActions};
use super::altstack::AlternateStack;
use super::choose::{self, Protection, Source};
use super::frame::build::FaultRecord;
use super::info::SignalInfo;
use super::pending::PendingSignals;
use crate::coredump::gather::DumpState;
use crate::task::{Account, ExitStatus, Thread, Threads, Tid};

/// What a thread has of its own.
#[derive(Debug, Default)]
pub struct ThreadSignals {
    /// What waits until it is unblocked.
    pub blocked: SignalSet,
    /// The mask to return to once a call with a mask of its own (sigsuspend, ppoll) has ended.
    pub restored: Option<SignalSet>,
    /// Blocked signals that end the thread's sleep all the same: it waits for them in rt_sigtimedwait(2).
    pub awaited: SignalSet,
    /// What was sent to this thread.
    pub pending: PendingSignals,
    /// A fault that the thread cannot survive: its signal was blocked, ignored or not handled.
    pub fatal_fault: Option<(Signal, SignalInfo)>,
    /// The alternate stack.
    pub stack: AlternateStack,
    /// The last fault, for the frames of its handlers.
    pub fault: FaultRecord,
    /// The thread is to take part in a group stop.
    pub stop: bool,
    /// The thread alone is to end, like this: it called exit(2), or another one of the process calls execve(2).
    pub ending: Option<ExitStatus>,
    /// A core file is being written, which is to hold the thread's registers.
    pub owes_registers: bool,
    /// The thread takes no more signals: it is ending.
    pub exiting: bool,
}

impl ThreadSignals {
    /// What a thread that blocks `blocked` starts with.
    #[must_use]
    pub fn new(blocked: SignalSet) -> Self {
        Self { blocked, ..Self::default() }
    }
}

impl Part for ThreadSignals {
    type Status = ExitStatus;

    fn blocked(&self) -> SignalSet {
        self.blocked
    }

    fn awaited(&self) -> SignalSet {
        self.awaited
    }

    fn pending(&self) -> SignalSet {
        self.pending.set()
    }

    fn is_exiting(&self) -> bool {
        self.exiting
    }

    fn set_exiting(&mut self) {
        self.exiting = true;
    }

    fn owes_stop(&self) -> bool {
        self.stop
    }

    fn owes_stop_mut(&mut self) -> &mut bool {
        &mut self.stop
    }

    fn has_fatal_fault(&self) -> bool {
        self.fatal_fault.is_some()
    }

    fn ending(&self) -> Option<ExitStatus> {
        self.ending
    }

    fn ending_mut(&mut self) -> &mut Option<ExitStatus> {
        &mut self.ending
    }
}

/// What the threads of a process share.
pub struct ProcessSignals {
    /// Opens the threads' [`ThreadSignals`].
    pub(crate) key: QCellOwner,
    /// The live threads.
    pub(crate) threads: RBTree<Threads>,
    /// How many they are.
    pub(crate) thread_count: usize,
    /// What is to be done with each signal.
    pub actions: SharedActions,
    /// What was sent to the process.
    pub pending: PendingSignals,
    /// The whole process is ending, like this.
    pub exit: Option<ExitStatus>,
    /// A core file is being written before it ends.
    pub dump: Option<DumpState>,
    /// A thread is in execve(2), and the others are ending.
    pub replacing: bool,
    /// Job control.
    pub stop: StopState,
    /// Whether default actions may harm it.
    pub protection: Protection,
    /// Who pays for queued signals.
    pub account: Arc<Account>,
    /// How many of them the account may have (`RLIMIT_SIGPENDING`).
    pub queue_limit: u64,
}

impl ProcessSignals {
    /// The state of a process without threads.
    #[must_use]
    pub fn new(actions: SharedActions, account: Arc<Account>, queue_limit: u64) -> Self {
        Self {
            key: QCellOwner::new(),
            threads: RBTree::new(Threads::new()),
            thread_count: 0,
            actions,
            pending: PendingSignals::default(),
            exit: None,
            dump: None,
            replacing: false,
            stop: StopState::new(),
            protection: Protection::None,
            account,
            queue_limit,
        }
    }

    /// The state of the kernel's own process, which takes no signals.
    #[must_use]
    pub fn of_the_kernel() -> Self {
        Self::new(SharedActions::new(Arc::new(Actions::DEFAULT)), Account::of(0), 0)
    }

    /// Which key opens the threads' parts.
    #[must_use]
    pub fn owner_id(&self) -> QCellOwnerID {
        self.key.id()
    }

    /// The part of `thread`.
    #[must_use]
    pub fn of<'a>(&'a self, thread: &'a Thread) -> &'a ThreadSignals {
        self.key.ro(&thread.signals)
    }

    /// The part of `thread`, to change it.
    #[must_use]
    pub fn of_mut<'a>(&'a mut self, thread: &'a Thread) -> &'a mut ThreadSignals {
        self.key.rw(&thread.signals)
    }

    /// Changes the part of every live thread.
    pub(crate) fn for_each_thread(&mut self, mut change: impl FnMut(&Thread, &mut ThreadSignals)) {
        for thread in &self.threads {
            change(thread, self.key.rw(&thread.signals));
        }
    }

    /// Bytes of kernel memory that signals take which are pending for the process or one of its threads.
    #[must_use]
    pub fn held_memory(&self) -> usize {
        let of_threads = self.threads.iter().map(|thread| self.of(thread).pending.held_memory());
        self.pending.held_memory() + of_threads.sum::<usize>()
    }

    /// The first thread, or another one when it has ended.
    #[must_use]
    pub fn main_thread(&self) -> Option<&Thread> {
        self.threads.front().get()
    }

    /// The live thread with id `tid`.
    #[must_use]
    pub fn find_thread(&self, tid: Tid) -> Option<&Thread> {
        self.threads.find(&tid).get()
    }

    /// The next signal that `thread` can take, and where it is pending.
    #[must_use]
    pub(super) fn next_for(&self, thread: &Thread, blocked: SignalSet) -> Option<(Signal, Source)> {
        let own = self.of(thread);
        let mut faults = own.pending.set().intersection(SignalSet::SYNCHRONOUS);
        if !faults.is_empty() {
            faults = faults.iter().filter(|&signal| own.pending.is_from_kernel(signal)).collect();
        }
        choose::next(own.pending.set(), self.pending.set(), faults, blocked)
    }

    /// Whether `thread` is to end.
    #[must_use]
    pub fn is_dying(&self, thread: &Thread) -> bool {
        duty::is_dying(self, thread)
    }

    /// Whether all threads are stopped, or about to sleep: the parent is told before. Not of a process that ends.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.exit.is_none() && self.stop.is_stopped()
    }

    /// execve(2) has deleted the POSIX timers: what they sent to `thread`, the only one, or its process, goes as well.
    pub fn flush_timers(&mut self, thread: &Thread) {
        self.pending.flush_timers();
        self.of_mut(thread).pending.flush_timers();
    }

    /// Brings the thread's attention in line with the state. A thread that finds nothing to do calls this for itself.
    pub(super) fn refresh(&self, thread: &Thread) {
        duty::refresh(self, thread);
    }
}

impl Crew for ProcessSignals {
    type Thread = Thread;
    type Part = ThreadSignals;

    fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.threads.iter()
    }

    fn part<'a>(&'a self, thread: &'a Thread) -> &'a ThreadSignals {
        self.key.ro(&thread.signals)
    }

    fn part_mut<'a>(&'a mut self, thread: &'a Thread) -> &'a mut ThreadSignals {
        self.key.rw(&thread.signals)
    }

    fn for_each(&mut self, change: impl FnMut(&Thread, &mut ThreadSignals)) {
        self.for_each_thread(change);
    }

    fn shared_pending(&self) -> SignalSet {
        self.pending.set()
    }

    fn discard(&mut self, signals: SignalSet) {
        self.pending.flush(signals);
        self.for_each_thread(|_, own| own.pending.flush(signals));
    }

    fn exit(&self) -> Option<ExitStatus> {
        self.exit
    }

    fn stop(&self) -> &StopState {
        &self.stop
    }

    fn stop_mut(&mut self) -> &mut StopState {
        &mut self.stop
    }
}
