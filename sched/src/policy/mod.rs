//! The fair class's policy: one interface, one file per policy.
//!
//! A [`Policy`] decides, for one CPU, which of the queued tasks runs next and for how long. It sees plain data
//! ([`TaskView`]) and returns plain data ([`Pick`]); it knows no lock, clock, interrupt or other CPU. The run queue
//! calls it under its lock, owns the tasks, and tells it every change as an [`Event`]:
//!
//! | event | the task was | and is now | call |
//! |---|---|---|---|
//! | `Spawned` | not there | queued for the first time | `enqueue` |
//! | `Woken` | asleep | queued | `enqueue` |
//! | `Preempted` | running here | queued here | `enqueue` |
//! | `Yielded` | running here, and gave way by itself | queued here | `enqueue` |
//! | `Migrated` | queued or running on another CPU, or its parameters changed | queued here | `enqueue` |
//! | `Blocked` | running here | asleep | `leave` |
//! | `MigratedAway` | running here | about to be queued elsewhere | `leave` |
//! | `Exited` | running here | gone | `leave` |
//!
//! The policy has at most one *current* task: the one that it returned from [`Policy::pick`] last, until
//! `enqueue` (preempted, yielded) or `leave` takes it back. All times are real nanoseconds of that task on
//! the CPU. What a policy wants to remember of a task while it sleeps or moves is the task's [`Memory`].

use alloc::boxed::Box;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;

use crate::task::TaskId;

pub mod broken;
pub mod chaos;
mod counters;
pub mod eevdf;
pub mod fifo;
mod line;
pub mod mlfq;
pub mod placement;
mod random;
pub mod round_robin;
pub mod stride;
pub mod template;

pub use counters::CounterKind;
pub use line::Line;
pub use random::Random;

/// A few words that a policy keeps with a task across sleeps and migrations. Zero for a new task, and after the policy
/// was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory(pub [u64; Memory::WORDS]);

impl Memory {
    /// How many words.
    pub const WORDS: usize = 2;
}

/// What a policy knows of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskView {
    /// Its number, stable for its life.
    pub id: TaskId,
    /// Its place in the run queue's table, as long as it is queued or runs there. A policy hands it back in [`Pick`].
    pub slot: u32,
    /// Its share of CPU time relative to others; 1024 at nice 0. Never zero.
    pub weight: u32,
    /// It wants throughput: it should not preempt others when it wakes (`SCHED_BATCH`, `SCHED_IDLE`).
    pub batch: bool,
    /// The slice that it asked for, or zero.
    pub slice: Nanos,
    /// What the policy remembered.
    pub memory: Memory,
}

impl TaskView {
    /// The slot in a view that is made for placement only.
    pub(crate) const NOT_QUEUED: u32 = u32::MAX;

    /// The decision that this task runs now, for `slice` before the policy is asked again, if others wait.
    #[must_use]
    #[inline]
    pub const fn runs_for(&self, slice: Nanos) -> Pick {
        Pick { task: self.id, slot: self.slot, slice }
    }
}

/// Why a task changes its state. The table in the module's documentation says between which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is new.
    Spawned,
    /// It slept and was woken.
    Woken,
    /// It ran here, and could run on.
    Preempted,
    /// It ran here, and asked to let others run first (`sched_yield(2)`).
    Yielded,
    /// It comes from another CPU or class, or has new parameters.
    Migrated,
    /// It went to sleep.
    Blocked,
    /// It goes to another CPU or class.
    MigratedAway,
    /// It has ended.
    Exited,
}

/// A policy's decision: see [`TaskView::runs_for`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// The task that runs now: one that was enqueued.
    pub task: TaskId,
    /// Its place in the run queue's table.
    pub slot: u32,
    /// How long it may run before the policy is asked again, if others wait.
    pub slice: Nanos,
}

/// Whether the current task should go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Let it run, at most this much longer before the next `tick`.
    Continue(Nanos),
    /// Let the policy pick again.
    Reschedule,
}

