//! Choosing who runs next.

use alloc::sync::Arc;

use arch::time::Nanos;

use super::{Class, Current, Queued, REAL_TIME_SLICE, RunQueue, Terms};
use crate::parameters::Discipline;
use crate::policy::TaskView;
use crate::slots::Slot;
use crate::task::{Schedulable, TaskCore};
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
        let Queued { task, mut terms, .. } = self.slots.remove(view.slot)?;
        task.task().set_slot(Slot::NONE);
        let slice = match class {
            Class::Fair => slice,
            _ => self.urgent_slice(task.task(), &mut terms, class),
        };
        let slice_end = now.saturating_add(slice);
        let generation = self.generation;
        self.current =
            Some(Current { task: Arc::clone(&task), class, terms, slice_end, generation });
        self.limit_real_time(now);
        Some(task)
    }

    /// How long a task of a class above the fair one may run.
    fn urgent_slice(&self, core: &TaskCore, terms: &mut Terms, class: Class) -> Nanos {
        terms.follow_server(core);
        match (class, terms.discipline) {
            (Class::RealTime, Discipline::RoundRobin) => REAL_TIME_SLICE,
            (Class::Deadline, Discipline::Deadline) if terms.lent == Urgency::IDLE => {
                Nanos(core.server().left.max(0) as u64)
            }
            _ => Nanos::MAX,
        }
    }

    /// The class and the task in it, in order of precedence.
    fn choose(&mut self, now: Nanos) -> Option<(TaskView, Class, Nanos)> {
        if self.queued_above_fair() > 0
            && let Some((view, class)) = self.choose_above_fair(now)
        {
            return Some((view, class, Nanos::MAX));
        }
        if let Some(pick) = self.fair.pick(now) {
            return Some((pick.task, Class::Fair, pick.slice));
        }
        self.real_time.pick().map(|view| (view, Class::RealTime, Nanos::MAX))
    }

    fn choose_above_fair(&mut self, now: Nanos) -> Option<(TaskView, Class)> {
        if let Some(view) = self.stop.pick() {
            return Some((view, Class::Stop));
        }
        if let Some(view) = self.deadline.pick() {
            return Some((view, Class::Deadline));
        }
        if self.is_throttled(now) {
            return None;
        }
        self.real_time.pick().map(|view| (view, Class::RealTime))
    }

    /// Whether fair tasks that wait here go before real-time ones.
    pub(crate) fn is_throttled(&mut self, now: Nanos) -> bool {
        !self.fair.is_empty() && self.throttle.is_on(now)
    }

    /// Ends the turn of a real-time task where throttling begins, if fair tasks wait.
    pub(super) fn limit_real_time(&mut self, now: Nanos) {
        if let Some(current) = &mut self.current
            && current.class == Class::RealTime
            && !self.fair.is_empty()
        {
            let limit = now.saturating_add(self.throttle.left(now));
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
