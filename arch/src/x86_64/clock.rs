//! Clock.
use crate::time::Nanos;

/// Nanoseconds since boot.
#[must_use]
pub fn now() -> Nanos {
    Nanos::ZERO
}

/// Arms this CPU's timer for the absolute time `deadline`, or stops it.
pub fn set_timer(_deadline: Option<Nanos>) {}

/// Nanoseconds from 1970 to the clock's zero.
#[must_use]
pub fn realtime_at_boot() -> Nanos {
    Nanos::ZERO
}

/// Name.
#[must_use]
pub fn source_name() -> &'static str {
    "tsc"
}

/// TSC ticks per second.
#[must_use]
pub fn tsc_frequency() -> u64 {
    0
}
