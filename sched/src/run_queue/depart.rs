//! How tasks leave the CPU and the queue, other than by being picked.

use alloc::sync::Arc;
use core::mem;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;

use super::{Class, Current, Member, Rotation, RunQueue, WINDOW};
use crate::policy::{Event, TaskView};
use crate::slots::Slot;
use crate::task::{Schedulable, TaskCore, TaskId};
use crate::urgency::Urgency;

/// Tasks whose waits differ by no more are alike: they take turns, and one of them is always a turn ahead.
const ABOUT_EQUAL: Nanos = Nanos::from_millis(10);

impl<T: Schedulable> RunQueue<T> {
    /// The current task waits again (preempted, yielded). The CPU's own is just put aside.
    pub(crate) fn put_back(&mut self, event: Event, now: Nanos) -> Option<Arc<T>> {
        let current = &self.current;
        let is_first = self.queued() == 0;
        if let Some(member) = self.slots.get(current.slot) {
            let core = member.task.task();
            let is_known = current.class != Class::Fair || current.generation == self.generation;
            let stays = is_known && member.terms.are_those_of(core);
            if stays && current.class == Class::Fair {
                if is_first {
                    self.watch.begin(now);
                }
                core.note_queued(now);
                core.set_mark(self.watch.mark(now));
                member.task.was_queued(self.cpu, event);
                self.fair.enqueue(&member.view, event);
            } else if stays {
                self.enqueue_current(event, now);
            } else {
                // On new terms it is a newcomer, perhaps in another class; to a new policy it is one too.
                self.leave_policy(Event::MigratedAway);
                self.enqueue_current(Event::Migrated, now);
            }
        }
        mem::replace(&mut self.current, Current::idle(None)).task
    }

    /// The current task is taken out of the table, and queued as others are. It is still current afterwards.
    #[cold]
    fn enqueue_current(&mut self, event: Event, now: Nanos) {
        let slot = mem::replace(&mut self.current.slot, Slot::NONE);
        if let Some(Member { task, .. }) = self.slots.remove(slot) {
            task.task().set_slot(Slot::NONE);
            self.enqueue(task, event, now);
        }
    }

    /// The current task leaves this CPU (blocked, exited, migrated away).
    pub(crate) fn take_current(&mut self, event: Event) -> Option<Arc<T>> {
        self.leave_policy(event);
        let current = mem::replace(&mut self.current, Current::idle(None));
        if self.slots.clear(current.slot)
            && let Some(task) = &current.task
        {
            task.task().set_slot(Slot::NONE);
        }
        current.task
    }

    fn leave_policy(&mut self, event: Event) {
        let current = &self.current;
        if current.class == Class::Fair
            && current.generation == self.generation
            && let Some(task) = &current.task
        {
            let memory = self.fair.leave(event);
            task.task().set_memory(memory);
        }
    }

    /// Whether a waiting task keeps the current one, of the real-time or deadline class, from going on.
    pub(crate) fn is_displaced(&self) -> bool {
        matches!(self.current.class, Class::RealTime | Class::Deadline)
            && (self.stop.len() > 0 || self.waiting_urgency() >= self.current.urgency)
    }

    /// Takes a queued task out.
    pub(crate) fn remove(&mut self, task: &TaskCore) -> Option<Arc<T>> {
        let id = task.id();
        let queued = self.slots.get(task.slot()).filter(|queued| queued.task.task().id() == id)?;
        debug_assert_ne!(task.slot(), self.current.slot, "the running task is not queued");
        let view = match queued.terms.class {
            Class::Stop => self.stop.remove(id),
            Class::Deadline => self.deadline.remove(id),
            Class::RealTime => self.real_time.remove(id),
            Class::Fair | Class::Idle => self.fair.remove(id),
        }?;
        self.release(&view)
    }

    /// Gives up a task that may run on `thief`, the most urgent class first.
    pub(crate) fn steal(&mut self, thief: CpuId) -> Option<Arc<T>> {
        let (slots, running) = (&self.slots, self.current.slot);
        let may_move = |view: &TaskView| {
            view.slot != running
                && slots.get(view.slot).is_some_and(|queued| queued.task.task().may_run_on(thief))
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
        let waiting = self.waiting_from(self.cursor);
        let places =
            waiting.fold(CpuMask::EMPTY, |all, queued| all.or(&queued.task.task().affinity()));
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
        let movable = self.waiting_from(from).filter(|queued| {
            queued.terms.class == Class::Fair && queued.task.task().may_run_on(to)
        });
        let waited = movable.map(|queued| (queued.task.task().waited_until(now), queued));
        let spoiled = waited.min_by_key(|(waited, queued)| (*waited, queued.task.task().id()));
        let Some((waited, queued)) = spoiled else { return Rotation::Needless };
        let task = Arc::clone(&queued.task);
        let own = self.current_waited(now);
        if waited.max(own) <= there {
            return Rotation::Needless;
        }
        let current = self.current.task.as_ref().map(|current| current.task());
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

    /// Whether `task` has this slot.
    pub(super) fn owns(&self, task: TaskId, slot: u32) -> bool {
        self.slots.get(slot).is_some_and(|member| member.task.task().id() == task)
    }

    fn release(&mut self, view: &TaskView) -> Option<Arc<T>> {
        // The running task keeps its slot, but it is not waiting: to give it up would let two CPUs run it.
        let is_waiting = view.slot != self.current.slot && self.owns(view.id, view.slot);
        debug_assert!(is_waiting, "a policy returned a view that it was not given");
        if !is_waiting {
            return None;
        }
        let Member { task, .. } = self.slots.remove(view.slot)?;
        task.task().set_slot(Slot::NONE);
        task.task().set_memory(view.memory);
        Some(task)
    }
}
