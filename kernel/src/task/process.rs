//! A process: threads with one id, one address space, one set of signal actions. Key type: [`Process`].

use alloc::sync::{Arc, Weak};

use arch::sync::{Irq, Rank, SpinGuard, SpinLock};
use intrusive_collections::{KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};
use mm::AddressSpace;
use qcell::{QCell, QCellOwnerID};
use spin::Lazy;

use super::family::{self, FamilyGuard};
use super::group::{ProcessGroup, Session};
use super::id::Pid;
use super::limits::{INFINITY, Limits, Resource};
use super::thread::Thread;
use crate::signal::ProcessSignals;

intrusive_adapter!(pub(super) Children = Arc<Process>: Process { sibling_link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for Children {
    type Key = Pid;
    fn get_key(&self, process: &'a Process) -> Pid {
        process.pid()
    }
}

/// What ties a process to others.
pub(super) struct Kinship {
    /// Who waits for it; `None` for the first process and the kernel's own.
    pub parent: Option<Arc<Process>>,
    /// Its children, zombies included.
    pub children: RBTree<Children>,
    /// Its process group; `None` for the kernel's own.
    pub group: Option<Arc<ProcessGroup>>,
}

/// A process.
pub struct Process {
    // Fixed at creation.
    this: Weak<Process>,
    pid: Pid,
    signals_id: QCellOwnerID,

    // Guarded by the family lock.
    pub(super) kinship: QCell<Kinship>,
    sibling_link: RBTreeAtomicLink,
    pub(super) group_link: RBTreeAtomicLink,

    // Under the signal lock: the list of threads, pending signals, group exit and stop.
    signals: SpinLock<ProcessSignals, Irq>,

    // Each under a lock of its own, held for a copy.
    limits: SpinLock<Arc<Limits>>,
    space: SpinLock<Option<Arc<AddressSpace>>>,
}

impl Process {
    /// A process without threads that nobody knows yet.
    #[must_use]
    pub(super) fn new(pid: Pid, limits: Arc<Limits>, signals: ProcessSignals) -> Arc<Self> {
        let kinship = Kinship { parent: None, children: RBTree::new(Children::new()), group: None };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            pid,
            signals_id: signals.owner_id(),
            kinship: family::guarded(kinship),
            sibling_link: RBTreeAtomicLink::new(),
            group_link: RBTreeAtomicLink::new(),
            signals: SpinLock::new(Rank::SIGNAL, signals),
            limits: SpinLock::new(Rank::THREAD, limits),
            space: SpinLock::new(Rank::THREAD, None),
        })
    }

    /// The process of the kernel's own threads. It has no parent, no group and no user memory.
    #[must_use]
    pub fn kernel() -> &'static Arc<Self> {
        static KERNEL: Lazy<Arc<Process>> = Lazy::new(|| {
            Process::new(Pid::KERNEL, Arc::new(Limits::initial(INFINITY)), ProcessSignals::new())
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

    /// The address space; `None` for the kernel's own threads and at the end of a process.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.space.lock().clone()
    }

    /// Calls `visit` with each live thread, under the signal lock.
    pub fn for_each_thread(&self, visit: impl FnMut(&Thread)) {
        self.signals().threads.iter().for_each(visit);
    }

    /// Takes the signal lock.
    pub(crate) fn signals(&self) -> SpinGuard<'_, ProcessSignals, Irq> {
        self.signals.lock()
    }

    /// A value that only the holder of this process's signal lock may touch.
    pub(crate) fn guarded_by_signal_lock<T>(&self, value: T) -> QCell<T> {
        self.signals_id.cell(value)
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "process {}", self.pid)
    }
}
