//! Round-robin: everyone takes turns, each for the same time. Weights are ignored.
//!
//! The simplest policy that is still fair among equals, and the one to read first.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{
    CounterKind, Event, Line, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement,
};
use crate::task::TaskId;

/// How long a turn lasts.
pub const SLICE: Nanos = Nanos::from_millis(4);

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "rr",
    about: "round-robin: equal turns of 4 ms in order of arrival, whatever the nice values",
    slice: SLICE,
    create: |_| Box::new(RoundRobin::default()),
    select_cpu: placement::idle_near_last,
    counters: &[CounterKind {
        name: "turns",
        unit: "turns",
        about: "turns that were used to the end",
    }],
};

/// A queue, and what is left of the current task's turn.
#[derive(Debug, Default)]
pub struct RoundRobin {
    line: Line,
    left: Nanos,
    turns: [u64; 1],
}

impl Policy for RoundRobin {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.line.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        // Who was interrupted within a turn goes on with the rest of it, first; everyone else queues up.
        let resumes = event == Event::Preempted && self.left > Nanos::ZERO;
        let memory = Memory([if resumes { self.left.0 } else { 0 }, 0]);
        let task = TaskView { memory, ..*task };
        if resumes { self.line.push_front(task) } else { self.line.push_back(task) }
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        let task = self.line.pop_front()?;
        let rest = task.memory.0[0];
        let turn = if task.slice > Nanos::ZERO { task.slice } else { SLICE };
        self.left = if rest > 0 { Nanos(rest) } else { turn };
        Some(task.runs_for(self.left))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        self.left = self.left.saturating_sub(ran);
        if self.left > Nanos::ZERO {
            return Verdict::Continue(self.left);
        }
        self.turns[0] += 1;
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
        // From the back: it would wait longest here.
        self.line.take_last(may_move)
    }

    fn drain(&mut self) -> Option<TaskView> {
        self.line.pop_front()
    }

    fn len(&self) -> usize {
        self.line.len()
    }

    fn counters(&self) -> &[u64] {
        &self.turns
    }
}
