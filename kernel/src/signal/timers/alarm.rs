//! An alarm: a time on some clock, and an interval. Key types: [`Alarm`], [`AlarmClock`], [`Setting`].

use alloc::sync::Weak;

use arch::clock;
use arch::time::Nanos;

use crate::scheduling::Late;
use crate::task::{Process, Thread, Usage};

/// The clocks that alarms go by.
#[derive(Clone, Debug)]
pub(in crate::signal) enum AlarmClock {
    /// Time since boot.
    Monotonic,
    /// Time of day. Absolute times on it are converted as the alarm is set.
    RealTime,
    /// What the process has used in user mode.
    ProcessUser,
    /// What the process has used.
    ProcessCpu,
    /// What one thread has used.
    ThreadCpu(Weak<Thread>),
}

impl AlarmClock {
    /// The clock's time. Times of day are counted since boot: they differ by a constant.
    pub(super) fn now(&self, process: &Process) -> Nanos {
        match self {
            Self::Monotonic | Self::RealTime => clock::now(),
            Self::ProcessUser => Usage::user_time_of(process),
            Self::ProcessCpu => Usage::cpu_time_of(process),
            Self::ThreadCpu(thread) => {
                // Perhaps in an interrupt handler.
                let thread = thread.upgrade().map(Late::new);
                thread.map_or(Nanos::ZERO, |thread| Usage::of_thread(&thread).cpu_time())
            }
        }
    }

    /// How many times faster than real time it can run.
    fn speed(&self, process: &Process) -> u64 {
        match self {
            Self::Monotonic | Self::RealTime | Self::ThreadCpu(_) => 1,
            Self::ProcessUser | Self::ProcessCpu => {
                let threads = process.signals().thread_count;
                threads.clamp(1, arch::cpu_count()) as u64
            }
        }
    }

    fn is_real_time(&self) -> bool {
        matches!(self, Self::Monotonic | Self::RealTime)
    }
}

/// What a program sets and reads: the time left, and the interval after it; zero for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::signal) struct Setting {
    pub value: Nanos,
    pub interval: Nanos,
}

impl Setting {
    /// Not set.
    pub const DISARMED: Self = Self { value: Nanos::ZERO, interval: Nanos::ZERO };
}

/// An alarm on a clock.
#[derive(Clone, Debug)]
pub(in crate::signal) struct Alarm {
    pub(super) clock: AlarmClock,
    /// When it rings, on its clock.
    at: Option<Nanos>,
    interval: Nanos,
}

/// How long to wait at least before looking again at a CPU clock: it is charged at switches and ticks.
const CPU_CLOCK_STEP: Nanos = Nanos::from_millis(1);

impl Alarm {
    /// An alarm that is not set.
    pub(super) fn new(clock: AlarmClock) -> Self {
        Self { clock, at: None, interval: Nanos::ZERO }
    }

    /// Sets it to ring after `setting.value`, and then at each interval.
    pub(super) fn set(&mut self, setting: Setting, process: &Process) {
        let rings = setting.value != Nanos::ZERO;
        let at = rings.then(|| self.clock.now(process).saturating_add(setting.value));
        self.ring_at(at, setting.interval);
    }

    /// Sets it to ring at a time of its clock.
    pub(super) fn ring_at(&mut self, at: Option<Nanos>, interval: Nanos) {
        self.at = at;
        self.interval = interval;
    }

    /// The time left, and the interval.
    pub(super) fn setting(&self, process: &Process) -> Setting {
        let left = |at: Nanos| at.saturating_sub(self.clock.now(process)).0.max(1);
        let value = Nanos(self.at.map_or(0, left));
        Setting { value, interval: self.interval }
    }

    /// When to look whether it rings, on the monotonic clock.
    pub(super) fn earliest(&self, process: &Process) -> Option<Nanos> {
        let at = self.at?;
        if self.clock.is_real_time() {
            return Some(at);
        }
        let left = at.saturating_sub(self.clock.now(process)).0 / self.clock.speed(process);
        Some(clock::now().saturating_add(Nanos(left.max(CPU_CLOCK_STEP.0))))
    }

    /// How often it has rung by now; it is set to ring next after that.
    pub(super) fn ring(&mut self, process: &Process) -> u64 {
        let now = self.clock.now(process);
        let (times, next) = advance(self.at, self.interval, now);
        self.at = next;
        times
    }

    /// Whether it is due.
    pub(super) fn is_due(&self, process: &Process) -> bool {
        self.at.is_some_and(|at| at <= self.clock.now(process))
    }

    /// Whether it rings more than once.
    pub(super) fn repeats(&self) -> bool {
        self.interval != Nanos::ZERO
    }
}

/// How often an alarm for `at` with `interval` has rung by `now`, and when it rings next.
fn advance(at: Option<Nanos>, interval: Nanos, now: Nanos) -> (u64, Option<Nanos>) {
    let Some(at) = at.filter(|&at| at <= now) else { return (0, at) };
    match (now.0 - at.0).checked_div(interval.0) {
        None => (1, None),
        Some(missed) => {
            let steps = interval.0.saturating_mul(missed + 1);
            (missed + 1, Some(at.saturating_add(Nanos(steps))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once_or_at_each_interval() {
        let at = Some(Nanos(100));
        assert_eq!(advance(at, Nanos::ZERO, Nanos(99)), (0, at));
        assert_eq!(advance(at, Nanos::ZERO, Nanos(100)), (1, None));
        assert_eq!(advance(at, Nanos(10), Nanos(100)), (1, Some(Nanos(110))));
        assert_eq!(advance(at, Nanos(10), Nanos(135)), (4, Some(Nanos(140))));
        assert_eq!(advance(None, Nanos(10), Nanos(135)), (0, None));
    }
}
