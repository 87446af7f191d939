//! Choosing who runs next.

use alloc::sync::Arc;

use arch::time::Nanos;

use super::{Class, Current, Member, REAL_TIME_SLICE, RunQueue};
use crate::parameters::Discipline;
use crate::policy::{Pick, TaskView};
use crate::task::Schedulable;
use crate::urgency::Urgency;

impl<T: Schedulable> Member<T> {
    /// How long the task may run in `class`, which is above the fair one. Brings its terms up to date.
    fn urgent_slice(&mut self, class: Class) -> Nanos {
        let core = self.task.task();
        self.terms.follow_server(core);
        match (class, self.terms.discipline) {
            (Class::RealTime, Discipline::RoundRobin) => REAL_TIME_SLICE,
            (Class::Deadline, Discipline::Deadline) if self.terms.lent == Urgency::IDLE => {
                Nanos(core.server().left.max(0) as u64)
            }
            _ => Nanos::MAX,
        }
    }
}

impl<T: Schedulable> RunQueue<T> {
    /// Makes the task current that runs next. Says whether there is one: nothing may be queued.
    #[must_use]
    #[inline(always)]
    pub(crate) fn pick(&mut self, now: Nanos) -> bool {
        debug_assert!(
            self.current.task.is_none(),
            "the current task is put back before the next is picked"
        );
        let Some((pick, class)) = self.choose(now) else { return false };
        debug_assert!(self.owns(pick.task, pick.slot), "a policy picked what it was not given");
        let Some(member) = self.slots.get_mut(pick.slot) else { return false };
        let slice = match class {
            Class::Fair => pick.slice,
            _ => member.urgent_slice(class),
        };
        self.current = Current {
            task: Some(Arc::clone(&member.task)),
            slot: pick.slot,
            class,
            urgency: member.terms.urgency,
            slice_end: now.saturating_add(slice),
            generation: self.generation,
        };
        self.limit_real_time(now);
        true
    }

    /// The task that runs next, and its class, in order of precedence.
    #[inline(always)]
    fn choose(&mut self, now: Nanos) -> Option<(Pick, Class)> {
        if self.queued_above_fair() > 0
            && let Some((view, class)) = self.choose_above_fair(now)
        {
            return Some((view.runs_for(Nanos::MAX), class));
        }
        if let Some(pick) = self.fair.pick(now) {
            return Some((pick, Class::Fair));
        }
        self.real_time.pick().map(|view| (view.runs_for(Nanos::MAX), Class::RealTime))
    }

    #[cold]
    #[inline(never)]
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
        if self.current.class == Class::RealTime && !self.fair.is_empty() {
            let limit = now.saturating_add(self.throttle.left(now));
            self.current.slice_end = self.current.slice_end.min(limit);
        }
    }

    /// Makes the CPU's own thread current.
    pub(crate) fn pick_idle(&mut self) {
        self.current = Current::idle(self.idle.clone());
    }
}
