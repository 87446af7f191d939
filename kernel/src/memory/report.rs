//! The memory manager's counters in the log: at power-off, and when the kernel panics.

use core::fmt;

use mm::counters::DESCRIPTIONS;

use super::heap;
use crate::log::{Level, record};

/// Logs the counters that are not zero, on one line.
pub fn log_counters(level: Level) {
    // A panic may come before there is any memory.
    if let Some(memory) = heap::try_memory() {
        record(level, format_args!("memory:{}", NonZero(memory.counter_totals())));
    }
}

struct NonZero([u64; DESCRIPTIONS.len()]);

impl fmt::Display for NonZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = DESCRIPTIONS.iter().zip(self.0);
        named
            .filter(|(_, value)| *value > 0)
            .try_for_each(|((name, _), value)| write!(f, " {name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out() {
        let mut totals = [0; DESCRIPTIONS.len()];
        totals[0] = 3;
        assert_eq!(NonZero(totals).to_string(), format!(" {} 3", DESCRIPTIONS[0].0));
    }
}
