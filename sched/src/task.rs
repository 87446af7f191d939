//! What the scheduler keeps in every task: [`TaskCore`], and how it gets at it: [`Schedulable`].
//!
//! Fields are grouped by who may write them. "Its queue's lock" is the lock of the run queue of [`TaskCore::cpu`]. Reading is
//! free for everyone: all fields are atomics, so that `/proc` and placement need no lock.

use arch::cpu::{AtomicCpuMask, CpuId, CpuMask};
use arch::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use arch::time::Nanos;

use crate::deadline::{Reservation, Server};
use crate::parameters::{Discipline, Nice, Parameters};
use crate::park::ParkState;
use crate::policy::{Event, Memory, TaskView};
use crate::slots::Slot;
use crate::urgency::Urgency;
use crate::watchdog::Mark;

/// In [`TaskCore::only`]: the task may run on several CPUs, or on none.
const NOT_PINNED: u16 = u16::MAX;

/// A task's number, never used again. (Thread ids are, and change hands at execve.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub u64);

/// What the scheduler schedules: anything that embeds a [`TaskCore`].
pub trait Schedulable: Send + Sync {
    /// The embedded scheduling state.
    fn task(&self) -> &TaskCore;

    /// Called whenever the task has been queued on `cpu`, under that queue's lock: for a trace. Must take no lock.
    fn was_queued(&self, _cpu: CpuId, _event: Event) {}
}

/// The scheduling state of one task.
#[derive(Debug)]
pub struct TaskCore {
    id: TaskId,
    /// Sleep and wake; rules in [`crate::park`].
    pub park: ParkState,

    // Written under the queue's lock; `cpu` under the lock of the queue that takes the task over.
    cpu: AtomicU16,
    slot: AtomicU32,
    memory: [AtomicU64; Memory::WORDS],
    /// Which policy the memory is for: see `RunQueue::generation`.
    memory_of: AtomicU32,
    queued_at: AtomicU64,
    server_deadline: AtomicU64,
    server_left: AtomicU64,
    /// See [`Self::waited`]: the value when `waited_epoch` began, and what the sum of all delays was then.
    waited_before: AtomicU64,
    delay_before: AtomicU64,
    waited_epoch: AtomicU32,
    waits_since: AtomicU64,
    chances: AtomicU32,
    started_at: AtomicU64,
    statistics: Counters,
    /// The sleeping task is among those that [`Scheduler::blocked`](crate::Scheduler::blocked) counts.
    counted_as_blocked: AtomicBool,

    // Written by anyone who may change the task's parameters, and then published by `Scheduler::refresh`.
    affinity: AtomicCpuMask,
    /// The one CPU in `affinity`, or [`NOT_PINNED`]. Taken back before it changes, and written after.
    only: AtomicU16,
    parameters: AtomicU32,
    slice_ns: AtomicU64,
    runtime_ns: AtomicU64,
    deadline_ns: AtomicU64,
    period_ns: AtomicU64,
    /// Urgency that others lend because they wait for this task.
    lent: AtomicU64,
    /// How often parameters or loan were changed.
    version: AtomicU32,
    /// What the task reserved was changed since it was queued last.
    renews_server: AtomicBool,
    /// The task exits, and reserves no bandwidth any more.
    retired: AtomicBool,
}

#[derive(Debug)]
struct Counters {
    run_time: AtomicU64,
    queue_delay: AtomicU64,
    slices: AtomicU64,
    voluntary: AtomicU64,
    involuntary: AtomicU64,
    migrations: AtomicU64,
    wake_ups: AtomicU64,
}

/// What a task has used and suffered so far. `/proc/[pid]/schedstat` and `/proc/[pid]/status` show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskStatistics {
    /// Time on a CPU, up to the last tick or switch.
    pub run_time: Nanos,
    /// Time runnable but waiting for a CPU.
    pub queue_delay: Nanos,
    /// How often it was given a CPU.
    pub slices: u64,
    /// Switches away because it slept or ended.
    pub voluntary_switches: u64,
    /// Switches away because it was preempted or yielded.
    pub involuntary_switches: u64,
    /// How often it began to run on another CPU than before.
    pub migrations: u64,
    /// How often it was woken.
    pub wake_ups: u64,
}

