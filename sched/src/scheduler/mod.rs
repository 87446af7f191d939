//! All CPUs' run queues and what goes on between them. Key types: [`Scheduler`], [`Switch`].
//!
//! - [`wake`](Scheduler::wake) and [`spawn`](Scheduler::spawn) (in `wake.rs`) make a task runnable;
//! - [`begin_switch`](Scheduler::begin_switch) (in `switch.rs`) takes a CPU from one task and chooses the next;
//! - [`tick`](Scheduler::tick) and [`balance`](Scheduler::balance) (in `balance.rs`) keep it fair over time;
//! - [`replace_policy`](Scheduler::replace_policy) (in `replace.rs`) changes the fair class's policy while all runs;
//! - [`set_parameters`](Scheduler::set_parameters) and [`set_affinity`](Scheduler::set_affinity) (in `change.rs`).
//!
//! Of each CPU, a few facts are published in atomics, so that placement needs no lock. They are written under the
//! queue's lock and read as hints by others; only `resched` carries a duty (see [`Resched`]).

mod balance;
mod change;
mod replace;
mod switch;
mod urgent;
mod wake;

use alloc::sync::Arc;

use arch::cpu::{AtomicCpuMask, CpuId, CpuMask};
use arch::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use arch::sync::{Irq, PerCpu, Rank, SpinGuard, SpinLock};
use arch::time::Nanos;
pub use change::{Loan, Overcommitted};
pub use replace::Replaced;
pub use switch::{Fate, Leave, Switch, Switched};

use crate::policy::{POLICIES, PolicyKind, Setup, broken};
use crate::resched::Resched;
use crate::run_queue::RunQueue;
use crate::statistics::CpuStatistics;
use crate::task::{Schedulable, TaskCore, TaskId};
use crate::watchdog::{PATIENCE, Starved};

/// There is no memory for another task's places in the queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// The lock on a CPU's run queue.
pub type QueueGuard<'a, T> = SpinGuard<'a, RunQueue<T>, Irq>;

/// One CPU's queue and what is published of it.
pub struct CpuQueue<T: Schedulable> {
    queue: SpinLock<RunQueue<T>, Irq>,
    /// Tasks queued and running, the CPU's own not counted.
    load: AtomicU32,
    /// How urgent the running task is.
    urgency: AtomicU64,
    /// How urgent the first waiting deadline or real-time task is; zero if there is none.
    waiting: AtomicU64,
    /// When the scheduler wants [`Scheduler::tick`] to be called.
    deadline: AtomicU64,
    /// The CPU was told to switch and has not yet. Set by whoever tells it, cleared by `begin_switch`.
    resched: AtomicBool,
    /// When this CPU may next give a task away.
    balance_at: AtomicU64,
    switches: AtomicU64,
}

/// The room that all queues have, and how much of it is taken.
#[derive(Debug, Default)]
struct Room {
    tasks: usize,
    reserved: usize,
    /// How often the policy was replaced.
    generation: u32,
}

/// The scheduler of the machine.
pub struct Scheduler<T: Schedulable> {
    cpus: PerCpu<CpuQueue<T>>,
    /// The policy that it was made with.
    first_policy: &'static PolicyKind,
    /// The present one's number: see [`Scheduler::policy`].
    policy: AtomicUsize,
    seed: u64,
    /// How long a fair task may wait, in nanoseconds; see [`crate::watchdog`].
    patience: AtomicU64,
    /// A tick found a starved task.
    alarm: AtomicBool,
    online: AtomicCpuMask,
    idle: AtomicCpuMask,
    room: SpinLock<Room>,
    next_id: AtomicU64,
    spawned: AtomicU64,
    blocked: AtomicU32,
    /// On how many CPUs deadline or real-time tasks wait.
    urgent_cpus: AtomicU32,
    /// How often one was [offered](Self::offer) to the other CPUs.
    urgent_arrivals: AtomicU64,
    /// What deadline tasks have reserved, with [`crate::deadline::BANDWIDTH_SHIFT`] fractional bits.
    bandwidth: SpinLock<u64>,
    /// How often a task was lent urgency.
    loans: AtomicU64,
}

impl<T: Schedulable> Scheduler<T> {
    /// Queues for `cpus` CPUs, none of them online, with `policy` for the fair class.
    #[must_use]
    pub fn new(cpus: usize, policy: &'static PolicyKind) -> Self {
        Self::with_seed(cpus, policy, 0)
    }

