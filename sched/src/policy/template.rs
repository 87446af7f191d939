//! A policy to start from: copy this file, rename what says "template", and change what you like.
//!
//! It works as it stands: tasks take turns in order of arrival. To make it yours:
//!
//! 1. copy the file to `sched/src/policy/NAME.rs` and rename [`Template`];
//! 2. give [`KIND`] your name, a sentence, and counters for what you want to know;
//! 3. in `sched/src/policy/mod.rs` add `pub mod NAME;` and a row `NAME::KIND` to [`POLICIES`](super::POLICIES);
//! 4. `cargo test -p sched` tries it against every law: no task lost, nobody waits for ever, no idle CPU;
//! 5. boot with `sched=NAME`, or `echo NAME > /proc/sys/kernel/sched_policy`.
//!
//! You need not think about locks, other CPUs, real-time tasks or affinity: each CPU has an instance of its own,
//! called by one CPU at a time; real-time tasks never come here; [`Policy::steal`] is how tasks leave for other CPUs.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{
    CounterKind, Event, Line, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement,
};
use crate::task::TaskId;

/// How long a task runs before others get their turn.
pub const SLICE: Nanos = Nanos::from_millis(5);

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "template",
    about: "a start for a policy of your own: turns of 5 ms in order of arrival",
    slice: SLICE,
    create: |_setup| Box::new(Template::default()),
    // Where a task goes when it wakes. Write your own function for something smarter.
    select_cpu: placement::idle_near_last,
    // What `Policy::counters` returns, in the same order. Shown by /proc/sched_policy.
    counters: &[CounterKind {
        name: "wakeups",
        unit: "tasks",
        about: "tasks that were queued because they woke",
    }],
};

/// What one CPU's instance knows. Here: who waits, and how long the current task may still run.
#[derive(Debug, Default)]
pub struct Template {
    line: Line,
    left: Nanos,
    wakeups: [u64; 1],
}

impl Policy for Template {
    /// Make room here; nothing else may allocate.
    fn reserve(&mut self, tasks: usize) -> bool {
        self.line.reserve(tasks)
    }

    /// A task is there to run. `event` says why; `task.weight`, `task.slice` and `task.memory` are yours to use.
    fn enqueue(&mut self, task: &TaskView, event: Event) {
        self.wakeups[0] += u64::from(event == Event::Woken);
        self.line.push_back(*task);
    }

    /// Who runs next, and for how long? `None` only if nobody waits.
    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        let task = self.line.pop_front()?;
        self.left = SLICE;
        Some(task.runs_for(SLICE))
    }

    /// The task that was picked has run for `ran`. Should it go on?
    fn tick(&mut self, ran: Nanos) -> Verdict {
        self.left = self.left.saturating_sub(ran);
        if self.left > Nanos::ZERO { Verdict::Continue(self.left) } else { Verdict::Reschedule }
    }

    /// Is `task`, just queued, so urgent that the running one has to stop?
    fn preempts(&mut self, _task: TaskId) -> bool {
        false
    }

    /// The running task goes to sleep, ends, or moves away. What you return comes back in `task.memory`.
    fn leave(&mut self, _event: Event) -> Memory {
        Memory::default()
    }

    /// Take this task out of the queue.
    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.line.remove(task)
    }

    /// Another CPU has nothing to do: which of the tasks that may move should it get?
    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        self.line.take_last(may_move)
    }

    /// The policy is being replaced: hand over the tasks, one at a time.
    fn drain(&mut self) -> Option<TaskView> {
        self.line.pop_front()
    }

    /// How many tasks wait.
    fn len(&self) -> usize {
        self.line.len()
    }

    /// The values of the counters above.
    fn counters(&self) -> &[u64] {
        &self.wakeups
    }
}
