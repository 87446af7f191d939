//! Choosing who runs next.

use alloc::sync::Arc;

use arch::time::Nanos;

use super::{Class, Current, REAL_TIME_SLICE, RunQueue};
use crate::parameters::Discipline;
use crate::policy::TaskView;
use crate::slots::Slot;
use crate::task::Schedulable;
use crate::urgency::Urgency;

impl<T: Schedulable> RunQueue<T> {
    /// Takes the next task out of the queue and makes it current. `None` if nothing is queued.
    pub(crate) fn pick(&mut self, now: Nanos) -> Option<Arc<T>> {
        debug_assert!(
            self.current.is_none(),
            "the current task is put back before the next is picked"
        );
        let (view, class, slice) = self.choose(now)?;
        debug_assert!(self.owns(&view), "a policy returned a view that it was not given");
        let task = self.slots.remove(view.slot)?.task;
        let core = task.task();
        core.set_slot(Slot::NONE);
        let parameters = core.parameters();
        let (server, lent) = (core.server(), core.lent());
        let slice = match (class, parameters.discipline) {
            (Class::RealTime, Discipline::RoundRobin) => REAL_TIME_SLICE,
            (Class::Deadline, Discipline::Deadline) if lent == Urgency::IDLE => {
                Nanos(server.left.max(0) as u64)
            }
            _ => slice,
        };
        self.current = Some(Current {
            task: Arc::clone(&task),
            class,
            urgency: Urgency::of(&parameters, server).max(lent),
            lent,
            parameters,
            slice_end: now.saturating_add(slice),
            generation: self.generation,
        });
        self.limit_real_time(now);
        Some(task)
    }

    /// The class and the task in it, in order of precedence.
    fn choose(&mut self, now: Nanos) -> Option<(TaskView, Class, Nanos)> {
        if let Some(view) = self.stop.pick() {
            return Some((view, Class::Stop, Nanos::MAX));
        }
        if let Some(view) = self.deadline.pick() {
            return Some((view, Class::Deadline, Nanos::MAX));
        }
        let fair_first =
            self.real_time.len() > 0 && !self.fair.is_empty() && self.throttle.is_on(now);
        if !fair_first && let Some(view) = self.real_time.pick() {
            return Some((view, Class::RealTime, Nanos::MAX));
        }
        if let Some(pick) = self.fair.pick(now) {
            return Some((pick.task, Class::Fair, pick.slice));
        }
        self.real_time.pick().map(|view| (view, Class::RealTime, Nanos::MAX))
    }

    /// Ends the turn of a real-time task where throttling begins, if fair tasks wait.
    pub(super) fn limit_real_time(&mut self, now: Nanos) {
        if let Some(current) = &mut self.current
            && current.class == Class::RealTime
            && !self.fair.is_empty()
        {
            let limit = now.saturating_add(self.throttle.left());
            current.slice_end = current.slice_end.min(limit);
        }
    }

    /// Makes the CPU's own thread current.
    pub(crate) fn pick_idle(&mut self) -> Option<Arc<T>> {
        let task = self.idle.clone()?;
        self.current = Some(Current::idle(Arc::clone(&task)));
        Some(task)
    }
}