    /// As [`new`](Self::new); policies that leave something to chance start from `seed`.
    #[must_use]
    pub fn with_seed(cpus: usize, policy: &'static PolicyKind, seed: u64) -> Self {
        let create = |cpu| (policy.create)(Setup { cpu, seed });
        Self {
            cpus: PerCpu::new(cpus, |cpu| CpuQueue::new(RunQueue::new(cpu, create(cpu)))),
            first_policy: policy,
            policy: AtomicUsize::new(0),
            seed,
            patience: AtomicU64::new(PATIENCE.0),
            alarm: AtomicBool::new(false),
            online: AtomicCpuMask::default(),
            idle: AtomicCpuMask::default(),
            room: SpinLock::new(Rank::TASK, Room::default()),
            next_id: AtomicU64::new(1),
            spawned: AtomicU64::new(0),
            blocked: AtomicU32::new(0),
            urgent_cpus: AtomicU32::new(0),
            urgent_arrivals: AtomicU64::new(0),
            bandwidth: SpinLock::new(Rank::TASK, 0),
            loans: AtomicU64::new(0),
        }
    }

    /// The policy of the fair class.
    #[must_use]
    pub fn policy(&self) -> &'static PolicyKind {
        // Relaxed: who acts on it takes a queue's lock afterwards, or needs only a hint.
        match self.policy.load(Ordering::Relaxed) {
            0 => self.first_policy,
            number => POLICIES.get(number - 1).unwrap_or(&broken::KIND),
        }
    }

    /// How long a fair task may wait at nice 0 before it counts as [starved](crate::watchdog); zero: for ever.
    pub fn set_patience(&self, patience: Nanos) {
        self.patience.store(patience.0, Ordering::Relaxed);
    }

    /// See [`set_patience`](Self::set_patience).
    pub fn patience(&self) -> Nanos {
        Nanos(self.patience.load(Ordering::Relaxed))
    }

    /// Whether a tick has found a starved task since this was asked last.
    pub fn take_alarm(&self) -> bool {
        self.alarm.load(Ordering::Relaxed) && self.alarm.swap(false, Ordering::Relaxed)
    }

    /// The task that has starved longest, if any has.
    pub fn starved(&self, now: Nanos) -> Option<Starved<T>> {
        let (patience, slice) = (self.patience(), self.policy().slice);
        if patience == Nanos::ZERO {
            return None;
        }
        let mut worst: Option<Starved<T>> = None;
        for (_, cpu) in self.cpus.iter() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let (starved, next) = cpu.queue.lock().starved(slot, patience, slice, now);
                from = next;
                worst = worst.into_iter().chain(starved).max_by_key(|starved| starved.waited);
            }
        }
        worst
    }

    /// Takes the CPU's own task, on which the caller runs, and begins to schedule there.
    pub fn bring_online(&self, cpu: CpuId, idle: Arc<T>, now: Nanos) {
        let this = self.cpus.get(cpu);
        let mut queue = this.queue.lock();
        queue.set_idle(idle, now);
        self.publish(this, cpu, &queue);
        self.publish_idleness(cpu, queue.load() == 0);
        self.online.insert(cpu, Ordering::AcqRel);
    }

    /// The CPUs that take part.
    pub fn online(&self) -> CpuMask {
        self.online.load(Ordering::Acquire)
    }

    /// The CPUs that have nothing to do.
    pub fn idle(&self) -> CpuMask {
        self.idle.load(Ordering::Relaxed)
    }

    /// Makes room for one more task in every queue, so that waking it never needs memory, and names it.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed then. Each success is undone by one [`release_task`](Self::release_task).
    pub fn reserve_task(&self) -> Result<TaskId, OutOfMemory> {
        let mut room = self.room.lock();
        if room.tasks == room.reserved {
            let total = (room.reserved * 2).max(64);
            for (_, cpu) in self.cpus.iter() {
                if !cpu.queue.lock().reserve(total) {
                    return Err(OutOfMemory);
                }
            }
            room.reserved = total;
        }
        room.tasks += 1;
        Ok(TaskId(self.next_id.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives back the room of a task that is gone or never came to be.
    pub fn release_task(&self) {
        self.room.lock().tasks -= 1;
    }

    /// Whether `cpu` should call [`begin_switch`](Self::begin_switch) as soon as it may.
    pub fn should_switch(&self, cpu: CpuId) -> bool {
        self.cpus.get(cpu).resched.load(Ordering::Acquire)
    }

    /// When [`tick`](Self::tick) should be called on `cpu`; [`Nanos::MAX`] if nobody waits there. Look again after a
    /// switch and on [`Resched`].
    pub fn deadline(&self, cpu: CpuId) -> Nanos {
        Nanos(self.cpus.get(cpu).deadline.load(Ordering::Acquire))
    }

    /// When [`tick`](Self::tick) should be called on `cpu`, as [`deadline`](Self::deadline); `None` if it
    /// [should switch](Self::should_switch), which decides that anew.
    pub fn next_tick(&self, cpu: CpuId) -> Option<Nanos> {
        self.cpus.get(cpu).next_tick()
    }

    /// How many tasks `cpu` runs and has queued.
    pub fn load(&self, cpu: CpuId) -> u32 {
        self.cpus.get(cpu).load.load(Ordering::Relaxed)
    }

    /// How many tasks run or wait for a CPU.
    pub fn runnable(&self) -> u32 {
        self.cpus.iter().map(|(_, cpu)| cpu.load.load(Ordering::Relaxed)).sum()
    }

    /// How many tasks sleep uninterruptibly (or only for a fatal signal).
    pub fn blocked(&self) -> u32 {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Context switches on `cpu` so far.
    pub fn switches(&self, cpu: CpuId) -> u64 {
        self.cpus.get(cpu).switches.load(Ordering::Relaxed)
    }

    /// What `cpu` has counted so far.
    pub fn statistics(&self, cpu: CpuId) -> CpuStatistics {
        self.cpus.get(cpu).queue.lock().statistics
    }

    /// Tasks started so far.
    pub fn spawned(&self) -> u64 {
        self.spawned.load(Ordering::Relaxed)
    }

    /// The queue of `cpu`.
    #[must_use]
    pub fn queue(&self, cpu: CpuId) -> &CpuQueue<T> {
        self.cpus.get(cpu)
    }

    /// The CPUs that a task with this affinity can use now: all, if it allows none that is online. Before any is online,
    /// everything waits for the boot processor.
    fn usable(&self, affinity: &CpuMask) -> CpuMask {
        let online = self.online();
        let usable = affinity.and(&online);
        match (usable.is_empty(), online.is_empty()) {
            (false, _) => usable,
            (true, false) => online,
            (true, true) => CpuMask::only(CpuId::BOOT),
        }
    }

    fn is_online(&self, cpu: CpuId) -> bool {
        self.online.contains(cpu, Ordering::Acquire)
    }

    /// Whether a task has to leave `cpu`, or to keep away from it.
    #[inline(always)]
    fn must_leave(&self, cpu: CpuId, task: &TaskCore) -> bool {
        let may_stay = task.may_run_on(cpu) && self.is_online(cpu);
        !may_stay && self.is_barred(cpu, task)
    }

    /// Whether there are CPUs for a task, but `cpu` is none of them.
    #[cold]
    fn is_barred(&self, cpu: CpuId, task: &TaskCore) -> bool {
        !self.usable(&task.affinity()).contains(cpu)
    }

    /// Publishes the facts about `cpu`. Called before its queue's lock is released after any change.
    #[inline(always)]
    fn publish(&self, this: &CpuQueue<T>, cpu: CpuId, queue: &RunQueue<T>) {
        let load = queue.load();
        // Written under the queue's lock only, so the former value is exact.
        if this.load.load(Ordering::Relaxed) != load {
            this.load.store(load, Ordering::Relaxed);
            self.publish_idleness(cpu, load == 0);
        }
        this.urgency.store(queue.urgency().0, Ordering::Relaxed);
        self.publish_waiting(this, queue);
        // Release pairs with the acquire in `deadline`, on this CPU or after its reschedule interrupt.
        this.deadline.store(queue.deadline().0, Ordering::Release);
    }

    /// Publishes whether `cpu` has nothing to do.
    fn publish_idleness(&self, cpu: CpuId, is_idle: bool) {
        if is_idle != self.idle.contains(cpu, Ordering::Relaxed) {
            if is_idle {
                self.idle.insert(cpu, Ordering::Relaxed);
            } else {
                self.idle.remove(cpu, Ordering::Relaxed);
            }
        }
    }

    /// Tells `cpu` to switch, once.
    fn tell(&self, cpu: CpuId, here: CpuId) -> Resched {
        // Acquire and release: pairs with the clearing in `begin_switch`, which then sees what was queued.
        let told = self.cpus.get(cpu).resched.swap(true, Ordering::AcqRel);
        // Another CPU's interrupt may still be on its way; this CPU need not wait for it.
        if told && cpu != here { Resched::No } else { Resched::look(cpu, here) }
    }
}

impl<T: Schedulable> CpuQueue<T> {
    fn new(queue: RunQueue<T>) -> Self {
        Self {
            queue: SpinLock::new(Rank::RUN_QUEUE, queue),
            load: AtomicU32::new(0),
            urgency: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            resched: AtomicBool::new(false),
            balance_at: AtomicU64::new(0),
            switches: AtomicU64::new(0),
        }
    }

    /// Takes the queue's lock.
    pub fn lock(&self) -> QueueGuard<'_, T> {
        self.queue.lock()
    }

    /// The lock itself, for the incoming task to release (see [`Switch`]).
    #[must_use]
    pub fn spin_lock(&self) -> &SpinLock<RunQueue<T>, Irq> {
        &self.queue
    }

    /// See [`Scheduler::next_tick`].
    pub fn next_tick(&self) -> Option<Nanos> {
        let switches = self.resched.load(Ordering::Acquire);
        (!switches).then(|| Nanos(self.deadline.load(Ordering::Acquire)))
    }
}
