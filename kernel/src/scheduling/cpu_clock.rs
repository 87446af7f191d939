//! The CPU time of one thread: [`CpuClock`], exact at any moment and readable from any CPU.
//!
//! The CPU that runs the thread turns the clock whenever the mode changes, which may be seconds ago when somebody reads it:
//! a thread that computes undisturbed is not interrupted for the sake of its clock. So the clock keeps when it was turned
//! last and to what, and a reader adds the time since.
//!
//! No locks: the writer, one CPU at a time and with interrupts off, makes `version` odd while it writes; a reader that saw
//! an odd or a changed version reads again.

use arch::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use arch::time::Nanos;

/// Where a thread's time goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Meter {
    /// Nowhere: it is off its CPU, or interrupted.
    Stopped,
    /// To its time in user mode.
    User,
    /// To its time in kernel mode.
    System,
}

impl Meter {
    fn of(number: u8) -> Self {
        match number {
            number if number == Self::User as u8 => Self::User,
            number if number == Self::System as u8 => Self::System,
            _ => Self::Stopped,
        }
    }
}

/// A thread's CPU time, in nanoseconds.
pub(super) struct CpuClock {
    version: AtomicU64,
    /// When it was turned last.
    since: AtomicU64,
    /// The [`Meter`] that runs since then.
    meter: AtomicU8,
    user: AtomicU64,
    system: AtomicU64,
}

impl CpuClock {
    /// A clock that stands at zero.
    pub const fn new() -> Self {
        Self {
            version: AtomicU64::new(0),
            since: AtomicU64::new(0),
            meter: AtomicU8::new(Meter::Stopped as u8),
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
        }
    }

    /// Charges the time since the last turn to the meter that ran, and lets `meter` run from `now` on.
    pub fn turn(&self, now: Nanos, meter: Meter) {
        let span = now.saturating_sub(Nanos(self.since.load(Ordering::Relaxed)));
        self.turn_by(span, Meter::of(self.meter.load(Ordering::Relaxed)), now, meter);
    }

    /// As [`turn`](Self::turn), for a caller who knows that meter `ended` ran for `span` since the last turn.
    #[inline]
    pub fn turn_by(&self, span: Nanos, ended: Meter, now: Nanos, meter: Meter) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // Pairs with the fence in `read`: who sees any of the stores below sees the odd version.
        fence(Ordering::Release);
        // Only this CPU writes, so a load and a store replace the locked addition.
        let charge = |sum: &AtomicU64| {
            sum.store(sum.load(Ordering::Relaxed) + span.0, Ordering::Relaxed);
        };
        match ended {
            Meter::User => charge(&self.user),
            Meter::System => charge(&self.system),
            Meter::Stopped => (),
        }
        self.since.store(now.0, Ordering::Relaxed);
        self.meter.store(meter as u8, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The time in user and in kernel mode up to `now`.
    pub fn read(&self, now: Nanos) -> (Nanos, Nanos) {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let sums = self.sums(now);
            // Pairs with the fence in `turn`.
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return sums;
            }
            arch::relax();
        }
    }

    /// The sums with the time since the last turn. A clock that was turned after `now`, by another CPU, adds nothing.
    fn sums(&self, now: Nanos) -> (Nanos, Nanos) {
        let user = Nanos(self.user.load(Ordering::Relaxed));
        let system = Nanos(self.system.load(Ordering::Relaxed));
        let span = now.saturating_sub(Nanos(self.since.load(Ordering::Relaxed)));
        match Meter::of(self.meter.load(Ordering::Relaxed)) {
            Meter::User => (user.saturating_add(span), system),
            Meter::System => (user, system.saturating_add(span)),
            Meter::Stopped => (user, system),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_meter_counts_before_it_is_turned() {
        let clock = CpuClock::new();
        clock.turn(Nanos(10), Meter::System);
        clock.turn(Nanos(13), Meter::User);
        assert_eq!(clock.read(Nanos(20)), (Nanos(7), Nanos(3)));
        clock.turn(Nanos(21), Meter::Stopped);
        assert_eq!(clock.read(Nanos(90)), (Nanos(8), Nanos(3)));
        assert_eq!(clock.read(Nanos(5)), (Nanos(8), Nanos(3)), "a reader whose clock is behind");
    }

    #[test]
    fn readers_never_see_half_a_turn() {
        let clock = CpuClock::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 1..50_000 {
                    clock
                        .turn(Nanos(turn), if turn % 2 == 0 { Meter::User } else { Meter::System });
                }
                clock.turn(Nanos(50_000), Meter::Stopped);
            });
            for _ in 0..50_000 {
                // Whichever meter runs: all the time since the first turn is on one of them.
                let (user, system) = clock.read(Nanos(50_000));
                let sum = user.saturating_add(system);
                assert!([Nanos(0), Nanos(49_999)].contains(&sum), "{user:?} and {system:?}");
            }
        });
    }
}