/// The scheduling policy of one CPU's fair class.
pub trait Policy: Send {
    /// Makes room for `tasks` queued tasks in all, so that `enqueue` never allocates. Says whether there was memory.
    #[must_use]
    fn reserve(&mut self, tasks: usize) -> bool;

    /// Queues `task`. For `Preempted` and `Yielded` it is the current task, which thereby stops being current; the view is
    /// the one that it was enqueued with before, with the same memory.
    fn enqueue(&mut self, task: &TaskView, event: Event);

    /// Chooses the next task, takes it out of the queue and makes it current. There is no current task.
    /// `None` exactly if nothing is queued. `now` is the time on the monotonic clock.
    fn pick(&mut self, now: Nanos) -> Option<Pick>;

    /// The current task has run for another `ran`. Called at each tick and before each change of the current task.
    fn tick(&mut self, ran: Nanos) -> Verdict;

    /// Whether `task`, just enqueued, should take the CPU from the current task at once.
    fn preempts(&mut self, task: TaskId) -> bool;

    /// The current task stops being current without being queued again. Returns what to remember of it.
    fn leave(&mut self, event: Event) -> Memory;

    /// Takes a queued task out, because its parameters or its affinity changed.
    fn remove(&mut self, task: TaskId) -> Option<TaskView>;

    /// Gives up a queued task that `may_move`, for another CPU: best one that does not mind waiting or cold caches.
    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView>;

    /// Takes any queued task out, until `None`: the policy is being replaced.
    fn drain(&mut self) -> Option<TaskView>;

    /// The values of the counters that the policy's row [describes](PolicyKind::counters), in that order.
    fn counters(&self) -> &[u64];

    /// How many tasks are queued, the current one not counted.
    fn len(&self) -> usize;

    /// Whether nothing is queued.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a policy may know of the CPUs when it places a task.
pub struct CpuSnapshot<'a> {
    /// The CPUs that the task may run on and that are online. Never empty.
    pub allowed: CpuMask,
    /// The CPUs that have nothing to do.
    pub idle: CpuMask,
    /// Where the task ran last, or where its parent runs.
    pub last: CpuId,
    /// The CPU that wakes it.
    pub waker: CpuId,
    /// How many tasks a CPU runs and has queued.
    pub load: &'a dyn Fn(CpuId) -> u32,
    /// A number that differs each time, for policies that leave something to chance.
    pub random: u64,
}

/// What an instance of a policy is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// The CPU that it is for.
    pub cpu: CpuId,
    /// Where chance starts from, the same for all CPUs. With the same seed and the same calls a policy decides the same.
    pub seed: u64,
}

/// A policy by name: one row of [`POLICIES`].
#[derive(Clone, Copy)]
pub struct PolicyKind {
    /// The name on the command line (`sched=`).
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The slice of a task that asked for none, as sched_rr_get_interval(2) reports it.
    pub slice: Nanos,
    /// Makes the instance of one CPU.
    pub create: fn(Setup) -> Box<dyn Policy>,
    /// Chooses the CPU for a task that is spawned or woken. Runs without any lock, so it sees a snapshot and has no instance.
    pub select_cpu: fn(&TaskView, &CpuSnapshot<'_>) -> CpuId,
    /// What the values of [`Policy::counters`] mean.
    pub counters: &'static [CounterKind],
}

impl PolicyKind {
    /// No policy has more counters.
    pub const MOST_COUNTERS: usize = 8;
}

impl core::fmt::Debug for PolicyKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

/// The policies in the box; the first is the default.
pub const POLICIES: &[PolicyKind] = &[
    eevdf::KIND,
    round_robin::KIND,
    mlfq::KIND,
    stride::KIND,
    fifo::KIND,
    chaos::KIND,
    template::KIND,
];

/// The policy called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static PolicyKind> {
    POLICIES.iter().find(|kind| kind.name == name)
}
