//! The real-time class: `SCHED_FIFO` and `SCHED_RR` by priority, first come first served within one (sched(7)).

use core::cmp::Reverse;

use crate::policy::TaskView;
use crate::queue::KeyedQueue;
use crate::task::TaskId;

/// Which end of its priority's list a task joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It was preempted, and goes on first.
    Head,
    /// It is new, was woken, yielded, or used its slice up.
    Tail,
}

/// The queued real-time tasks of one CPU.
#[derive(Debug, Default)]
pub(crate) struct RealTimeQueue {
    /// Higher priorities first; within one, lower positions first.
    queue: KeyedQueue<(Reverse<u8>, i64), TaskView>,
    /// The last position handed out at the heads of all lists; they go down. 64 bits do not wrap.
    head: i64,
    /// The last position handed out at the tails of all lists; they go up.
    tail: i64,
}

impl RealTimeQueue {
    #[must_use]
    pub(crate) fn reserve(&mut self, tasks: usize) -> bool {
        self.queue.reserve(tasks)
    }

    pub(crate) fn enqueue(&mut self, task: TaskView, priority: u8, end: End) {
        let position = match end {
            End::Head => {
                self.head -= 1;
                self.head
            }
            End::Tail => {
                self.tail += 1;
                self.tail
            }
        };
        self.queue.push((Reverse(priority), position), task);
    }

    pub(crate) fn pick(&mut self) -> Option<TaskView> {
        self.queue.pop().map(|(_, task)| task)
    }

    pub(crate) fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.queue.take(|queued| queued.id == task)
    }

    /// Gives up the highest task that `may_move`.
    pub(crate) fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        self.queue.take(may_move)
    }

    /// The priority of the first.
    pub(crate) fn first(&self) -> Option<u8> {
        self.queue.first().map(|((Reverse(priority), _), _)| *priority)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
