//! A time, or a range of times to draw from: [`Span`].

use std::str::FromStr;
use std::time::Duration;

use crate::{Chance, Invalid};

/// From a shortest to a longest time, both in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    low: u64,
    high: u64,
}

impl Span {
    /// A time that does not vary.
    #[must_use]
    pub fn exactly(time: Duration) -> Self {
        let nanoseconds = time.as_nanos() as u64;
        Self { low: nanoseconds, high: nanoseconds }
    }

    /// The longest that it may be.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.high)
    }

    /// A time in the range, all being equally likely.
    #[must_use]
    pub fn draw(&self, chance: &mut Chance) -> Duration {
        Duration::from_nanos(chance.between(self.low, self.high))
    }
}

impl FromStr for Span {
    type Err = Invalid;

    /// `2ms`, or `1ms..3ms`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((low, high)) = text.split_once("..") else {
            return Ok(Self::exactly(duration(text)?));
        };
        let (low, high) = (Self::exactly(duration(low)?), Self::exactly(duration(high)?));
        if low.low > high.high {
            return Err(Invalid::new(format!("`{text}` ends before it begins")));
        }
        Ok(Self { low: low.low, high: high.high })
    }
}

/// The time that `text` names, such as `100us`.
pub(crate) fn duration(text: &str) -> Result<Duration, Invalid> {
    humantime::parse_duration(text.trim())
        .map_err(|error| Invalid::new(format!("`{text}` is no time: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranges_are_read() {
        assert_eq!("2ms".parse(), Ok(Span { low: 2_000_000, high: 2_000_000 }));
        assert_eq!("50us..1ms".parse(), Ok(Span { low: 50_000, high: 1_000_000 }));
        assert!("2ms..1ms".parse::<Span>().is_err());
        assert!("fast".parse::<Span>().is_err());
    }
}
