//! The deadline class: earliest deadline first, each task within the bandwidth that it reserved.
//!
//! Key types: [`Server`], one task's constant-bandwidth server (Abeni and Buttazzo, "Integrating Multimedia
//! Applications in Hard Real-Time Systems", 1998; sched(7), "Deadline scheduling"); [`DeadlineQueue`], one CPU's tasks.
//!
//! A task that has used its runtime up is *throttled*: it waits, whatever the CPU does, until its next period begins, and
//! has a new runtime and a later deadline then. So the others keep what they reserved, whatever it does.
//!
//! Locks: the run queue's.

use core::cmp::Reverse;

use arch::time::Nanos;

use crate::policy::TaskView;
use crate::queue::KeyedQueue;
use crate::task::TaskId;
use crate::urgency::Urgency;

/// What a task reserved: `runtime` within `deadline` of the beginning of each `period`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reservation {
    /// Time on the CPU in each period.
    pub runtime: Nanos,
    /// Until when after the period's beginning it is to be had.
    pub deadline: Nanos,
    /// How often.
    pub period: Nanos,
}

/// Fractional bits of a bandwidth.
pub const BANDWIDTH_SHIFT: u32 = 20;

impl Reservation {
    /// The share of one CPU, with [`BANDWIDTH_SHIFT`] fractional bits.
    #[must_use]
    pub fn bandwidth(&self) -> u64 {
        share(self.runtime, self.period)
    }
}

/// `part` of `whole` with [`BANDWIDTH_SHIFT`] fractional bits; all of it for a whole of nothing.
#[must_use]
pub fn share(part: Nanos, whole: Nanos) -> u64 {
    match whole.0 {
        0 => 1 << BANDWIDTH_SHIFT,
        whole => ((u128::from(part.0) << BANDWIDTH_SHIFT) / u128::from(whole)) as u64,
    }
}

/// What is left of a task's reservation at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Server {
    /// The absolute deadline; zero before the first period.
    pub deadline: Nanos,
    /// The runtime that is left, negative if it was overrun.
    pub left: i64,
}

impl Server {
    /// The task becomes runnable after a sleep.
    ///
    /// What is left is kept if using it before the deadline stays within the bandwidth; else a period begins now.
    pub fn wake(&mut self, reserved: &Reservation, now: Nanos) {
        let span = u128::from(self.deadline.saturating_sub(now).0);
        let left = self.left.max(0) as u128;
        let fits = span > 0
            && left * u128::from(reserved.deadline.0) <= span * u128::from(reserved.runtime.0);
        // With a deadline before the period's end, the next period does not begin before its time.
        let early = reserved.deadline < reserved.period && now < self.refill_at(reserved);
        if self.deadline == Nanos::ZERO || !fits && !early {
            *self = Self {
                deadline: now.saturating_add(reserved.deadline),
                left: reserved.runtime.0 as i64,
            };
        } else if early && span == 0 {
            self.left = 0;
        }
    }

    /// The task ran for `ran`.
    pub fn charge(&mut self, ran: Nanos) {
        self.left = self.left.saturating_sub(ran.0 as i64);
    }

    /// Whether the runtime is used up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left <= 0
    }

    /// When the next period begins.
    #[must_use]
    pub fn refill_at(&self, reserved: &Reservation) -> Nanos {
        self.deadline.saturating_sub(reserved.deadline).saturating_add(reserved.period)
    }

    /// The next period begins; several, if the last was overrun by more than one runtime.
    pub fn refill(&mut self, reserved: &Reservation, now: Nanos) {
        let runtime = reserved.runtime.0.max(1) as i64;
        let periods = if self.left > 0 { 0 } else { 1 + self.left.saturating_neg() / runtime };
        let span = Nanos(reserved.period.0.saturating_mul(periods as u64));
        self.deadline = self.deadline.saturating_add(span);
        self.left = self.left.saturating_add(runtime.saturating_mul(periods));
        if self.deadline <= now {
            // So late that the deadline is past: it begins anew.
            *self = Self {
                deadline: now.saturating_add(reserved.deadline),
                left: reserved.runtime.0 as i64,
            };
        }
    }
}

