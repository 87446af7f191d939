//! A process: threads with one id, one address space, one set of signal actions. Key type: [`Process`].

use alloc::sync::{Arc, Weak};

use arch::clock;
use arch::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use arch::sync::{Irq, Rank, SpinGuard, SpinLock};
use arch::time::Nanos;
use intrusive_collections::{Bound, KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};
use mm::AddressSpace;
use qcell::{QCell, QCellOwnerID};
use spin::Lazy;

use super::account::Account;
use super::credentials::{Capability, Credentials};
use super::family::{self, FamilyGuard};
use super::group::{ProcessGroup, Session};
use super::id::{Pid, Tid};
use super::image::Image;
use super::limits::{INFINITY, Limits, Resource};
use super::name::Name;
use super::status::ExitStatus;
use super::thread::Thread;
use super::usage::Usage;
use crate::held_late;
use crate::scheduling::{Completion, LateLink, WaitQueue};
use crate::signal::timers::Timers;
use crate::signal::{ProcessSignals, Signal};

intrusive_adapter!(pub(super) Children = Arc<Process>: Process { sibling_link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for Children {
    type Key = Pid;
    fn get_key(&self, process: &'a Process) -> Pid {
        process.pid()
    }
}

/// What core files hold unless told otherwise: anonymous memory, and the first pages of ELF files.
const DEFAULT_CORE_FILTER: u32 = 0x33;

/// What ties a process to others.
pub(super) struct Kinship {
    /// Who waits for it; `None` for the first process, the kernel's own, and those that were reaped.
    pub parent: Option<Arc<Process>>,
    /// Its children, zombies included.
    pub children: RBTree<Children>,
    /// Its process group; `None` for the kernel's own, and those that were reaped.
    pub group: Option<Arc<ProcessGroup>>,
    /// Orphans among its descendants become its children.
    pub is_subreaper: bool,
    /// It has given its children away.
    pub is_ending: bool,
    /// How it ended: it is a zombie.
    pub exit: Option<ExitStatus>,
    /// The signal that tells the parent of its end; `None` to tell nobody.
    pub exit_signal: Option<Signal>,
    /// What it, and the children that it waited for, have used. Complete once it is a zombie.
    pub usage: Usage,
    pub children_usage: Usage,
}

/// What a process is made of.
pub(super) struct ProcessParts {
    pub pid: Pid,
    pub name: Name,
    pub limits: Arc<Limits>,
    pub signals: ProcessSignals,
    pub credentials: Arc<Credentials>,
    pub space: Option<Arc<AddressSpace>>,
    pub image: Arc<Image>,
    pub parent: Option<Arc<Process>>,
    pub group: Option<Arc<ProcessGroup>>,
    pub exit_signal: Option<Signal>,
    /// Completed when it no longer uses its parent's memory (vfork(2)).
    pub vfork: Option<Arc<Completion>>,
}

/// A process.
pub struct Process {
    // Fixed at creation.
    this: Weak<Process>,
    pid: Pid,
    signals_id: QCellOwnerID,
    started_at: Nanos,

    // Guarded by the family lock.
    pub(super) kinship: QCell<Kinship>,
    /// The id of the parent in `kinship`, read without the lock.
    parent_id: AtomicU32,
    sibling_link: RBTreeAtomicLink,
    pub(super) group_link: RBTreeAtomicLink,

    // Under the signal lock: the list of threads, pending signals, group exit and stop.
    signals: SpinLock<ProcessSignals, Irq>,

    // Under a lock of their own, rank PROCESS.
    pub(crate) timers: Timers,

    // Each under a lock of its own, rank THREAD, held for a copy.
    limits: SpinLock<Arc<Limits>>,
    /// The name of its first thread.
    name: SpinLock<Name>,
    credentials: SpinLock<Arc<Credentials>>,
    space: SpinLock<Option<Arc<AddressSpace>>>,
    image: SpinLock<Arc<Image>>,
    vfork: SpinLock<Option<Arc<Completion>>>,
    /// What its ended threads have used.
    pub(super) ended_threads: SpinLock<Usage, Irq>,

    late: LateLink<Process>,

    // Single words that order nothing else: relaxed.
    /// How the first thread ended, as a wait status; -1 while it lives.
    first_thread_status: AtomicI32,
    death_signal: AtomicU8,
    dumpable: AtomicU8,
    has_executed: AtomicBool,
    has_ended: AtomicBool,
    is_reaped: AtomicBool,
    hard_cpu_limit: AtomicU64,
    out_of_memory_adjustment: AtomicI32,
    /// Which memory a core file holds (`coredump_filter`).
    core_filter: AtomicU32,

    // Queues; they bring their own locks.
    /// Parents in wait(2), woken when a child's state changes.
    pub(super) child_events: WaitQueue,
    /// Pollers of pidfds, woken when the process has ended.
    pub(super) end: WaitQueue,
    /// Readers of signalfds, woken at each signal.
    signal_readers: WaitQueue,
    /// A thread in execve(2) that waits for the others to be gone.
    pub(super) thread_ends: WaitQueue,
}

held_late!(Process, late);

impl Process {
    /// A process without threads that nobody knows yet.
    #[must_use]
    pub(super) fn new(parts: ProcessParts) -> Arc<Self> {
        let kinship = Kinship {
            parent: parts.parent,
            children: RBTree::new(Children::new()),
            group: parts.group,
            is_subreaper: false,
            is_ending: false,
            exit: None,
            exit_signal: parts.exit_signal,
            usage: Usage::default(),
            children_usage: Usage::default(),
        };
        let parent_id = kinship.parent.as_ref().map_or(Pid::KERNEL, |parent| parent.pid());
        let hard_cpu_limit = parts.limits.get(Resource::Cpu).hard;
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            pid: parts.pid,
            signals_id: parts.signals.owner_id(),
            started_at: clock::now(),
            kinship: family::guarded(kinship),
            parent_id: AtomicU32::new(parent_id.as_u32()),
            sibling_link: RBTreeAtomicLink::new(),
            group_link: RBTreeAtomicLink::new(),
            signals: SpinLock::new(Rank::SIGNAL, parts.signals),
            timers: Timers::new(this.clone()),
            limits: SpinLock::new(Rank::THREAD, parts.limits),
            name: SpinLock::new(Rank::THREAD, parts.name),
            credentials: SpinLock::new(Rank::THREAD, parts.credentials),
            space: SpinLock::new(Rank::THREAD, parts.space),
            image: SpinLock::new(Rank::THREAD, parts.image),
            vfork: SpinLock::new(Rank::THREAD, parts.vfork),
            ended_threads: SpinLock::new(Rank::THREAD, Usage::default()),
            late: LateLink::new(),
            first_thread_status: AtomicI32::new(-1),
            death_signal: AtomicU8::new(0),
            dumpable: AtomicU8::new(1),
            has_executed: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_reaped: AtomicBool::new(false),
            hard_cpu_limit: AtomicU64::new(hard_cpu_limit),
            out_of_memory_adjustment: AtomicI32::new(0),
            core_filter: AtomicU32::new(DEFAULT_CORE_FILTER),
            child_events: WaitQueue::new(),
            end: WaitQueue::new(),
            signal_readers: WaitQueue::new(),
            thread_ends: WaitQueue::new(),
        })
    }

    /// The process of the kernel's own threads. It has no parent, no group and no user memory.
    #[must_use]
    pub fn kernel() -> &'static Arc<Self> {
        static KERNEL: Lazy<Arc<Process>> = Lazy::new(|| {
            Process::new(ProcessParts {
                pid: Pid::KERNEL,
                name: Name::new(b"kernel"),
                limits: Arc::new(Limits::initial(INFINITY)),
                signals: ProcessSignals::of_the_kernel(),
                credentials: Arc::new(Credentials::root(Account::of(0))),
                space: None,
                image: Image::none(),
                parent: None,
                group: None,
                exit_signal: None,
                vfork: None,
            })
        });
        &KERNEL
    }

    /// A counted reference to this process.
    ///
    /// # Panics
    /// From the process's own destructor, where no reference can exist any more.
    #[must_use]
    pub fn to_arc(&self) -> Arc<Self> {
        self.this.upgrade().expect("a process that is in use has references")
    }

    /// The id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it was made, on the monotonic clock.
    #[must_use]
    pub fn started_at(&self) -> Nanos {
        self.started_at
    }

    /// The id of its parent, for whoever can do without the family lock; 0 for the first process and the kernel's own.
    #[must_use]
    pub fn parent_id(&self) -> Pid {
        // Relaxed: it names a process and publishes nothing of it.
        Pid::new(self.parent_id.load(Ordering::Relaxed))
    }

    /// Gives it another parent, or none, and returns the former one.
    pub(super) fn replace_parent(
        &self,
        parent: Option<Arc<Process>>,
        family: &mut FamilyGuard,
    ) -> Option<Arc<Process>> {
        let id = parent.as_ref().map_or(Pid::KERNEL, |parent| parent.pid());
        self.parent_id.store(id.as_u32(), Ordering::Relaxed);
        core::mem::replace(&mut family.rw(&self.kinship).parent, parent)
    }

    /// Its parent; `None` for the first process and the kernel's own.
    #[must_use]
    pub fn parent(&self, family: &FamilyGuard) -> Option<Arc<Process>> {
        family.ro(&self.kinship).parent.clone()
    }

    /// The process group; `None` for the kernel's own processes.
    #[must_use]
    pub fn group(&self, family: &FamilyGuard) -> Option<Arc<ProcessGroup>> {
        family.ro(&self.kinship).group.clone()
    }

    /// The session; `None` for the kernel's own processes.
    #[must_use]
    pub fn session(&self, family: &FamilyGuard) -> Option<Arc<Session>> {
        Some(family.ro(&self.kinship).group.as_ref()?.session().clone())
    }

    /// How it ended, if it is a zombie.
    #[must_use]
    pub fn exit_status(&self, family: &FamilyGuard) -> Option<ExitStatus> {
        family.ro(&self.kinship).exit
    }

    /// The resource limits.
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.lock().clone()
    }

    /// The enforced limit on `resource`.
    #[must_use]
    pub fn limit(&self, resource: Resource) -> u64 {
        self.limits.lock().soft(resource)
    }

    /// The limits that bear on memory, for the operations of its address space.
    #[must_use]
    pub fn memory_limits(&self) -> mm::Limits {
        let limits = self.limits();
        let may_lock = self.credentials().has(Capability::IpcLock);
        mm::Limits {
            address_space: limits.soft(Resource::AddressSpace),
            data: limits.soft(Resource::Data),
            stack: limits.soft(Resource::Stack),
            locked: if may_lock { u64::MAX } else { limits.soft(Resource::LockedMemory) },
        }
    }

    /// The limits that bear on the growth of a stack, for page faults: the others are not asked then.
    #[must_use]
    pub fn growth_limits(&self) -> mm::Limits {
        let limits = self.limits.lock();
        mm::Limits {
            address_space: limits.soft(Resource::AddressSpace),
            stack: limits.soft(Resource::Stack),
            ..mm::Limits::NONE
        }
    }

    /// The hard limit on CPU time in seconds. Kept apart for the interrupt handler that asks.
    #[must_use]
    pub(crate) fn hard_cpu_limit(&self) -> u64 {
        self.hard_cpu_limit.load(Ordering::Relaxed)
    }

    /// Changes the limits by `change`.
    pub(super) fn change_limits<R>(&self, change: impl FnOnce(&mut Limits) -> R) -> R {
        let mut limits = self.limits.lock();
        let result = change(Arc::make_mut(&mut limits));
        let queue_limit = limits.soft(Resource::PendingSignals);
        self.hard_cpu_limit.store(limits.get(Resource::Cpu).hard, Ordering::Relaxed);
        drop(limits);
        self.signals().queue_limit = queue_limit;
        result
    }

    /// The name of its first thread, also when it has ended.
    #[must_use]
    pub fn name(&self) -> Name {
        *self.name.lock()
    }

    pub(super) fn set_name(&self, name: Name) {
        *self.name.lock() = name;
    }

    /// Whom its first thread acts for.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    pub(super) fn set_credentials(&self, credentials: Arc<Credentials>) {
        let account = credentials.account.clone();
        let former = core::mem::replace(&mut *self.credentials.lock(), credentials);
        let former_account = core::mem::replace(&mut self.signals().account, account);
        drop((former, former_account));
    }

    /// Its memory; `None` for the kernel's own and for a zombie.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.space.lock().clone()
    }

    /// Replaces its memory and returns the former.
    #[must_use = "the former memory is freed where this is dropped"]
    pub(super) fn replace_space(
        &self,
        space: Option<Arc<AddressSpace>>,
    ) -> Option<Arc<AddressSpace>> {
        core::mem::replace(&mut *self.space.lock(), space)
    }

    /// The program that it runs.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.image.lock().clone()
    }

    pub(super) fn set_image(&self, image: Arc<Image>) {
        let former = core::mem::replace(&mut *self.image.lock(), image);
        drop(former);
    }

    /// It no longer uses its parent's memory: the parent, if it waits in vfork(2), goes on.
    pub(super) fn complete_vfork(&self) {
        let vfork = self.vfork.lock().take();
        if let Some(vfork) = vfork {
            vfork.complete();
        }
    }

    /// Takes the signal lock.
    pub(crate) fn signals(&self) -> SpinGuard<'_, ProcessSignals, Irq> {
        self.signals.lock()
    }

    /// A value that only the holder of this process's signal lock may touch.
    pub(crate) fn guarded_by_signal_lock<T>(&self, value: T) -> QCell<T> {
        self.signals_id.cell(value)
    }

    /// Readers of signalfds.
    #[must_use]
    pub fn signal_readers(&self) -> &WaitQueue {
        &self.signal_readers
    }

    /// The first thread, or another one when it has ended; `None` for a zombie.
    #[must_use]
    pub fn main_thread(&self) -> Option<Arc<Thread>> {
        self.signals().main_thread().map(Thread::to_arc)
    }

    /// The live thread with the lowest id from `tid` on.
    #[must_use]
    pub fn thread_from(&self, tid: Tid) -> Option<Arc<Thread>> {
        self.signals().threads.lower_bound(Bound::Included(&tid)).get().map(Thread::to_arc)
    }

    /// The live threads, by id, looked up one by one: however many they are, no lock is held while they are visited.
    pub fn threads(&self) -> impl Iterator<Item = Arc<Thread>> {
        let mut next = Some(Tid::new(0));
        core::iter::from_fn(move || {
            let thread = self.thread_from(next?)?;
            next = thread.tid().as_u32().checked_add(1).map(Tid::new);
            Some(thread)
        })
    }

    /// Calls `visit` for every live thread, with the signal lock held.
    pub fn for_each_thread(&self, visit: impl FnMut(&Thread)) {
        self.signals().threads.iter().for_each(visit);
    }

    /// The signal that it gets when its parent ends (prctl(2), `PR_SET_PDEATHSIG`).
    #[must_use]
    pub fn death_signal(&self) -> Option<Signal> {
        Signal::new(u32::from(self.death_signal.load(Ordering::Relaxed)))
    }

    pub(super) fn set_death_signal(&self, signal: Option<Signal>) {
        self.death_signal.store(signal.map_or(0, Signal::number), Ordering::Relaxed);
    }

    /// Whether others may look into it, as `PR_GET_DUMPABLE` numbers it.
    #[must_use]
    pub fn dumpable(&self) -> u8 {
        self.dumpable.load(Ordering::Relaxed)
    }

    pub(super) fn set_dumpable(&self, value: u8) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// Whether it has called execve(2).
    #[must_use]
    pub fn has_executed(&self) -> bool {
        self.has_executed.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_executed(&self) {
        self.has_executed.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended. Takes no lock.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// It has ended: who waits for that by a pidfd goes on.
    pub(super) fn announce_end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.end.wake_all();
    }

    /// Whether its parent has taken its status: only references like pidfds are left of it.
    #[must_use]
    pub fn has_been_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }

    pub(super) fn set_reaped(&self) {
        self.is_reaped.store(true, Ordering::Release);
    }

    /// How readily the out-of-memory killer takes it: -1000 never, 1000 first (`/proc/PID/oom_score_adj`).
    #[must_use]
    pub fn out_of_memory_adjustment(&self) -> i32 {
        self.out_of_memory_adjustment.load(Ordering::Relaxed)
    }

    /// Sets [`out_of_memory_adjustment`](Self::out_of_memory_adjustment).
    pub fn set_out_of_memory_adjustment(&self, value: i32) {
        self.out_of_memory_adjustment.store(value, Ordering::Relaxed);
    }

    /// Which memory a core file holds: the bits of `/proc/PID/coredump_filter` (core(5)).
    #[must_use]
    pub fn core_filter(&self) -> u32 {
        self.core_filter.load(Ordering::Relaxed)
    }

    /// Sets [`core_filter`](Self::core_filter).
    pub fn set_core_filter(&self, filter: u32) {
        self.core_filter.store(filter, Ordering::Relaxed);
    }

    /// Remembers how the first thread ended.
    pub(super) fn note_first_thread_end(&self, status: u8) {
        self.first_thread_status.store(i32::from(status), Ordering::Relaxed);
    }

    /// The first thread is another one now: a thread that called execve(2).
    pub(super) fn forget_first_thread_end(&self) {
        self.first_thread_status.store(-1, Ordering::Relaxed);
    }

    /// With what status the first thread ended by exit(2), if it has.
    pub(super) fn first_thread_end(&self) -> Option<u8> {
        u8::try_from(self.first_thread_status.load(Ordering::Relaxed)).ok()
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "process {}", self.pid)
    }
}
