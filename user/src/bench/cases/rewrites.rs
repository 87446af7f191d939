//! What a parent pays for writing to its memory again after fork(2).
//!
//! The memory is 32 MiB in pages of 4 KiB. The pages that are written are spread evenly, so that even 1 % of them
//! lie under every page table. Between samples the child is ended and everything written once more.

use super::Case;
use crate::bench::clock::{Clock, ticks};
use crate::bench::memory::{MEBIBYTE, Region, SharedWords};
use crate::bench::meter::{Meter, Plan};
use crate::bench::process::{fork, fork_asleep, fork_sleeper};
use crate::bench::report::Failure;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "rewrite_alive",
        description: "The parent's writes to a part of its 32 MiB after fork(2), while the child lives.",
        run: |meter| {
            by_part(meter, &[1, 10, 100], |setting, part| setting.alive(part, Start::Writes))
        },
    },
    Case {
        name: "rewrite_gone",
        description: "The parent's writes to a part of its 32 MiB after fork(2), when the child is gone.",
        run: |meter| {
            by_part(meter, &[1, 10, 100], |setting, part| setting.gone(part, Start::Writes))
        },
    },
    Case {
        name: "fork_rewrite_alive",
        description: "fork(2) and the parent's writes to a part of its 32 MiB, while the child lives.",
        run: |meter| {
            by_part(meter, &[0, 1, 10, 100], |setting, part| setting.alive(part, Start::Fork))
        },
    },
    Case {
        name: "fork_rewrite_gone",
        description: "fork(2), the child's end, wait4(2), and the parent's writes to a part of its 32 MiB.",
        run: |meter| {
            by_part(meter, &[0, 1, 10, 100], |setting, part| setting.gone(part, Start::Fork))
        },
    },
];

const LENGTH: usize = 32 * MEBIBYTE;
const PLAN: Plan = Plan { samples: 40, operations: 1 };

/// Where the measured part of a sample begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Before fork.
    Fork,
    /// After it, before the parent's writes.
    Writes,
}

/// What a sample works on.
struct Setting {
    clock: Clock,
    region: Region,
    ready: SharedWords,
}

impl Setting {
    /// Writes so many pages of a hundred.
    fn write(&self, percent: usize) {
        if let Some(step) = 100_usize.checked_div(percent) {
            (0..self.region.pages()).step_by(step).for_each(|page| self.region.write(page));
        }
    }

    /// One sample with a child that lives.
    fn alive(&self, percent: usize, from: Start) -> Result<u64, Failure> {
        let begin = ticks();
        let (child, begin) = match from {
            Start::Fork => (fork_sleeper(self.ready.word(0))?, begin),
            Start::Writes => (fork_asleep(self.ready.word(0))?, ticks()),
        };
        self.write(percent);
        let end = ticks();
        child.finish()?;
        self.region.write_all();
        Ok(self.clock.between(begin, end))
    }

    /// One sample with a child that exits first.
    fn gone(&self, percent: usize, from: Start) -> Result<u64, Failure> {
        let begin = ticks();
        fork(|| Ok(()))?.wait()?;
        let gone = ticks();
        self.write(percent);
        let end = ticks();
        self.region.write_all();
        Ok(self.clock.between(if from == Start::Fork { begin } else { gone }, end))
    }
}

/// A row for each part that is written.
fn by_part(
    meter: &Meter,
    parts: &[usize],
    sample: fn(&Setting, usize) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    for &percent in parts {
        meter.row(&format!("{percent} %"), |row| {
            let region = Region::resident(LENGTH)?;
            let setting = Setting { clock: row.clock(), region, ready: SharedWords::new(1)? };
            row.sample(PLAN, || sample(&setting, percent))
        });
    }
    Ok(())
}
