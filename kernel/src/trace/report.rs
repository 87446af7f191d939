//! The ends of the rings in the log: what every CPU did before a panic.

use super::{RINGS, Record};
use crate::log::{Level, record as log};

/// How many records of each CPU are shown.
const SHOWN: u64 = 8;

/// Logs the last records of every CPU, oldest first. Takes no lock.
pub fn log_last(level: Level) {
    let Some(rings) = RINGS.get() else { return };
    for (cpu, ring) in rings.iter() {
        let range = ring.readable();
        let from = range.start.max(range.end.saturating_sub(SHOWN));
        for Record { time, head, first, second } in (from..range.end).filter_map(|at| ring.get(at))
        {
            let (event, subject) = (head & 0xff, head >> 32);
            log(
                level,
                format_args!(
                    "trace: CPU {cpu} {time} {} of {subject}: {first:#x} {second:#x}",
                    records::event::name(event as u8)
                ),
            );
        }
    }
}
