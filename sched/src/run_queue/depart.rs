//! How tasks leave the CPU and the queue, other than by being picked.

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::time::Nanos;

use super::{Class, RunQueue};
use crate::policy::{Event, TaskView};
use crate::slots::Slot;
use crate::task::{Schedulable, TaskCore, TaskId};
use crate::urgency::Urgency;

impl<T: Schedulable> RunQueue<T> {
    /// The current task goes back into the queue (preempted, yielded). The CPU's own is just put aside.
    pub(crate) fn put_back(&mut self, event: Event, now: Nanos) -> Option<Arc<T>> {
        let current = self.current.as_ref()?;
        let (task, class) = (Arc::clone(&current.task), current.class);
        if class == Class::Idle {
            self.current = None;
            return Some(task);
        }
        // With new parameters it is a newcomer, perhaps in another class; to a new policy it is one too.
        let is_known = class != Class::Fair || current.generation == self.generation;
        let is_same = is_known
            && task.task().lent() == current.lent
            && task.task().parameters() == current.parameters;
        let event = if is_same {
            event
        } else {
            self.leave_policy(Event::MigratedAway);
            Event::Migrated
        };
        self.enqueue(Arc::clone(&task), event, now);
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
                && (self.stop.len() > 0 || self.waiting_urgency() >= current.urgency)
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
        self.steal_except(thief, None)
    }

    /// As [`steal`](Self::steal), but not the task that came last.
    pub(crate) fn steal_resident(&mut self, thief: CpuId) -> Option<Arc<T>> {
        self.steal_except(thief, self.newcomer)
    }

    fn steal_except(&mut self, thief: CpuId, except: Option<TaskId>) -> Option<Arc<T>> {
        let slots = &self.slots;
        let may_move = |view: &TaskView| {
            Some(view.id) != except
                && slots.get(view.slot).is_some_and(|queued| queued.task.task().may_run_on(thief))
        };
        let view = self
            .deadline
            .steal(&may_move)
            .or_else(|| self.real_time.steal(&may_move))
            .or_else(|| self.fair.steal(&may_move))?;
        self.release(&view)
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
        let task = self.slots.remove(view.slot)?.task;
        task.task().set_slot(Slot::NONE);
        task.task().set_memory(view.memory);
        Some(task)
    }
}
