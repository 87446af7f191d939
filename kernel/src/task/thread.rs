//! A thread: what the scheduler runs. Key types: [`Thread`], [`ThreadParts`].

use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use arch::sync::{Rank, SpinLock};
use intrusive_collections::{KeyAdapter, RBTreeAtomicLink, intrusive_adapter};
use mm::AddressSpace;
use qcell::QCell;
use sched::Phase;
use signals::{AttentionWord, Member};

use super::account::Account;
use super::credentials::Credentials;
use super::id::Tid;
use super::name::Name;
use super::process::Process;
use super::run::Start;
use crate::errno::Result;
use crate::fs::asynchronous::Woken;
use crate::fs::{Fd, File, FileTable, FsContext};
use crate::futex::Recent;
use crate::rseq::Registration;
use crate::scheduling::{self, ThreadCore, WakeMask};
use crate::signal::ThreadSignals;
use crate::syscall::Caller;
use crate::trace;

bitflags::bitflags! {
    /// What a thread has to see to on its way to user mode, apart from signals.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Chores: u8 {
        /// The signal mask is to be put back.
        const RESTORE_MASK = 1 << 0;
        /// It has an area for restartable sequences.
        const RSEQ = 1 << 1;
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
    /// Its open files; `None` for the kernel's own.
    pub files: Option<Arc<FileTable>>,
    /// Its place in the file system; `None` for the kernel's own.
    pub fs: Option<Arc<FsContext>>,
    /// What it takes over from the thread that made it.
    pub inherited: Inherited,
}

/// What fork and clone hand on besides.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// No execve(2) gives it privileges (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// The execution domain (personality(2)).
    pub personality: u32,
    /// How much later than asked its sleeps may end, in nanoseconds (prctl(2), `PR_SET_TIMERSLACK`).
    pub timer_slack_ns: u64,
}

impl Inherited {
    /// What the first process and the kernel's threads have.
    pub const DEFAULT: Self =
        Self { no_new_privileges: false, personality: 0, timer_slack_ns: 50_000 };
}

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
    files: SpinLock<Option<Arc<FileTable>>>,
    fs: SpinLock<Option<Arc<FsContext>>>,
    /// What the thread does first; taken by it as it starts.
    start: SpinLock<Option<Start>>,
    /// How restart_syscall(2) goes on.
    restart: SpinLock<Option<Restart>>,

    /// Files with `O_ASYNC` that its wake-ups have reached.
    pub(crate) woken: Woken,

    /// Written under the process's signal lock.
    attention: AttentionWord,

    /// The real user id in `credentials`, which every kill(2) asks for. Relaxed: only the thread itself changes it.
    real_user: AtomicU32,

    // Touched by the thread itself alone; relaxed.
    clear_child_tid: AtomicU64,
    robust_list: AtomicU64,
    chores: AtomicU8,
    pub(crate) rseq: Registration,
    pub(crate) recent_futex: Recent,
    no_new_privileges: AtomicBool,
    personality: AtomicU32,
    timer_slack_ns: AtomicU64,
    minor_faults: AtomicU64,
}

impl Thread {
    /// A thread that nobody knows yet: not in the table, not in its process's list, not in a run queue.
    #[must_use]
    pub fn new(parts: ThreadParts) -> Arc<Self> {
        let ThreadParts { tid, process, name, credentials, signals, scheduling, .. } = parts;
        let inherited = parts.inherited;
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            tid: AtomicU32::new(tid.as_u32()),
            scheduling,
            signals: process.guarded_by_signal_lock(signals),
            process,
            process_link: RBTreeAtomicLink::new(),
            name: SpinLock::new(Rank::THREAD, name),
            real_user: AtomicU32::new(credentials.user.real),
            credentials: SpinLock::new(Rank::THREAD, credentials),
            files: SpinLock::new(Rank::THREAD, parts.files),
            fs: SpinLock::new(Rank::THREAD, parts.fs),
            start: SpinLock::new(Rank::THREAD, None),
            restart: SpinLock::new(Rank::THREAD, None),
            woken: Woken::new(),
            attention: AttentionWord::new(),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            chores: AtomicU8::new(0),
            rseq: Registration::none(),
            recent_futex: Recent::none(),
            no_new_privileges: AtomicBool::new(inherited.no_new_privileges),
            personality: AtomicU32::new(inherited.personality),
            timer_slack_ns: AtomicU64::new(inherited.timer_slack_ns),
            minor_faults: AtomicU64::new(0),
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
            files: None,
            fs: None,
            inherited: Inherited::DEFAULT,
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

    /// The name, unless somebody is changing it: for a panic, which must wait for nobody.
    #[must_use]
    pub fn try_name(&self) -> Option<Name> {
        self.name.try_lock().map(|name| *name)
    }

    /// Changes the name.
    pub fn set_name(&self, name: Name) {
        trace::record_name(self.tid(), &name);
        if self.tid() == self.process.pid().leader() {
            self.process.set_name(name);
        }
        *self.name.lock() = name;
    }

    /// Whom the thread acts for.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// The real user id of whom the thread acts for.
    #[must_use]
    pub fn real_user(&self) -> u32 {
        self.real_user.load(Ordering::Relaxed)
    }

    /// Acts for somebody else from now on.
    pub(super) fn set_credentials(&self, credentials: Arc<Credentials>) {
        if self.tid() == self.process.pid().leader() {
            self.process.set_credentials(credentials.clone());
        }
        self.real_user.store(credentials.user.real, Ordering::Relaxed);
        let former = core::mem::replace(&mut *self.credentials.lock(), credentials);
        drop(former);
    }

    /// The open files.
    ///
    /// # Panics
    /// For a kernel thread, which has none, and for one that has ended; [`try_files`](Self::try_files) is for looking
    /// at other threads.
    #[must_use]
    pub fn files(&self) -> Arc<FileTable> {
        self.try_files().expect("a thread that makes system calls has a descriptor table")
    }

    /// The open files, unless it is a kernel thread or has ended.
    #[must_use]
    pub fn try_files(&self) -> Option<Arc<FileTable>> {
        self.files.lock().clone()
    }

    /// The open file behind `descriptor`, for a call that uses it: `None` if there is none, or it was opened with `O_PATH`.
    /// The table is locked with the thread's reference to it, which saves taking another one.
    #[must_use]
    #[inline(never)]
    pub fn file(&self, descriptor: Fd) -> Option<Arc<File>> {
        self.files.lock().as_ref()?.usable(descriptor)
    }

    /// Makes the descriptor table the thread's own: a copy with the same open files.
    pub fn unshare_files(&self) {
        let own = self.files().fork();
        drop(self.replace_files(Some(own)));
    }

    /// Replaces the descriptor table and returns the former one.
    #[must_use = "the former table's files are closed where this is dropped"]
    pub(super) fn replace_files(&self, files: Option<Arc<FileTable>>) -> Option<Arc<FileTable>> {
        core::mem::replace(&mut *self.files.lock(), files)
    }

    /// The place in the file system: root, working directory, umask.
    ///
    /// # Panics
    /// As [`files`](Self::files).
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        self.try_fs().expect("a thread that makes system calls has a place in the file system")
    }

