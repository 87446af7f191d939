//! Limits that an administrator sets (sched(7), `/proc/sys/kernel/sched_*`): what real-time threads may take, and
//! which periods deadline threads may ask for.

use arch::sync::atomic::{AtomicU64, Ordering};
use arch::time::Nanos;
use sched::RealTimeLimit;

use super::cpus::scheduler;
use crate::errno::{Errno, Result};

/// Linux's `sched_deadline_period_min_us` and `_max_us`.
static SHORTEST_PERIOD: AtomicU64 = AtomicU64::new(100_000);
static LONGEST_PERIOD: AtomicU64 = AtomicU64::new((1 << 22) * 1000);

/// The shortest and the longest period that a deadline thread may ask for.
pub(crate) fn deadline_periods() -> (Nanos, Nanos) {
    let read = |limit: &AtomicU64| Nanos(limit.load(Ordering::Relaxed));
    (read(&SHORTEST_PERIOD), read(&LONGEST_PERIOD))
}

/// Changes [`deadline_periods`]. Reservations that were granted stay.
///
/// # Errors
/// `EINVAL` if there would be no period between them.
pub(crate) fn set_deadline_periods(shortest: Nanos, longest: Nanos) -> Result<()> {
    if shortest > longest {
        return Err(Errno::EINVAL);
    }
    SHORTEST_PERIOD.store(shortest.0, Ordering::Relaxed);
    LONGEST_PERIOD.store(longest.0, Ordering::Relaxed);
    Ok(())
}

/// Changes what real-time threads may take of each period.
///
/// # Errors
/// `EINVAL` for a period of nothing, and for more than the period; `EBUSY` if deadline threads have reserved more.
pub(crate) fn set_real_time(limit: RealTimeLimit) -> Result<()> {
    let fits = limit.runtime.is_none_or(|runtime| runtime <= limit.period);
    if limit.period == Nanos::ZERO || !fits {
        return Err(Errno::EINVAL);
    }
    scheduler().set_real_time_limit(limit).map_err(Errno::from)
}
