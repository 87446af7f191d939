//! Earliest eligible virtual deadline first: weighted fair shares with a bound on how far anyone falls behind.
//!
//! After Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First" (1995). Each task has a
//! *virtual runtime*: its CPU time divided by its share. The weighted mean of all virtual runtimes, `V`
//! ([`timeline`]), is where a task would be that got exactly its share. A task is *eligible* if it is not ahead of `V`;
//! among the eligible ones the earliest virtual deadline runs: where it stood when its slice began plus its slice over its
//! share. Shorter slices mean earlier deadlines: latency is bought with switches, never with a larger share.
//!
//! How far a task was behind `V` when it went to sleep (its *lag*, kept in its [`Memory`]) is restored when it comes
//! back, so that sleeping neither gains nor loses CPU time. Eligibility is kept once found: `V` may fall back a
//! little when tasks come and go, by less than one slice.

mod competition;
mod timeline;

use alloc::boxed::Box;

use arch::time::Nanos;

use self::competition::Competition;
use super::{CounterKind, Event, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement};
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
    /// All, the current one included.
    competition: Competition,
    current: Option<u32>,
    counters: [u64; 3],
}

impl Eevdf {
    /// Queues the current entity, if it is `task`, which comes back because of `event`. Says whether it is.
    fn resume(&mut self, task: TaskId, event: Event) -> bool {
        if !matches!(event, Event::Preempted | Event::Yielded) {
            return false;
        }
        let Some(place) = self.current else { return false };
        let Some((entity, _)) = self.competition.entity_mut(place) else { return false };
        if entity.task.id != task {
            return false;
        }
        if event == Event::Yielded {
            // Behind the others, but by no more than a slice however often it yields: what is left to its deadline is how long
            // it runs when they let it.
            entity.deadline =
                (entity.deadline + entity.slice).min(entity.runtime + 2 * entity.slice);
        }
        let (runtime, deadline) = (entity.runtime, entity.deadline);
        self.current = None;
        self.competition.queue(place, task, runtime, deadline);
        true
    }
}

impl Policy for Eevdf {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.competition.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        if !self.resume(task.id, event) {
            self.competition.join(task, event);
        }
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        let place = self.competition.next(&mut self.counters[ADMISSIONS])?;
        self.current = Some(place);
        let entity = self.competition.entity(place)?;
        Some(entity.task.runs_for(Nanos(entity.left().max(GRANULARITY) as u64)))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let current = self.current.and_then(|place| self.competition.entity_mut(place));
        let Some((current, timeline)) = current else { return Verdict::Reschedule };
        timeline.advance(current, ran);
        let left = current.left();
        if left >= GRANULARITY {
            return Verdict::Continue(Nanos(left as u64));
        }
        current.deadline = current.runtime + current.slice;
        self.counters[SLICES] += 1;
        Verdict::Reschedule
    }

    fn preempts(&mut self, task: TaskId) -> bool {
        let current = self.current.and_then(|place| self.competition.entity(place));
        let Some(current) = current else { return true };
        let preempts = self.competition.first().is_some_and(|first| {
            first.task.id == task && !first.task.batch && first.deadline < current.deadline
        });
        self.counters[PREEMPTIONS] += u64::from(preempts);
        preempts
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let current = self.current.take().and_then(|place| self.competition.dismiss(place));
        current.map_or_else(Memory::default, |view| view.memory)
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.competition.remove(task)
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // Who has the latest deadline would wait longest here.
        let last = self.competition.last(may_move)?;
        self.competition.remove(last)
    }

    fn drain(&mut self) -> Option<TaskView> {
        self.competition.drain()
    }

    fn len(&self) -> usize {
        self.competition.waiting()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}
