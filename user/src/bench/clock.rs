//! The clock of the measurements: the time stamp counter.
//!
//! The counter costs the same on every kernel, where `clock_gettime` is a system call on one and none on another,
//! which would show in what takes a microsecond. For nanoseconds its rate is taken from `CLOCK_MONOTONIC` when a
//! case starts. Under QEMU's `-icount shift=0` the counter runs at one tick for each instruction that a processor
//! executes, which is what [`Mode::Instructions`] prints, and nothing is to be calibrated.

use std::arch::x86_64::{_mm_lfence, _rdtsc};
use std::time::{Duration, Instant};

use super::statistics::median;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nanoseconds.
    Time,
    /// Ticks of the time stamp counter, which `-icount` makes instructions.
    Instructions,
}

impl Mode {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Instructions => "instructions",
        }
    }

    /// The unit of its figures.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Time => "ns",
            Self::Instructions => "instructions",
        }
    }
}

/// The time stamp counter, after everything before it has been executed.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: both instructions are in every x86-64 processor and touch no memory.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

/// Turns ticks into the unit of the mode.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What one tick is, in units.
    scale: f64,
    /// Ticks between two readings with nothing between them.
    overhead: u64,
}

impl Clock {
    /// How long the counter is held against `CLOCK_MONOTONIC`.
    const CALIBRATION: Duration = Duration::from_millis(10);

    /// Measures the counter itself.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        let mut empty: Vec<f64> = (0..501)
            .map(|_| {
                let start = ticks();
                (ticks() - start) as f64
            })
            .collect();
        let scale = match mode {
            Mode::Time => nanoseconds_per_tick(),
            Mode::Instructions => 1.0,
        };
        Self { scale, overhead: median(&mut empty) as u64 }
    }

    /// What has passed since `start`, a value of [`ticks`], in units; without the reading of the clock.
    #[must_use]
    pub fn since(&self, start: u64) -> u64 {
        self.between(start, ticks())
    }

    /// What has passed from `start` to `end`, both values of [`ticks`], perhaps of different processors.
    #[must_use]
    pub fn between(&self, start: u64, end: u64) -> u64 {
        let ticks = end.saturating_sub(start).saturating_sub(self.overhead);
        (ticks as f64 * self.scale).round() as u64
    }
}

/// The counter's rate.
fn nanoseconds_per_tick() -> f64 {
    let (start, began) = (ticks(), Instant::now());
    while began.elapsed() < Clock::CALIBRATION {
        std::hint::spin_loop();
    }
    let (elapsed, end) = (began.elapsed(), ticks());
    elapsed.as_nanos() as f64 / (end - start).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_agree_with_the_systems_clock() {
        let clock = Clock::new(Mode::Time);
        let (start, began) = (ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (ours, theirs) = (clock.since(start) as f64, began.elapsed().as_nanos() as f64);
        assert!((ours / theirs - 1.0).abs() < 0.1, "{ours} {theirs}");
    }

    #[test]
    fn overhead_is_taken_off_but_never_below_zero() {
        let clock = Clock { scale: 2.0, overhead: 10 };
        assert_eq!(clock.between(100, 160), 100);
        assert_eq!(clock.between(100, 105), 0);
        assert_eq!(clock.between(100, 90), 0);
    }
}
