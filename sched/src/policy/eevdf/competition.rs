//! Who competes, and who of them comes next.
//!
//! Key type: [`Competition`]. Entities have a *place* as long as they compete; those who wait are queued by it, by deadline if
//! they are known to be eligible, else by where they stand. The running one has a place and is in no queue. The neighbours
//! are [`timeline`](super::timeline), which tells where everybody stands, and the policy itself.

use super::timeline::{Entity, Timeline};
use crate::policy::{Event, TaskView};
use crate::queue::KeyedQueue;
use crate::slots::Slots;
use crate::task::TaskId;

/// Places in order: the key is a virtual time and, where two are equal, the task.
type Order = KeyedQueue<(i64, TaskId), u32>;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Competition {
    entities: Slots<Entity>,
    /// Known to be eligible, by deadline.
    eligible: Order,
    /// The others, by virtual runtime.
    ahead: Order,
    timeline: Timeline,
}

impl Competition {
    pub(super) fn reserve(&mut self, tasks: usize) -> bool {
        self.entities.reserve(tasks) && self.eligible.reserve(tasks) && self.ahead.reserve(tasks)
    }

    pub(super) fn entity(&self, place: u32) -> Option<&Entity> {
        self.entities.get(place)
    }

    /// The entity at `place`, and the timeline to move it along.
    pub(super) fn entity_mut(&mut self, place: u32) -> Option<(&mut Entity, &mut Timeline)> {
        Some((self.entities.get_mut(place)?, &mut self.timeline))
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.eligible.len() + self.ahead.len()
    }

    /// A task comes in because of `event`, and waits.
    #[inline(never)]
    pub(super) fn join(&mut self, task: &TaskView, event: Event) {
        let entity = self.timeline.place(*task, event);
        self.timeline.join(&entity);
        let (runtime, deadline) = (entity.runtime, entity.deadline);
        let place = self.entities.insert(entity);
        self.queue(place, task.id, runtime, deadline);
    }

    /// Queues `task`, the entity at `place`, which stands at `runtime` and has this `deadline`.
    #[inline(always)]
    pub(super) fn queue(&mut self, place: u32, task: TaskId, runtime: i64, deadline: i64) {
        if self.timeline.is_ahead(runtime) {
            self.ahead.push((runtime, task), place);
        } else {
            self.eligible.push((deadline, task), place);
        }
    }

    /// Takes out who comes next: of the eligible ones the one with the earliest deadline. Where rounding leaves nobody eligible,
    /// who is closest to it. Counts those who have become eligible since they were queued.
    #[inline(always)]
    pub(super) fn next(&mut self, admissions: &mut u64) -> Option<u32> {
        if self.eligible.is_empty() {
            // Who stands first has become eligible, or is closest to it. Most often he is the only one, and then need not be queued
            // once more.
            let (_, place) = self.ahead.pop()?;
            *admissions += 1;
            if !self.somebody_has_become_eligible() {
                return Some(place);
            }
            self.admit(place);
        }
        self.next_of_several(admissions)
    }

    /// As [`next`](Self::next), where somebody is known to be eligible.
    #[inline(never)]
    fn next_of_several(&mut self, admissions: &mut u64) -> Option<u32> {
        while self.somebody_has_become_eligible()
            && let Some((_, place)) = self.ahead.pop()
        {
            *admissions += 1;
            self.admit(place);
        }
        self.eligible.pop().map(|(_, place)| place)
    }

    /// Whether one of those who were ahead of the mean is not any more.
    fn somebody_has_become_eligible(&self) -> bool {
        let first = self.ahead.first();
        first.is_some_and(|((runtime, _), _)| !self.timeline.is_ahead(*runtime))
    }

    /// Queues the entity at `place` among the eligible ones.
    fn admit(&mut self, place: u32) {
        if let Some(entity) = self.entities.get(place) {
            self.eligible.push((entity.deadline, entity.task.id), place);
        }
    }

    /// Who has the earliest deadline of those who wait and are known to be eligible.
    pub(super) fn first(&self) -> Option<&Entity> {
        let (_, place) = self.eligible.first()?;
        self.entity(*place)
    }

    /// The entity at `place`, out of its queue, leaves the competition.
    #[inline(always)]
    pub(super) fn dismiss(&mut self, place: u32) -> Option<TaskView> {
        let entity = self.entities.remove(place)?;
        let memory = self.timeline.lag(&entity);
        self.timeline.part(&entity);
        Some(TaskView { memory, ..entity.task })
    }

    /// Takes a waiting task out, and leaves the competition with it.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let entities = &self.entities;
        let wanted =
            |place: &u32| entities.get(*place).is_some_and(|entity| entity.task.id == task);
        let place = self.eligible.take(wanted).or_else(|| self.ahead.take(wanted))?;
        self.dismiss(place)
    }

    /// The waiting one with the latest deadline among those that `may_move`.
    pub(super) fn last(&self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskId> {
        let queued = self.eligible.iter().chain(self.ahead.iter());
        let movable =
            queued.filter_map(|place| self.entity(*place)).filter(|entity| may_move(&entity.task));
        Some(movable.max_by_key(|entity| entity.deadline)?.task.id)
    }

    /// Takes any waiting task out, and leaves the competition with it.
    pub(super) fn drain(&mut self) -> Option<TaskView> {
        let (_, place) = self.eligible.pop().or_else(|| self.ahead.pop())?;
        self.dismiss(place)
    }
}
