//! Times as programs pass them: [`Timespec`], [`Timeval`].

use arch::time::Nanos;

use crate::errno::{Errno, Result};
use crate::plain_data;

/// `struct timespec` (time(2) family, 64-bit).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Timespec {
    /// Whole seconds.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999 if valid.
    pub nanoseconds: i64,
}

/// `struct timeval` (gettimeofday(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Timeval {
    /// Whole seconds.
    pub seconds: i64,
    /// Microseconds, 0 to 999,999 if valid.
    pub microseconds: i64,
}

plain_data!(Timespec, Timeval);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Timespec {
    /// The time as nanoseconds; times past what 64 bits hold are as good as never.
    ///
    /// # Errors
    /// `EINVAL` when a part is negative or the nanoseconds exceed a second.
    pub fn to_nanos(self) -> Result<Nanos> {
        let seconds = u64::try_from(self.seconds).map_err(|_| Errno::EINVAL)?;
        let nanoseconds = u64::try_from(self.nanoseconds).map_err(|_| Errno::EINVAL)?;
        if nanoseconds >= NANOS_PER_SECOND {
            return Err(Errno::EINVAL);
        }
        Ok(Nanos::from_secs(seconds).saturating_add(Nanos(nanoseconds)))
    }
}

impl Timeval {
    /// The time as nanoseconds.
    ///
    /// # Errors
    /// `EINVAL` when a part is negative or the microseconds exceed a second.
    pub fn to_nanos(self) -> Result<Nanos> {
        if !(0..1_000_000).contains(&self.microseconds) {
            return Err(Errno::EINVAL);
        }
        Timespec { seconds: self.seconds, nanoseconds: self.microseconds * 1000 }.to_nanos()
    }
}

impl From<Nanos> for Timespec {
    fn from(time: Nanos) -> Self {
        Self { seconds: time.as_secs() as i64, nanoseconds: time.subsec_nanos() as i64 }
    }
}

impl From<Nanos> for Timeval {
    fn from(time: Nanos) -> Self {
        Self { seconds: time.as_secs() as i64, microseconds: (time.subsec_nanos() / 1000) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_parts_are_refused_and_huge_times_saturate() {
        let time = |seconds, nanoseconds| Timespec { seconds, nanoseconds }.to_nanos();
        assert_eq!(time(1, 5), Ok(Nanos(1_000_000_005)));
        assert_eq!(time(-1, 0), Err(Errno::EINVAL));
        assert_eq!(time(0, 1_000_000_000), Err(Errno::EINVAL));
        assert_eq!(time(0, -1), Err(Errno::EINVAL));
        assert_eq!(time(i64::MAX, 0), Ok(Nanos::MAX));
    }

    #[test]
    fn conversion_back_is_exact() {
        let time = Nanos(7_654_321_098);
        assert_eq!(Timespec::from(time).to_nanos(), Ok(time));
        assert_eq!(Timeval::from(time), Timeval { seconds: 7, microseconds: 654_321 });
    }
}
