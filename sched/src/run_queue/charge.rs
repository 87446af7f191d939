//! Accounting for the running task, and what follows from it.

use arch::time::Nanos;

use super::{Class, Member, REAL_TIME_SLICE, Refilled, RunQueue};
use crate::parameters::Discipline;
use crate::policy::Verdict;
use crate::task::Schedulable;
use crate::urgency::Urgency;

impl<T: Schedulable> RunQueue<T> {
    /// Charges the current task for its time since the last call and says whether it should go on.
    #[inline(always)]
    pub(crate) fn charge(&mut self, now: Nanos) -> Verdict {
        let current = &mut self.current;
        let Some(task) = &current.task else { return Verdict::Reschedule };
        let ran = task.task().charge(now);
        self.watch.charge(current.class, ran);
        if current.class != Class::Idle {
            self.statistics.run_time.0 += ran.0;
        }
        match current.class {
            Class::Fair if current.generation != self.generation => Verdict::Reschedule,
            Class::Fair => {
                let verdict = self.fair.tick(ran);
                current.slice_end = match verdict {
                    Verdict::Continue(left) => now.saturating_add(left),
                    Verdict::Reschedule => now,
                };
                verdict
            }
            Class::Idle => Verdict::Continue(Nanos::MAX),
            Class::Stop | Class::RealTime | Class::Deadline => self.charge_urgent(ran, now),
        }
    }

    /// Another task than before runs now, which waited for `delay`.
    pub(crate) fn note_switch(&mut self, delay: Nanos, now: Nanos) {
        if self.is_idle() {
            self.statistics.idled += 1;
            self.idle_since = Some(now);
        } else {
            let idle_since = self.idle_since.take();
            self.statistics.started(delay, idle_since, now);
        }
    }

    fn charge_urgent(&mut self, ran: Nanos, now: Nanos) -> Verdict {
        let current = &mut self.current;
        if current.class == Class::RealTime {
            self.throttle.charge(ran, now);
        }
        if let Some(Member { task, terms, .. }) = self.slots.get(current.slot)
            && terms.discipline == Discipline::Deadline
        {
            let core = task.task();
            let mut server = core.server();
            server.charge(ran);
            core.set_server(server);
            if terms.lent == Urgency::IDLE {
                current.slice_end = now.saturating_add(Nanos(server.left.max(0) as u64));
            }
        }
        self.limit_real_time(now);
        let left = self.current.slice_end.saturating_sub(now);
        if left > Nanos::ZERO { Verdict::Continue(left) } else { Verdict::Reschedule }
    }

    /// Whether somebody else must run even if nobody waits: the current task's reservation is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.current.class == Class::Deadline
            && self.slots.get(self.current.slot).is_some_and(|member| {
                member.terms.lent == Urgency::IDLE && member.task.task().server().is_exhausted()
            })
    }

    /// Whether real-time tasks wait behind a fair one that has the CPU only because they were throttled until now.
    pub(crate) fn throttling_ended(&mut self, now: Nanos) -> bool {
        self.real_time.len() > 0 && self.current.class == Class::Fair && !self.throttle.is_on(now)
    }

    /// The current task ran its slice to the end and nobody else is there: it starts another.
    pub(crate) fn renew_slice(&mut self, now: Nanos) {
        if self.current.class == Class::RealTime {
            self.current.slice_end = now.saturating_add(REAL_TIME_SLICE);
        }
    }

    /// Lets the throttled deadline tasks run whose next period has begun.
    pub(crate) fn refill(&mut self, now: Nanos) -> Refilled {
        let mut refilled = Refilled::Nobody;
        while let Some(view) = self.deadline.take_refilled(now) {
            let Some(queued) = self.slots.get(view.slot) else { continue };
            let (core, mut terms) = (queued.task.task(), queued.terms);
            let mut server = core.server();
            server.refill(&core.parameters().reservation, now);
            core.set_server(server);
            core.note_queued(now);
            terms.follow_server(core);
            self.deadline.enqueue(view, terms.urgency);
            let outranks = self.outranks_current(&terms, view.id, now);
            refilled = refilled.max(if outranks { Refilled::Outranks } else { Refilled::Waits });
        }
        refilled
    }
}
