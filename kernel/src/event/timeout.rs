//! How long to wait: the three ways in which a program says it, as a deadline on the monotonic clock.

use arch::time::Nanos;

use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// `struct timespec` or `struct timeval` in user memory: seconds, and a fraction.
pub(super) type UserTime = UserPtr<[i64; 2]>;

/// When to stop waiting; `None` for never.
pub(super) type Deadline = Option<Nanos>;

/// The deadline `millis` milliseconds from now; negative values mean never.
pub(super) fn after_millis(millis: i32) -> Deadline {
    let millis = u64::try_from(millis).ok()?;
    Some(arch::clock::now().saturating_add(Nanos::from_millis(millis)))
}

/// The deadline that a `timespec` (relative) sets.
///
/// # Errors
/// `EFAULT`; `EINVAL` if it is negative or not normalised.
pub(super) fn after_timespec(address: UserTime) -> Result<Deadline> {
    let Some(time) = address.read_if_present()? else { return Ok(None) };
    Ok(Some(arch::clock::now().saturating_add(span(time)?)))
}

/// The deadline that a `timeval` (relative) sets. More than a second of microseconds is carried over.
///
/// # Errors
/// `EFAULT`; `EINVAL` if it is negative.
pub(super) fn after_timeval(address: UserTime) -> Result<Deadline> {
    let Some([seconds, micros]) = address.read_if_present()? else { return Ok(None) };
    if seconds < 0 || micros < 0 {
        return Err(Errno::EINVAL);
    }
    let seconds = seconds.saturating_add(micros / MICROS_PER_SECOND);
    let span = span([seconds, micros % MICROS_PER_SECOND * 1000])?;
    Ok(Some(arch::clock::now().saturating_add(span)))
}

/// The span that a `timespec` holds.
///
/// # Errors
/// `EINVAL` if it is negative or not normalised.
pub(super) fn span([seconds, nanos]: [i64; 2]) -> Result<Nanos> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    if !(0..NANOS_PER_SECOND).contains(&nanos) {
        return Err(Errno::EINVAL);
    }
    Ok(Nanos::from_secs(seconds).saturating_add(Nanos(nanos as u64)))
}

/// The `timespec` of a span.
pub(super) fn timespec(span: Nanos) -> [i64; 2] {
    [span.as_secs() as i64, span.subsec_nanos() as i64]
}

/// What is left until `deadline`.
fn remaining(deadline: Nanos) -> Nanos {
    deadline.saturating_sub(arch::clock::now())
}

/// Stores what is left until `deadline` as a `timespec`. A failure to do so is not reported, as on Linux: the result of
/// the wait matters more.
pub(super) fn store_remaining_timespec(address: UserTime, deadline: Deadline) {
    if let Some(deadline) = deadline {
        let _stored = address.write_if_present(&timespec(remaining(deadline)));
    }
}

/// Stores what is left until `deadline` as a `timeval`, as [`store_remaining_timespec`].
pub(super) fn store_remaining_timeval(address: UserTime, deadline: Deadline) {
    if let Some(deadline) = deadline {
        let [seconds, nanos] = timespec(remaining(deadline));
        let _stored = address.write_if_present(&[seconds, nanos / 1000]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_checked_and_saturate() {
        assert_eq!(span([1, 5]), Ok(Nanos(1_000_000_005)));
        assert_eq!(span([-1, 0]), Err(Errno::EINVAL));
        assert_eq!(span([0, 1_000_000_000]), Err(Errno::EINVAL));
        assert_eq!(span([i64::MAX, 0]), Ok(Nanos::MAX));
        assert_eq!(timespec(Nanos(2_000_000_001)), [2, 1]);
    }
}
