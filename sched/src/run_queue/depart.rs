//! How tasks leave the CPU and the queue, other than by being picked.

use alloc::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;

use super::{Class, Queued, Rotation, RunQueue, WINDOW};
use crate::policy::{Event, TaskView};
use crate::slots::Slot;
use crate::task::{Schedulable, TaskCore};
use crate::urgency::Urgency;

/// Tasks whose waits differ by no more are alike: they take turns, and one of them is always a turn ahead.
const ABOUT_EQUAL: Nanos = Nanos::from_millis(10);

impl<T: Schedulable> RunQueue<T> {
    /// The current task goes back into the queue (preempted, yielded). The CPU's own is just put aside.
    pub(crate) fn put_back(&mut self, event: Event, now: Nanos) -> Option<Arc<T>> {
        let current = self.current.as_ref()?;
        let (task, class, terms) = (Arc::clone(&current.task), current.class, current.terms);
        let is_known = match class {
            Class::Idle => {
                self.current = None;
                return Some(task);
            }
            Class::Fair => current.generation == self.generation,
            _ => true,
        };
        if !(is_known && terms.are_those_of(task.task())) {
            // On new terms it is a newcomer, perhaps in another class; to a new policy it is one too.
            self.leave_policy(Event::MigratedAway);
            self.enqueue(Arc::clone(&task), terms, Event::Migrated, now);
        } else if class == Class::Fair {
            self.insert(Arc::clone(&task), terms, event, now);
        } else {
            self.enqueue(Arc::clone(&task), terms, event, now);
        }
        self.current = None;
        Some(task)
    }

    /// The current task leaves this CPU (blocked, exited, migrated away).
    pub(crate) fn take_current(&mut self, event: Event) -> Option<Arc<T>> {
        self.leave_policy(event);
        self.current.take().map(|current| current.task)
    }

    fn leave_policy(&mut self, event: Event) {
        if let Some(current) = &self.current
            && current.class == Class::Fair
            && current.generation == self.generation
        {
            let memory = self.fair.leave(event);
            current.task.task().set_memory(memory);
        }
    }

    /// Whether a waiting task keeps the current one, of the real-time or deadline class, from going on.
    pub(crate) fn is_displaced(&self) -> bool {
        self.current.as_ref().is_some_and(|current| {
            matches!(current.class, Class::RealTime | Class::Deadline)
                && (self.stop.len() > 0 || self.waiting_urgency() >= current.terms.urgency)
        })
    }

    /// Takes a queued task out.
    pub(crate) fn remove(&mut self, task: &TaskCore) -> Option<Arc<T>> {
        let id = task.id();
        let queued = self.slots.get(task.slot()).filter(|queued| queued.task.task().id() == id)?;
        let view = match queued.class {
            Class::Stop => self.stop.remove(id),
            Class::Deadline => self.deadline.remove(id),
            Class::RealTime => self.real_time.remove(id),
            Class::Fair | Class::Idle => self.fair.remove(id),
        }?;
        self.release(&view)
    }

    /// Gives up a task that may run on `thief`, the most urgent class first.
    pub(crate) fn steal(&mut self, thief: CpuId) -> Option<Arc<T>> {
        let slots = &self.slots;
        let may_move = |view: &TaskView| {
            slots.get(view.slot).is_some_and(|queued| queued.task.task().may_run_on(thief))
        };
        let view = self
            .deadline
            .steal(&may_move)
            .or_else(|| self.real_time.steal(&may_move))
            .or_else(|| self.fair.steal(&may_move))?;
        self.release(&view)
    }

    /// Which of `cpus` some of the waiting tasks may use.
    pub(crate) fn places_of_waiting(&mut self, cpus: &CpuMask) -> CpuMask {
        let waiting = self.slots.window(self.cursor, WINDOW);
        let places =
            waiting.fold(CpuMask::EMPTY, |all, (_, queued)| all.or(&queued.task.task().affinity()));
        let places = places.and(cpus);
        if places.is_empty() {
            // Those in this part of the table may not go there, but perhaps those in the next.
            self.advance_cursor();
        }
        places
    }

    /// Where the next look begins; the one after it goes on behind.
    fn advance_cursor(&mut self) -> u32 {
        let from = self.cursor;
        let next = from.saturating_add(WINDOW as u32);
        self.cursor = if next < self.slots.limit() { next } else { 0 };
        from
    }

    /// Gives up the waiting fair task that may run on `to` and has waited least lately, if a task here has waited longer
    /// than `there`, the time that the one on `to` has. Not now, if the running task would be the better choice: it waits soon.
    /// Of a long queue some tasks are looked at, the next time others.
    pub(crate) fn give_up_spoiled(
        &mut self,
        to: CpuId,
        there: Nanos,
        now: Nanos,
    ) -> Rotation<Arc<T>> {
        let from = self.advance_cursor();
        let movable = self
            .slots
            .window(from, WINDOW)
            .filter(|(_, queued)| queued.class == Class::Fair && queued.task.task().may_run_on(to));
        let waited = movable.map(|(_, queued)| (queued.task.task().waited_until(now), queued));
        let spoiled = waited.min_by_key(|(waited, queued)| (*waited, queued.task.task().id()));
        let Some((waited, queued)) = spoiled else { return Rotation::Needless };
        let task = Arc::clone(&queued.task);
        let own = self.current_waited(now);
        if waited.max(own) <= there {
            return Rotation::Needless;
        }
        let current = self.current.as_ref().map(|current| current.task.task());
        if own.saturating_add(ABOUT_EQUAL) < waited
            && current.is_some_and(|current| current.may_run_on(to))
        {
            return Rotation::NotNow;
        }
        match self.remove(task.task()) {
            Some(task) => Rotation::Moved(task),
            None => Rotation::Needless,
        }
    }

    /// Gives up a waiting deadline or real-time task that may run on `thief` and is more urgent than `than`.
    pub(crate) fn steal_urgent(&mut self, thief: CpuId, than: Urgency) -> Option<Arc<T>> {
        let slots = &self.slots;
        let may_move = |view: &TaskView| {
            slots.get(view.slot).is_some_and(|queued| {
                let core = queued.task.task();
                let urgency = Urgency::of(&core.parameters(), core.server()).max(core.lent());
                urgency > than && core.may_run_on(thief)
            })
        };
        let view = self.deadline.steal(&may_move).or_else(|| self.real_time.steal(&may_move))?;
        self.release(&view)
    }

    pub(super) fn owns(&self, view: &TaskView) -> bool {
        self.slots.get(view.slot).is_some_and(|queued| queued.task.task().id() == view.id)
    }

    fn release(&mut self, view: &TaskView) -> Option<Arc<T>> {
        debug_assert!(self.owns(view), "a policy returned a view that it was not given");
        let Queued { task, .. } = self.slots.remove(view.slot)?;
        task.task().set_slot(Slot::NONE);
        task.task().set_memory(view.memory);
        Some(task)
    }
}
