//! First in, first out: who has the CPU keeps it until it sleeps.
//!
//! The fewest switches that there can be, good for batch work and bad for anybody who waits. Whoever has run for
//! [`SLICE`] without sleeping goes to the back all the same: a machine with a loop on every CPU stays usable.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{
    CounterKind, Event, Line, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement,
};
use crate::task::TaskId;

/// The longest that a task runs before others.
pub const SLICE: Nanos = Nanos::from_millis(500);

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "fifo",
    about: "first in, first out: a task runs until it sleeps, or for half a second",
    slice: SLICE,
    create: |_| Box::new(Fifo::default()),
    select_cpu: placement::idle_near_last,
    counters: &[
        CounterKind {
            name: "cut_short",
            unit: "turns",
            about: "turns that ended because they had lasted for half a second",
        },
        CounterKind {
            name: "longest_queue",
            unit: "tasks",
            about: "the most tasks that have ever waited at once",
        },
    ],
};

/// A queue, and what is left of the current task's turn.
#[derive(Debug, Default)]
pub struct Fifo {
    line: Line,
    left: Nanos,
    counters: [u64; 2],
}

impl Policy for Fifo {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.line.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        // A more urgent class interrupted it: it goes on where it was.
        let resumes = event == Event::Preempted && self.left > Nanos::ZERO;
        let memory = Memory([if resumes { self.left.0 } else { 0 }, 0]);
        let task = TaskView { memory, ..*task };
        if resumes {
            self.line.push_front(task)
        } else {
            self.line.push_back(task)
        }
        self.counters[1] = self.counters[1].max(self.line.len() as u64);
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        let task = self.line.pop_front()?;
        let rest = task.memory.0[0];
        self.left = if rest > 0 { Nanos(rest) } else { SLICE };
        Some(task.runs_for(self.left))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        self.left = self.left.saturating_sub(ran);
        if self.left > Nanos::ZERO {
            return Verdict::Continue(self.left);
        }
        self.counters[0] += 1;
        Verdict::Reschedule
    }

    fn preempts(&mut self, _task: TaskId) -> bool {
        false
    }

    fn leave(&mut self, _event: Event) -> Memory {
        Memory::default()
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.line.remove(task)
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // From the front: whoever takes it runs it at once, and it has waited longest.
        self.line.take_first(may_move)
    }

    fn drain(&mut self) -> Option<TaskView> {
        self.line.pop_front()
    }

    fn len(&self) -> usize {
        self.line.len()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}
