//! Real-time throttling: what the real-time class may take of each period when fair tasks wait
//! (`sched_rt_period_us` and `sched_rt_runtime_us`, sched(7)).

use arch::time::Nanos;

/// How much of what time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RealTimeLimit {
    /// Each period...
    pub period: Nanos,
    /// ... gives so much to real-time tasks; `None`: all of it.
    pub runtime: Option<Nanos>,
}

impl RealTimeLimit {
    /// Linux's: 0.95 of each second.
    pub const DEFAULT: Self =
        Self { period: Nanos::from_secs(1), runtime: Some(Nanos::from_millis(950)) };
}

/// One CPU's account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    pub(crate) limit: RealTimeLimit,
    /// When the present period began.
    began: Nanos,
    used: Nanos,
}

impl Throttle {
    pub(crate) const fn new() -> Self {
        Self { limit: RealTimeLimit::DEFAULT, began: Nanos::ZERO, used: Nanos::ZERO }
    }

    /// A real-time task ran for `ran`, until `now`.
    pub(crate) fn charge(&mut self, ran: Nanos, now: Nanos) {
        self.advance(now);
        // Who ran alone was not charged since it began to: what lies before this period does not count in it.
        self.used = self.used.saturating_add(ran.min(now.saturating_sub(self.began)));
    }

    /// Whether fair tasks come first now.
    pub(crate) fn is_on(&mut self, now: Nanos) -> bool {
        self.left(now) == Nanos::ZERO
    }

    /// How much real-time tasks may still run in this period.
    pub(crate) fn left(&mut self, now: Nanos) -> Nanos {
        self.advance(now);
        self.limit.runtime.map_or(Nanos::MAX, |runtime| runtime.saturating_sub(self.used))
    }

    /// When the present period ends.
    pub(crate) fn ends(&self) -> Nanos {
        self.began.saturating_add(self.limit.period)
    }

    fn advance(&mut self, now: Nanos) {
        if now >= self.ends() {
            self.began = now;
            self.used = Nanos::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_in_each_period() {
        let mut throttle = Throttle::new();
        let start = Nanos::from_secs(5);
        assert!(!throttle.is_on(start));
        throttle.charge(Nanos::from_millis(950), start.saturating_add(Nanos::from_millis(950)));
        assert!(throttle.is_on(start.saturating_add(Nanos::from_millis(960))));
        assert!(!throttle.is_on(start.saturating_add(Nanos::from_millis(1000))));
    }

    #[test]
    fn what_was_run_before_the_period_does_not_count_in_it() {
        let mut throttle = Throttle::new();
        // Alone for ten seconds, so uncharged; then somebody asks, and a period begins.
        assert!(!throttle.is_on(Nanos::from_secs(10)));
        let tick = Nanos::from_millis(10_250);
        throttle.charge(tick, tick);
        assert_eq!(throttle.left(tick), Nanos::from_millis(700));
        // A period that begins with the charge has seen nothing of it.
        let late = Nanos::from_secs(20);
        throttle.charge(Nanos::from_secs(9), late);
        assert_eq!(throttle.left(late), Nanos::from_millis(950));
    }
}
