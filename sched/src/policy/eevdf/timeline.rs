//! Virtual time: who competes with what weight, where everybody stands, and where the mean is.
//!
//! Key types: [`Entity`], a task with its virtual times; [`Timeline`], the sums that give the weighted mean `V` of
//! all virtual runtimes in constant time. The neighbour is the policy itself, which keeps the queues.

use core::num::NonZeroU64;

use arch::time::Nanos;

use super::SLICE;
use crate::policy::{Event, Memory, TaskView};

/// The weight at which virtual time passes like real time (nice 0).
const UNIT: i64 = 1024;

/// From here on the products come near to 64 bits.
const LARGEST_MOMENT: i64 = 1 << 56;
/// How far the mean may be from the origin when somebody joins: times the largest weight, that is far from 64 bits.
const FARTHEST_MEAN: i64 = 1 << 30;

/// The quotient, rounded down.
fn divided(sum: i64, by: NonZeroU64) -> i64 {
    let size = sum.unsigned_abs();
    if sum >= 0 { (size / by) as i64 } else { -(size.div_ceil(by.get()) as i64) }
}

/// A task in competition. Virtual times are nanoseconds since the timeline began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entity {
    pub(super) runtime: i64,
    pub(super) deadline: i64,
    /// The task's slice in virtual time.
    pub(super) slice: i64,
    pub(super) task: TaskView,
}

impl Entity {
    fn weight(&self) -> i64 {
        i64::from(self.task.weight)
    }

    /// `task` at `runtime`, with no deadline yet.
    fn new(task: TaskView, runtime: i64) -> Self {
        let slice = if task.slice > Nanos::ZERO { task.slice } else { SLICE };
        let slice = slice.0 as i64 * UNIT / i64::from(task.weight);
        Self { runtime, deadline: 0, slice, task }
    }

    /// The real time to its deadline, negative if that is past.
    pub(super) fn left(&self) -> i64 {
        (self.deadline - self.runtime) * self.weight() / UNIT
    }
}

/// The sums over all tasks in competition, the current one included.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Sum of the weights.
    weight: i64,
    /// Sum of weight times virtual runtime, relative to `origin`.
    moment: i64,
    /// The virtual time that the moment is relative to; moves along with the mean, to keep the products small.
    origin: i64,
}

impl Timeline {
    /// `V`, the weighted mean of all virtual runtimes.
    pub(super) fn mean(&self) -> i64 {
        let Some(weight) = self.total() else { return self.origin };
        self.origin + divided(self.moment, weight)
    }

    /// The sum of the weights, if anybody competes.
    fn total(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.weight as u64)
    }

    /// Whether who stands at `runtime` is ahead of the mean: the comparison of two products, where the mean itself takes a
    /// division.
    pub(super) fn is_ahead(&self, runtime: i64) -> bool {
        let standing = i128::from(runtime - self.origin) * i128::from(self.weight);
        standing > i128::from(self.moment)
    }

    /// `entity` competes from now on.
    pub(super) fn join(&mut self, entity: &Entity) {
        if self.moment.abs() / FARTHEST_MEAN > self.weight {
            self.move_origin();
        }
        self.weight += entity.weight();
        self.moment += (entity.runtime - self.origin) * entity.weight();
    }

    fn move_origin(&mut self) {
        let mean = self.mean();
        self.moment -= (mean - self.origin) * self.weight;
        self.origin = mean;
    }

    /// `entity` competes no more.
    pub(super) fn part(&mut self, entity: &Entity) {
        self.weight -= entity.weight();
        self.moment -= (entity.runtime - self.origin) * entity.weight();
    }

    /// `entity`, in competition, has run for another `ran`.
    pub(super) fn advance(&mut self, entity: &mut Entity, ran: Nanos) {
        let virtual_ran = (ran.0 * UNIT as u64 / u64::from(entity.task.weight)) as i64;
        entity.runtime += virtual_ran;
        self.moment += virtual_ran * entity.weight();
        // Tasks that run for days without anybody joining them.
        if self.moment > LARGEST_MOMENT {
            self.move_origin();
        }
    }

    /// A task that comes from outside, placed its remembered lag behind the mean and one slice before its deadline.
    pub(super) fn place(&self, task: TaskView, event: Event) -> Entity {
        let mut entity = Entity::new(task, self.mean());
        let slice = entity.slice;
        if let Some(total) = self.total() {
            let bound = 2 * slice;
            let lag = (task.memory.0[0] as i64).clamp(-bound, bound);
            // Joining drags the mean along; stretching the lag makes up for it (paper, section 4). Times its weight, a lag is at
            // most two slices of real time.
            let stretched = lag + divided(lag * entity.weight(), total);
            entity.runtime -= stretched.clamp(-bound, bound);
        }
        // New tasks come in halfway through a slice, so that a fork storm does not starve those who are there.
        entity.deadline = entity.runtime + if event == Event::Spawned { slice / 2 } else { slice };
        entity
    }

    /// What to remember of `entity`: how far it is behind the mean, at most two slices.
    pub(super) fn lag(&self, entity: &Entity) -> Memory {
        let bound = 2 * entity.slice;
        Memory([(self.mean() - entity.runtime).clamp(-bound, bound) as u64, 0])
    }
}
