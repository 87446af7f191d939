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
use crate::slots::Slots;
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

/// Tasks in order: the key is a virtual time and, where two are equal, the task; the value its place in [`Eevdf::entities`].
type Order = KeyedQueue<(i64, TaskId), u32>;

/// The run queue of one CPU.
#[derive(Debug, Default)]
pub struct Eevdf {
    /// All in competition, the current one included: they stay in their places, and the queues have small entries.
    entities: Slots<Entity>,
    /// Known to be eligible, by deadline.
    eligible: Order,
    /// The others, by virtual runtime.
    ahead: Order,
    current: Option<u32>,
    timeline: Timeline,
    counters: [u64; 3],
}

impl Eevdf {
    fn entity(&self, place: u32) -> Option<&Entity> {
        self.entities.get(place)
    }

    fn current(&self) -> Option<&Entity> {
        self.entity(self.current?)
    }

    /// Queues `task`, the entity at `place`, which stands at `runtime` and has this `deadline`.
    fn queue(&mut self, place: u32, task: TaskId, runtime: i64, deadline: i64) {
        if self.timeline.is_ahead(runtime) {
            self.ahead.push((runtime, task), place);
        } else {
            self.eligible.push((deadline, task), place);
        }
    }

    /// Queues the current entity, if it is `task`, which comes back because of `event`. Says whether it is.
    fn resume(&mut self, task: TaskId, event: Event) -> bool {
        if !matches!(event, Event::Preempted | Event::Yielded) {
            return false;
        }
        let Some(place) = self.current else { return false };
        let Some(entity) = self.entities.get_mut(place).filter(|entity| entity.task.id == task)
        else {
            return false;
        };
        if event == Event::Yielded {
            // Behind the others, but by no more than a slice however often it yields: what is left to its deadline is how long
            // it runs when they let it.
            entity.deadline =
                (entity.deadline + entity.slice).min(entity.runtime + 2 * entity.slice);
        }
        let (runtime, deadline) = (entity.runtime, entity.deadline);
        self.current = None;
        self.queue(place, task, runtime, deadline);
        true
    }

    /// Queues a task that did not compete here.
    #[inline(never)]
    fn join(&mut self, task: &TaskView, event: Event) {
        let entity = self.timeline.place(*task, event);
        self.timeline.join(&entity);
        let place = self.entities.insert(entity);
        self.queue(place, task.id, entity.runtime, entity.deadline);
    }

    /// Chooses who has the earliest deadline, after everybody was looked at who has become eligible.
    #[inline(never)]
    fn pick_among_eligible(&mut self) -> Option<Pick> {
        while self.somebody_has_become_eligible() {
            let (_, place) = self.ahead.pop()?;
            self.admit(place);
        }
        let (_, place) = self.eligible.pop()?;
        self.run(place)
    }

    /// The entity at `place`, out of its queue, is the current one.
    fn run(&mut self, place: u32) -> Option<Pick> {
        self.current = Some(place);
        let entity = self.entity(place)?;
        Some(entity.task.runs_for(Nanos(entity.left().max(GRANULARITY) as u64)))
    }

    /// Whether one of those who were ahead of the mean is not any more.
    fn somebody_has_become_eligible(&self) -> bool {
        let first = self.ahead.first();
        first.is_some_and(|((runtime, _), _)| !self.timeline.is_ahead(*runtime))
    }

    /// Queues the entity at `place` among the eligible ones.
    fn admit(&mut self, place: u32) {
        self.counters[ADMISSIONS] += 1;
        if let Some(entity) = self.entities.get(place) {
            self.eligible.push((entity.deadline, entity.task.id), place);
        }
    }

    /// The entity at `place`, out of its queue, leaves the competition.
    fn dismiss(&mut self, place: u32) -> Option<TaskView> {
        let entity = self.entities.remove(place)?;
        let memory = self.timeline.lag(&entity);
        self.timeline.part(&entity);
        Some(TaskView { memory, ..entity.task })
    }
}

impl Policy for Eevdf {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.entities.reserve(tasks) && self.eligible.reserve(tasks) && self.ahead.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        if !self.resume(task.id, event) {
            self.join(task, event);
        }
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        if !self.eligible.is_empty() {
            return self.pick_among_eligible();
        }
        // Who stands first has become eligible, or is closest to it where rounding leaves nobody at or behind the mean. Most often
        // he is the only one, and then need not be queued once more.
        let (_, place) = self.ahead.pop()?;
        if self.somebody_has_become_eligible() {
            self.admit(place);
            return self.pick_among_eligible();
        }
        self.counters[ADMISSIONS] += 1;
        self.run(place)
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let current = self.current.and_then(|place| self.entities.get_mut(place));
        let Some(current) = current else { return Verdict::Reschedule };
        self.timeline.advance(current, ran);
        let left = current.left();
        if left >= GRANULARITY {
            return Verdict::Continue(Nanos(left as u64));
        }
        current.deadline = current.runtime + current.slice;
        self.counters[SLICES] += 1;
        Verdict::Reschedule
    }

    fn preempts(&mut self, task: TaskId) -> bool {
        let Some(current) = self.current() else { return true };
        let woken = self.eligible.first().and_then(|(_, place)| self.entity(*place));
        let preempts = woken.is_some_and(|woken| {
            woken.task.id == task && !woken.task.batch && woken.deadline < current.deadline
        });
        self.counters[PREEMPTIONS] += u64::from(preempts);
        preempts
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let current = self.current.take().and_then(|place| self.dismiss(place));
        current.map_or_else(Memory::default, |view| view.memory)
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let entities = &self.entities;
        let wanted =
            |place: &u32| entities.get(*place).is_some_and(|entity| entity.task.id == task);
        let place = self.eligible.take(wanted).or_else(|| self.ahead.take(wanted))?;
        self.dismiss(place)
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // Who has the latest deadline would wait longest here.
        let queued = self.eligible.iter().chain(self.ahead.iter());
        let movable =
            queued.filter_map(|place| self.entity(*place)).filter(|entity| may_move(&entity.task));
        let last = movable.max_by_key(|entity| entity.deadline)?.task.id;
        self.remove(last)
    }

    fn drain(&mut self) -> Option<TaskView> {
        let (_, place) = self.eligible.pop().or_else(|| self.ahead.pop())?;
        self.dismiss(place)
    }

    fn len(&self) -> usize {
        self.eligible.len() + self.ahead.len()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}