impl TaskCore {
    /// The state of a new task, asleep until its first wake-up.
    #[must_use]
    pub fn new(id: TaskId, parameters: Parameters, affinity: &CpuMask) -> Self {
        let core = Self {
            id,
            park: ParkState::new(),
            cpu: AtomicU16::new(0),
            slot: AtomicU32::new(Slot::NONE),
            memory: core::array::from_fn(|_| AtomicU64::new(0)),
            memory_of: AtomicU32::new(0),
            queued_at: AtomicU64::new(0),
            server_deadline: AtomicU64::new(0),
            server_left: AtomicU64::new(0),
            waited_before: AtomicU64::new(0),
            delay_before: AtomicU64::new(0),
            waited_epoch: AtomicU32::new(0),
            waits_since: AtomicU64::new(0),
            chances: AtomicU32::new(0),
            started_at: AtomicU64::new(0),
            statistics: Counters::new(),
            counted_as_blocked: AtomicBool::new(false),
            affinity: AtomicCpuMask::default(),
            only: AtomicU16::new(NOT_PINNED),
            parameters: AtomicU32::new(parameters.pack()),
            slice_ns: AtomicU64::new(parameters.slice.0),
            runtime_ns: AtomicU64::new(parameters.reservation.runtime.0),
            deadline_ns: AtomicU64::new(parameters.reservation.deadline.0),
            period_ns: AtomicU64::new(parameters.reservation.period.0),
            lent: AtomicU64::new(Urgency::IDLE.0),
            version: AtomicU32::new(0),
            renews_server: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        };
        core.set_affinity(affinity);
        core
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The CPU that the task runs or waits on, or ran on last.
    pub fn cpu(&self) -> CpuId {
        // SeqCst: see `Scheduler::refresh`.
        CpuId::new(self.cpu.load(Ordering::SeqCst) as usize)
    }

    /// The task's parameters.
    pub fn parameters(&self) -> Parameters {
        // SeqCst: see `Scheduler::refresh`.
        let word = self.parameters.load(Ordering::SeqCst);
        let read = |word: &AtomicU64| Nanos(word.load(Ordering::SeqCst));
        let reservation = Reservation {
            runtime: read(&self.runtime_ns),
            deadline: read(&self.deadline_ns),
            period: read(&self.period_ns),
        };
        Parameters::unpack(word, read(&self.slice_ns), reservation)
    }

    /// The task's discipline.
    pub(crate) fn discipline(&self) -> Discipline {
        // SeqCst: see `Scheduler::refresh`.
        Parameters::discipline_of(self.parameters.load(Ordering::SeqCst))
    }

    /// What a policy sees of the task, which is in `slot`.
    pub(crate) fn view(&self, slot: u32) -> TaskView {
        // SeqCst: see `Scheduler::refresh`.
        let word = self.parameters.load(Ordering::SeqCst);
        let discipline = Parameters::discipline_of(word);
        TaskView {
            id: self.id,
            slot,
            weight: Parameters::weight_of(discipline, Parameters::nice_of(word)).max(1),
            batch: matches!(discipline, Discipline::Batch | Discipline::Idle),
            slice: Nanos(self.slice_ns.load(Ordering::SeqCst)),
            memory: self.memory(),
        }
    }

    /// Whether the task has a positive nice value: its time in user mode is counted apart.
    pub fn is_nice(&self) -> bool {
        // Relaxed: a statistic does not care when a change takes effect.
        Parameters::nice_of(self.parameters.load(Ordering::Relaxed)) > Nice::default()
    }

    /// The CPUs that the task may run on.
    pub fn affinity(&self) -> CpuMask {
        // SeqCst: see `Scheduler::refresh`.
        self.affinity.load(Ordering::SeqCst)
    }

    /// What the task was lent.
    pub(crate) fn lent(&self) -> Urgency {
        // SeqCst: see `Scheduler::refresh`.
        Urgency(self.lent.load(Ordering::SeqCst))
    }

    pub(crate) fn set_lent(&self, urgency: Urgency) {
        self.lent.store(urgency.0, Ordering::SeqCst);
        self.raise_version();
    }

    /// A number that every change of the parameters and of what was lent raises *afterwards*.
    pub(crate) fn version(&self) -> u32 {
        // SeqCst: see `Scheduler::refresh`.
        self.version.load(Ordering::SeqCst)
    }

    fn raise_version(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the task belongs to a class above the fair one, by itself or by what it was lent.
    pub(crate) fn is_urgent(&self) -> bool {
        self.discipline().is_urgent() || self.lent() > Urgency::FAIR
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// Whether the task may run on one of `cpus`.
    pub(crate) fn may_run_on_any(&self, cpus: &AtomicCpuMask) -> bool {
        self.affinity.intersects(cpus, Ordering::SeqCst)
    }

    /// Whether the task may run on `cpu`.
    pub fn may_run_on(&self, cpu: CpuId) -> bool {
        self.affinity.contains(cpu, Ordering::SeqCst)
    }

    /// What the task has used so far.
    pub fn statistics(&self) -> TaskStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.statistics;
        TaskStatistics {
            run_time: Nanos(read(&counters.run_time)),
            queue_delay: Nanos(read(&counters.queue_delay)),
            slices: read(&counters.slices),
            voluntary_switches: read(&counters.voluntary),
            involuntary_switches: read(&counters.involuntary),
            migrations: read(&counters.migrations),
            wake_ups: read(&counters.wake_ups),
        }
    }

    /// When the task was put on its CPU last; the time since then is not in [`TaskStatistics::run_time`] yet.
    pub fn started_at(&self) -> Nanos {
        Nanos(self.started_at.load(Ordering::Relaxed))
    }

    pub(crate) fn set_cpu(&self, cpu: CpuId) {
        self.cpu.store(cpu.index() as u16, Ordering::SeqCst);
    }

    /// The task will be queued on `cpu`; counts the migration if it ran elsewhere before.
    pub(crate) fn move_to(&self, cpu: CpuId) {
        if self.cpu() != cpu {
            if self.statistics.slices.load(Ordering::Relaxed) > 0 {
                add(&self.statistics.migrations, 1);
            }
            self.set_cpu(cpu);
        }
    }

    pub(crate) fn set_parameters(&self, parameters: Parameters) {
        self.slice_ns.store(parameters.slice.0, Ordering::SeqCst);
        self.runtime_ns.store(parameters.reservation.runtime.0, Ordering::SeqCst);
        self.deadline_ns.store(parameters.reservation.deadline.0, Ordering::SeqCst);
        self.period_ns.store(parameters.reservation.period.0, Ordering::SeqCst);
        self.parameters.store(parameters.pack(), Ordering::SeqCst);
        self.raise_version();
    }

    pub(crate) fn set_affinity(&self, affinity: &CpuMask) {
        // While the set changes, nothing is said: who is woken meanwhile, perhaps by an interrupt of the CPU that is here, would be
        // sent to where it may not run, again and again.
        self.only.store(NOT_PINNED, Ordering::SeqCst);
        self.affinity.store(affinity, Ordering::SeqCst);
        let only = affinity.lowest().filter(|&cpu| affinity.is_only(cpu));
        let number = only.map_or(NOT_PINNED, |cpu| cpu.index() as u16);
        self.only.store(number, Ordering::SeqCst);
    }

    /// Whether `cpu` is the only one that the task may run on. For placement, which looks again with the queue locked.
    pub(crate) fn is_pinned_to(&self, cpu: CpuId) -> bool {
        // SeqCst: see `Scheduler::refresh`.
        self.only.load(Ordering::SeqCst) == cpu.index() as u16
    }

    /// Where the task is queued, or [`Slot::NONE`]. Stable under its queue's lock.
    pub(crate) fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory(core::array::from_fn(|i| self.memory[i].load(Ordering::Relaxed)))
    }

    /// The number of the policy that the memory is for.
    pub(crate) fn memory_of(&self) -> u32 {
        self.memory_of.load(Ordering::Relaxed)
    }

    /// Forgets the memory unless it is for policy number `generation`.
    pub(crate) fn remember_for(&self, generation: u32) {
        if self.memory_of() != generation {
            self.memory_of.store(generation, Ordering::Relaxed);
            self.set_memory(Memory::default());
        }
    }

    pub(crate) fn set_memory(&self, memory: Memory) {
        for (word, value) in self.memory.iter().zip(memory.0) {
            word.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_queued(&self, now: Nanos) {
        self.queued_at.store(now.0, Ordering::Relaxed);
    }

    /// What is left of the task's reservation.
    pub(crate) fn server(&self) -> Server {
        Server {
            deadline: Nanos(self.server_deadline.load(Ordering::Relaxed)),
            left: self.server_left.load(Ordering::Relaxed) as i64,
        }
    }

    /// The next time that the task is queued, a period begins.
    pub(crate) fn renew_server(&self) {
        // SeqCst: see `Scheduler::refresh`.
        self.renews_server.store(true, Ordering::SeqCst);
    }

    /// Whether a period begins now. For its queue's lock.
    pub(crate) fn takes_new_server(&self) -> bool {
        self.renews_server.load(Ordering::SeqCst)
            && self.renews_server.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn set_server(&self, server: Server) {
        self.server_deadline.store(server.deadline.0, Ordering::Relaxed);
        self.server_left.store(server.left as u64, Ordering::Relaxed);
    }

    /// When the task began to wait for its policy; see [`crate::watchdog`].
    pub(crate) fn mark(&self) -> Mark {
        let since = Nanos(self.waits_since.load(Ordering::Relaxed));
        Mark { since, chances: self.chances.load(Ordering::Relaxed) }
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        self.waits_since.store(mark.since.0, Ordering::Relaxed);
        self.chances.store(mark.chances, Ordering::Relaxed);
    }

    pub(crate) fn set_counted_as_blocked(&self) {
        self.counted_as_blocked.store(true, Ordering::Relaxed);
    }

    /// By the waker, after the task is off its CPU.
    pub(crate) fn take_counted_as_blocked(&self) -> bool {
        // A load and a store: only the one waker of a sleeping task gets here.
        let counted = self.counted_as_blocked.load(Ordering::Relaxed);
        if counted {
            self.counted_as_blocked.store(false, Ordering::Relaxed);
        }
        counted
    }

    pub(crate) fn note_woken(&self) {
        add(&self.statistics.wake_ups, 1);
    }

    /// How long the task has waited for a CPU lately: the sum of its delays, halved every four seconds or so.
    pub(crate) fn waited(&self, now: Nanos) -> Nanos {
        let epochs = epoch(now).wrapping_sub(self.waited_epoch.load(Ordering::Relaxed));
        let delay = self.statistics.queue_delay.load(Ordering::Relaxed);
        let since = delay.wrapping_sub(self.delay_before.load(Ordering::Relaxed));
        let waited = self.waited_before.load(Ordering::Relaxed).saturating_add(since);
        Nanos(waited.checked_shr(epochs).unwrap_or(0))
    }

    /// As [`waited`](Self::waited), of a queued task, with the time that it waits now.
    pub(crate) fn waited_until(&self, now: Nanos) -> Nanos {
        let since = Nanos(self.queued_at.load(Ordering::Relaxed));
        self.waited(now).saturating_add(now.saturating_sub(since))
    }

    #[cold]
    fn begin_epoch(&self, now: Nanos) {
        self.waited_before.store(self.waited(now).0, Ordering::Relaxed);
        let delay = self.statistics.queue_delay.load(Ordering::Relaxed);
        self.delay_before.store(delay, Ordering::Relaxed);
        self.waited_epoch.store(epoch(now), Ordering::Relaxed);
    }

    /// The task is put on its CPU. Returns how long it was queued.
    pub(crate) fn note_started(&self, now: Nanos) -> Nanos {
        let delay = now.0.saturating_sub(self.queued_at.load(Ordering::Relaxed));
        if self.waited_epoch.load(Ordering::Relaxed) != epoch(now) {
            self.begin_epoch(now);
        }
        add(&self.statistics.queue_delay, delay);
        add(&self.statistics.slices, 1);
        self.started_at.store(now.0, Ordering::Relaxed);
        Nanos(delay)
    }

    /// Accounts the time since the last call or start, and returns it.
    pub(crate) fn charge(&self, now: Nanos) -> Nanos {
        let started_at = self.started_at();
        let ran = now.saturating_sub(started_at);
        self.started_at.store(started_at.0 + ran.0, Ordering::Relaxed);
        add(&self.statistics.run_time, ran.0);
        ran
    }

    pub(crate) fn note_left_voluntarily(&self) {
        add(&self.statistics.voluntary, 1);
    }

    pub(crate) fn note_left_involuntarily(&self) {
        add(&self.statistics.involuntary, 1);
    }
}

/// The number of the stretch of 2^32 ns that `now` lies in.
const fn epoch(now: Nanos) -> u32 {
    (now.0 >> 32) as u32
}

/// The counters are written under the queue's lock only, so a load and a store replace the locked addition.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Counters {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            run_time: zero(),
            queue_delay: zero(),
            slices: zero(),
            voluntary: zero(),
            involuntary: zero(),
            migrations: zero(),
            wake_ups: zero(),
        }
    }
}
