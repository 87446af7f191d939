//! Earliest eligible virtual deadline first: weighted fair shares with a bound on how far anyone falls behind.
//!
//! After Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First" (1995). Each task has a
//! *virtual runtime*: its CPU time divided by its share. The weighted mean of all virtual runtimes, `V`,
//! is where a task would be that got exactly its share. A task is *eligible* if it is not ahead of `V`; among
//! the eligible ones the earliest virtual deadline runs: where it stood when its slice began plus its slice over its share.
//! Shorter slices mean earlier deadlines: latency is bought with switches, never with a larger share.
//!
//! How far a task was behind `V` when it went to sleep (its *lag*, kept in its [`Memory`]) is restored when it comes
//! back, so that sleeping neither gains nor loses CPU time. Eligibility is kept once found: `V` may fall back a
//! little when tasks come and go, by less than one slice.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{Event, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement};
use crate::queue::KeyedQueue;
use crate::task::TaskId;

/// The slice of a task that asked for none.
pub const SLICE: Nanos = Nanos::from_millis(3);
/// The shortest time between two decisions.
const GRANULARITY: i64 = 100_000;
/// The weight at which virtual time passes like real time (nice 0).
const UNIT: i64 = 1024;

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "eevdf",
    about: "earliest eligible virtual deadline first: weighted fairness with bounded lag",
    slice: SLICE,
    create: || Box::new(Eevdf::default()),
    select_cpu: placement::idle_near_last,
};

/// A task in competition. Virtual times are nanoseconds relative to [`Eevdf::origin`].
#[derive(Clone, Copy, Debug)]
struct Entity {
    runtime: i64,
    deadline: i64,
    task: TaskView,
}

impl Entity {
    fn weight(&self) -> i64 {
        i64::from(self.task.weight)
    }

    /// The task's slice in virtual time.
    fn slice(&self) -> i64 {
        let slice = if self.task.slice > Nanos::ZERO { self.task.slice } else { SLICE };
        slice.0 as i64 * UNIT / self.weight()
    }
}

/// The run queue of one CPU.
#[derive(Debug, Default)]
pub struct Eevdf {
    /// Known to be eligible, by deadline.
    eligible: KeyedQueue<(i64, TaskId), Entity>,
    /// The others, by virtual runtime.
    ahead: KeyedQueue<(i64, TaskId), Entity>,
    current: Option<Entity>,
    /// Sum of the weights of all, the current task included.
    weight: i64,
    /// Sum of weight times virtual runtime of all, the current task included.
    moment: i64,
    /// The absolute virtual time that entities in the heaps are relative to has moved on by this much.
    origin: i64,
}

impl Eevdf {
    /// `V`, the weighted mean of all virtual runtimes.
    fn mean(&self) -> i64 {
        if self.weight == 0 {
            self.origin
        } else {
            self.origin + self.moment.div_euclid(self.weight)
        }
    }

    fn join(&mut self, entity: &Entity) {
        // Moving the origin to the mean keeps the products small.
        let mean = self.mean();
        self.moment -= (mean - self.origin) * self.weight;
        self.origin = mean;
        self.weight += entity.weight();
        self.moment += (entity.runtime - self.origin) * entity.weight();
    }

    fn part(&mut self, entity: &Entity) {
        self.weight -= entity.weight();
        self.moment -= (entity.runtime - self.origin) * entity.weight();
    }

    /// A task that comes from outside, placed `lag` behind the mean and one slice before its deadline.
    fn place(&self, task: TaskView, event: Event) -> Entity {
        let mut entity = Entity { runtime: self.mean(), deadline: 0, task };
        let lag = task.memory.0[0] as i64;
        // Joining drags the mean along; stretching the lag makes up for it (paper, section 4).
        let total = self.weight + entity.weight();
        let stretched = if self.weight > 0 { lag.saturating_mul(total) / self.weight } else { 0 };
        let bound = 2 * entity.slice();
        entity.runtime -= stretched.clamp(-bound, bound);
        // New tasks come in halfway through a slice, so that a fork storm does not starve those who are there.
        let slice = entity.slice();
        entity.deadline = entity.runtime + if event == Event::Spawned { slice / 2 } else { slice };
        entity
    }

    fn insert(&mut self, entity: Entity) {
        if entity.runtime <= self.mean() {
            self.eligible.push((entity.deadline, entity.task.id), entity);
        } else {
            self.ahead.push((entity.runtime, entity.task.id), entity);
        }
    }

    /// Moves to `eligible` who has become so.
    fn admit(&mut self) {
        let mean = self.mean();
        while let Some((_, first)) = self.ahead.first() {
            // Rounding may leave nobody at or behind the mean; then the first is closest.
            if first.runtime > mean && !self.eligible.is_empty() {
                break;
            }
            if let Some((_, entity)) = self.ahead.pop() {
                self.eligible.push((entity.deadline, entity.task.id), entity);
            }
        }
    }

    fn queued(&self) -> impl Iterator<Item = &Entity> {
        self.eligible.iter().chain(self.ahead.iter())
    }

    fn with_lag(&self, entity: &Entity) -> TaskView {
        let bound = 2 * entity.slice();
        let lag = (self.mean() - entity.runtime).clamp(-bound, bound);
        TaskView { memory: Memory([lag as u64, 0]), ..entity.task }
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
                let entity = self.place(task, event);
                self.join(&entity);
                entity
            }
        };
        self.insert(entity);
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        self.admit();
        let (_, entity) = self.eligible.pop()?;
        self.current = Some(entity);
        let left = (entity.deadline - entity.runtime) * entity.weight() / UNIT;
        Some(Pick { task: entity.task, slice: Nanos(left.max(GRANULARITY) as u64) })
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let Some(mut current) = self.current.take() else { return Verdict::Reschedule };
        let virtual_ran = ran.0 as i64 * UNIT / current.weight();
        current.runtime += virtual_ran;
        self.moment += virtual_ran * current.weight();
        let left = (current.deadline - current.runtime) * current.weight() / UNIT;
        let over = left < GRANULARITY;
        if over {
            current.deadline = current.runtime + current.slice();
        }
        self.current = Some(current);
        if over { Verdict::Reschedule } else { Verdict::Continue(Nanos(left as u64)) }
    }

    fn preempts(&self, task: TaskId) -> bool {
        let Some(current) = &self.current else { return true };
        let Some((_, woken)) = self.eligible.first() else { return false };
        woken.task.id == task && !woken.task.batch && woken.deadline < current.deadline
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let Some(current) = self.current.take() else { return Memory::default() };
        let view = self.with_lag(&current);
        self.part(&current);
        view.memory
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let wanted = |entity: &Entity| entity.task.id == task;
        let entity = self.eligible.take(wanted).or_else(|| self.ahead.take(wanted))?;
        let view = self.with_lag(&entity);
        self.part(&entity);
        Some(view)
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // Who has the latest deadline would wait longest here.
        let movable = self.queued().filter(|entity| may_move(&entity.task));
        let last = movable.max_by_key(|entity| entity.deadline)?.task.id;
        self.remove(last)
    }

    fn drain(&mut self) -> Option<TaskView> {
        let task = self.queued().next()?.task.id;
        self.remove(task)
    }

    fn len(&self) -> usize {
        self.eligible.len() + self.ahead.len()
    }
}