/// The queued deadline tasks of one CPU.
#[derive(Debug, Default)]
pub(crate) struct DeadlineQueue {
    /// By urgency: the earliest deadline first.
    ready: KeyedQueue<(Reverse<Urgency>, TaskId), TaskView>,
    /// By the time at which their next period begins.
    throttled: KeyedQueue<(Nanos, TaskId), TaskView>,
}

impl DeadlineQueue {
    #[must_use]
    pub(crate) fn reserve(&mut self, tasks: usize) -> bool {
        self.ready.reserve(tasks) && self.throttled.reserve(tasks)
    }

    /// Queues a task that may run.
    pub(crate) fn enqueue(&mut self, task: TaskView, urgency: Urgency) {
        self.ready.push((Reverse(urgency), task.id), task);
    }

    /// Queues a task that waits until `refill_at`.
    pub(crate) fn throttle(&mut self, task: TaskView, refill_at: Nanos) {
        self.throttled.push((refill_at, task.id), task);
    }

    /// When the first throttled task's next period begins.
    pub(crate) fn next_refill(&self) -> Option<Nanos> {
        self.throttled.first().map(|((at, _), _)| *at)
    }

    /// A throttled task whose next period has begun.
    pub(crate) fn take_refilled(&mut self, now: Nanos) -> Option<TaskView> {
        if self.next_refill()? > now {
            return None;
        }
        self.throttled.pop().map(|(_, task)| task)
    }

    pub(crate) fn pick(&mut self) -> Option<TaskView> {
        self.ready.pop().map(|(_, task)| task)
    }

    pub(crate) fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let wanted = |queued: &TaskView| queued.id == task;
        self.ready.take(wanted).or_else(|| self.throttled.take(wanted))
    }

    /// Gives up the task with the earliest deadline among those that `may_move`.
    pub(crate) fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        self.ready.take(may_move)
    }

    /// The urgency of the first.
    pub(crate) fn first(&self) -> Option<Urgency> {
        self.ready.first().map(|((Reverse(urgency), _), _)| *urgency)
    }

    /// How many may run.
    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// How many wait for a new period.
    pub(crate) fn throttled(&self) -> usize {
        self.throttled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: Reservation = Reservation {
        runtime: Nanos::from_millis(2),
        deadline: Nanos::from_millis(10),
        period: Nanos::from_millis(10),
    };

    #[test]
    fn a_short_sleep_keeps_the_deadline_and_a_long_one_begins_a_period() {
        let mut server = Server::default();
        server.wake(&RESERVED, Nanos::from_millis(100));
        assert_eq!(server.deadline, Nanos::from_millis(110));
        server.charge(Nanos::from_millis(1));
        // 1 ms left of 9: less than the bandwidth of a fifth.
        server.wake(&RESERVED, Nanos::from_millis(101));
        assert_eq!((server.deadline, server.left), (Nanos::from_millis(110), 1_000_000));
        // 1 ms left of 2 is more than a fifth.
        server.wake(&RESERVED, Nanos::from_millis(108));
        assert_eq!((server.deadline, server.left), (Nanos::from_millis(118), 2_000_000));
    }

    #[test]
    fn an_overrun_is_paid_back_in_later_periods() {
        let mut server = Server::default();
        server.wake(&RESERVED, Nanos::from_millis(0));
        server.charge(Nanos::from_millis(5));
        assert!(server.is_exhausted());
        assert_eq!(server.refill_at(&RESERVED), Nanos::from_millis(10));
        server.refill(&RESERVED, Nanos::from_millis(10));
        assert_eq!((server.deadline, server.left), (Nanos::from_millis(30), 1_000_000));
    }

    #[test]
    fn bandwidth_is_a_fraction_of_the_period() {
        assert_eq!(RESERVED.bandwidth(), (1 << BANDWIDTH_SHIFT) / 5);
    }
}