    /// The place in the file system, unless it is a kernel thread or has ended.
    #[must_use]
    pub fn try_fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().clone()
    }

    /// Replaces the place in the file system and returns the former one.
    #[must_use = "the former place is given up where this is dropped"]
    pub(super) fn replace_fs(&self, fs: Option<Arc<FsContext>>) -> Option<Arc<FsContext>> {
        core::mem::replace(&mut *self.fs.lock(), fs)
    }

    /// The memory of its process.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.process.space()
    }

    pub(super) fn set_start(&self, start: Start) {
        *self.start.lock() = Some(start);
    }

    pub(super) fn take_start(&self) -> Option<Start> {
        self.start.lock().take()
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
        self.attention.is_set()
    }

    /// Whether a killable wait must end: the thread is to end.
    #[must_use]
    pub fn has_fatal_signal(&self) -> bool {
        self.attention.is_fatal()
    }

    /// What is to be seen to on the way to user mode. Asked by the thread itself.
    #[inline]
    pub(crate) fn chores(&self) -> Chores {
        Chores::from_bits_retain(self.chores.load(Ordering::Relaxed))
    }

    /// Remembers whether `chore` is to be seen to. By the thread itself, or its creator.
    #[inline]
    pub(crate) fn set_chore(&self, chore: Chores, is_due: bool) {
        let mut chores = self.chores();
        chores.set(chore, is_due);
        self.chores.store(chores.bits(), Ordering::Relaxed);
    }

    /// Whether the signal mask is to be put back on the way to user mode.
    pub(crate) fn restores_mask(&self) -> bool {
        self.chores().contains(Chores::RESTORE_MASK)
    }

    /// Remembers whether the signal mask is to be put back.
    pub(crate) fn set_restores_mask(&self, restores: bool) {
        self.set_chore(Chores::RESTORE_MASK, restores);
    }

    /// Whether no execve(2) gives it privileges.
    #[must_use]
    pub fn has_no_new_privileges(&self) -> bool {
        self.no_new_privileges.load(Ordering::Relaxed)
    }

    pub(super) fn set_no_new_privileges(&self) {
        self.no_new_privileges.store(true, Ordering::Relaxed);
    }

    /// The execution domain (personality(2)).
    #[must_use]
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    pub(super) fn set_personality(&self, personality: u32) {
        self.personality.store(personality, Ordering::Relaxed);
    }

    /// How much later than asked its sleeps may end, in nanoseconds.
    #[must_use]
    pub fn timer_slack_ns(&self) -> u64 {
        self.timer_slack_ns.load(Ordering::Relaxed)
    }

    pub(super) fn set_timer_slack_ns(&self, slack_ns: u64) {
        self.timer_slack_ns.store(slack_ns, Ordering::Relaxed);
    }

    /// What a thread that it makes takes over.
    pub(super) fn inherited(&self) -> Inherited {
        Inherited {
            no_new_privileges: self.has_no_new_privileges(),
            personality: self.personality(),
            timer_slack_ns: self.timer_slack_ns(),
        }
    }

    /// How many page faults it had.
    #[must_use]
    pub fn minor_faults(&self) -> u64 {
        self.minor_faults.load(Ordering::Relaxed)
    }

    pub(super) fn count_fault(&self) {
        self.minor_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes over another id, as execve(2) by a thread that is not the first does. The caller holds the signal lock
    /// and has taken the thread out of the process's list, which is ordered by id.
    pub(super) fn set_tid(&self, tid: Tid) {
        self.tid.store(tid.as_u32(), Ordering::Relaxed);
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

impl Member for Thread {
    fn attention(&self) -> &AttentionWord {
        &self.attention
    }

    fn wake(&self, sleeps: WakeMask) {
        // Nothing to do for a thread that sends to itself, or is sent to by an interrupt handler, while it is not about to
        // sleep: it looks at its attention before it goes to user mode.
        let is_current = super::try_current().is_some_and(|current| core::ptr::eq(&*current, self));
        if !is_current || self.scheduling.task.park.phase() != Phase::Runnable {
            scheduling::wake_and_interrupt(&self.to_arc(), sleeps);
        }
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
