//! A policy that is wrong on purpose: it never picks the first task that is spawned to it.
//!
//! It is there for the watchdog to find out, and is not among [`POLICIES`](super::POLICIES): the kernel offers it only
//! when the command line says `sched_test`.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::round_robin::{self, RoundRobin};
use super::{Event, Memory, Pick, Policy, PolicyKind, TaskView, Verdict};
use crate::task::TaskId;

/// The policy's row.
pub const KIND: PolicyKind = PolicyKind {
    name: "broken",
    about: "for tests: round-robin that never picks the first task spawned on each CPU",
    create: |_| Box::new(Broken::default()),
    counters: &[],
    ..round_robin::KIND
};

/// Round-robin, and the task that it keeps waiting.
#[derive(Debug, Default)]
struct Broken {
    others: RoundRobin,
    victim: Option<TaskId>,
    starved: Option<TaskView>,
}

impl Policy for Broken {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.others.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        if event == Event::Spawned && self.victim.is_none() {
            self.victim = Some(task.id);
        }
        if self.victim == Some(task.id) {
            self.starved = Some(*task);
        } else {
            self.others.enqueue(task, event);
        }
    }

    fn pick(&mut self, now: Nanos) -> Option<Pick> {
        self.others.pick(now)
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        self.others.tick(ran)
    }

    fn preempts(&mut self, _task: TaskId) -> bool {
        false
    }

    fn leave(&mut self, event: Event) -> Memory {
        self.others.leave(event)
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.starved.take_if(|starved| starved.id == task).or_else(|| self.others.remove(task))
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        self.others.steal(may_move)
    }

    fn drain(&mut self) -> Option<TaskView> {
        // It does not even give it up when it is replaced.
        self.others.drain()
    }

    fn len(&self) -> usize {
        self.others.len() + usize::from(self.starved.is_some())
    }

    fn counters(&self) -> &[u64] {
        &[]
    }
}
