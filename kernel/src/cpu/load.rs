//! The load average: how many threads run, wait for a CPU or sleep uninterruptibly, averaged over 1, 5 and 15 minutes
//! (proc(5), `/proc/loadavg`; getloadavg(3)).

use arch::clock;
use arch::sync::atomic::{AtomicU64, Ordering};
use arch::time::Nanos;
use spin::Once;

use crate::scheduling::scheduler;
use crate::time::Timer;

/// Fractional bits of a load, as sysinfo(2) has them.
pub const LOAD_SHIFT: u32 = 16;
/// How often the averages are brought up to date.
const PERIOD: Nanos = Nanos::from_secs(5);
/// What remains of an average after a period: e^(-5 s / 1, 5, 15 min), with [`LOAD_SHIFT`] fractional bits.
const DECAY: [u64; 3] = [60_296, 64_453, 65_173];

static AVERAGES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
static TIMER: Once<Timer> = Once::new();

/// The averages over 1, 5 and 15 minutes, with [`LOAD_SHIFT`] fractional bits.
#[must_use]
pub fn load_averages() -> [u64; 3] {
    [0, 1, 2].map(|i: usize| AVERAGES[i].load(Ordering::Relaxed))
}

/// Begins to keep the averages. Once, on the boot processor.
pub(crate) fn start() {
    let timer = TIMER.call_once(|| {
        Timer::new(|timer| {
            let active = u64::from(scheduler().runnable() + scheduler().blocked());
            for (average, decay) in AVERAGES.iter().zip(DECAY) {
                // Only this callback writes.
                let next = advance(average.load(Ordering::Relaxed), decay, active);
                average.store(next, Ordering::Relaxed);
            }
            timer.arm(clock::now().saturating_add(PERIOD));
        })
    });
    timer.arm(clock::now().saturating_add(PERIOD));
}

/// The average after another period with `active` threads.
fn advance(average: u64, decay: u64, active: u64) -> u64 {
    const ONE: u64 = 1 << LOAD_SHIFT;
    let target = active << LOAD_SHIFT;
    let sum = average * decay + target * (ONE - decay);
    // Rounded towards the target, so that it is reached.
    let rounding = if target >= average { ONE - 1 } else { 0 };
    (sum + rounding) >> LOAD_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_reaches_a_constant_load_and_falls_back_to_zero() {
        for decay in DECAY {
            let mut average = 0;
            (0..20_000).for_each(|_| average = advance(average, decay, 3));
            assert_eq!(average, 3 << LOAD_SHIFT);
            (0..20_000).for_each(|_| average = advance(average, decay, 0));
            assert_eq!(average, 0);
        }
    }

    #[test]
    fn after_a_minute_of_load_one_the_first_average_is_two_thirds() {
        let average = (0..12).fold(0, |average, _| advance(average, DECAY[0], 1));
        let fraction = average as f64 / f64::from(1 << LOAD_SHIFT);
        assert!((fraction - 0.632).abs() < 0.01, "{fraction}");
    }
}
