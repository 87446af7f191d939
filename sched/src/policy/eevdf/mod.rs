//! Earliest eligible virtual deadline first: weighted fair shares with a bound on how far anyone falls behind.
//!
//! After Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First" (1995). Each task has a
//! *virtual runtime*: its CPU time divided by its share. The weighted mean of all virtual runtimes, `V`
//! (in [`timeline`]), is where a task would be that got exactly its share. A task is *eligible* if it is not ahead of `V`;
//! among the eligible ones the earliest virtual deadline runs: where it stood when its slice began plus its slice over its
//! share. Shorter slices mean earlier deadlines: latency is bought with switches, never with a larger share.
//!
//! How far a task was behind `V` when it went to sleep (its *lag*, kept in its [`Memory`]) is restored when it comes
//! back, so that sleeping neither gains nor loses CPU time. Eligibility is kept once found: `V` may fall back a
//! little when tasks come and go, by less than one slice.

mod timeline;

use alloc::boxed::Box;

use arch::time::Nanos;

use self::timeline::{Entity, Timeline};
use super::{CounterKind, Event, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement};
use crate::queue::KeyedQueue;
use crate::task::TaskId;

/// The slice of a task that asked for none.
pub const SLICE: Nanos = Nanos::from_millis(3);
/// The shortest time between two decisions.
const GRANULARITY: i64 = 100_000;

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "eevdf",
    about: "earliest eligible virtual deadline first: weighted fairness with bounded lag",
    slice: SLICE,
    create: |_| Box::new(Eevdf::default()),
    select_cpu: placement::idle_near_last,
    counters: &[
        CounterKind {
            name: "slices",
            unit: "slices",
            about: "slices that were used to the end, so that the task got a later deadline",
        },
        CounterKind {
            name: "admissions",
            unit: "tasks",
            about: "tasks that became eligible while they were queued",
        },
        CounterKind {
            name: "wakeup_preemptions",
            unit: "tasks",
            about: "tasks that were queued with a deadline before the running one's",
        },
    ],
};

/// Positions in [`Eevdf::counters`].
const SLICES: usize = 0;
const ADMISSIONS: usize = 1;
const PREEMPTIONS: usize = 2;

/// The run queue of one CPU.
#[derive(Debug, Default)]
pub struct Eevdf {
    /// Known to be eligible, by deadline.
    eligible: KeyedQueue<(i64, TaskId), Entity>,
    /// The others, by virtual runtime.
    ahead: KeyedQueue<(i64, TaskId), Entity>,
    current: Option<Entity>,
    timeline: Timeline,
    counters: [u64; 3],
}

impl Eevdf {
    fn insert(&mut self, entity: Entity) {
        if entity.runtime <= self.timeline.mean() {
            self.eligible.push((entity.deadline, entity.task.id), entity);
        } else {
            self.ahead.push((entity.runtime, entity.task.id), entity);
        }
    }

    /// Moves to `eligible` who has become so.
    fn admit(&mut self) {
        let mean = self.timeline.mean();
        while let Some((_, first)) = self.ahead.first() {
            // Rounding may leave nobody at or behind the mean; then the first is closest.
            if first.runtime > mean && !self.eligible.is_empty() {
                break;
            }
            if let Some((_, entity)) = self.ahead.pop() {
                self.counters[ADMISSIONS] += 1;
                self.eligible.push((entity.deadline, entity.task.id), entity);
            }
        }
    }

    /// `entity`, out of its queue, leaves the competition.
    fn dismiss(&mut self, entity: &Entity) -> TaskView {
        let memory = self.timeline.lag(entity);
        self.timeline.part(entity);
        TaskView { memory, ..entity.task }
    }
}

impl Policy for Eevdf {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.eligible.reserve(tasks) && self.ahead.reserve(tasks)
    }

    fn enqueue(&mut self, task: TaskView, event: Event) {
        let returning = matches!(event, Event::Preempted | Event::Yielded);
        let entity = match self.current.take_if(|current| returning && current.task.id == task.id) {
            Some(mut current) => {
                current.task = task;
                if event == Event::Yielded {
                    current.deadline += current.slice();
                }
                current
            }
            None => {
                let entity = self.timeline.place(task, event);
                self.timeline.join(&entity);
                entity
            }
        };
        self.insert(entity);
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        self.admit();
        let (_, entity) = self.eligible.pop()?;
        self.current = Some(entity);
        Some(Pick { task: entity.task, slice: Nanos(entity.left().max(GRANULARITY) as u64) })
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let Some(current) = &mut self.current else { return Verdict::Reschedule };
        self.timeline.advance(current, ran);
        let left = current.left();
        if left >= GRANULARITY {
            return Verdict::Continue(Nanos(left as u64));
        }
        current.deadline = current.runtime + current.slice();
        self.counters[SLICES] += 1;
        Verdict::Reschedule
    }

    fn preempts(&mut self, task: TaskId) -> bool {
        let Some(current) = &self.current else { return true };
        let Some((_, woken)) = self.eligible.first() else { return false };
        let preempts =
            woken.task.id == task && !woken.task.batch && woken.deadline < current.deadline;
        self.counters[PREEMPTIONS] += u64::from(preempts);
        preempts
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let Some(current) = self.current.take() else { return Memory::default() };
        self.dismiss(&current).memory
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let wanted = |entity: &Entity| entity.task.id == task;
        let entity = self.eligible.take(wanted).or_else(|| self.ahead.take(wanted))?;
        Some(self.dismiss(&entity))
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // Who has the latest deadline would wait longest here.
        let queued = self.eligible.iter().chain(self.ahead.iter());
        let movable = queued.filter(|entity| may_move(&entity.task));
        let last = movable.max_by_key(|entity| entity.deadline)?.task.id;
        self.remove(last)
    }

    fn drain(&mut self) -> Option<TaskView> {
        let (_, entity) = self.eligible.pop().or_else(|| self.ahead.pop())?;
        Some(self.dismiss(&entity))
    }

    fn len(&self) -> usize {
        self.eligible.len() + self.ahead.len()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}
