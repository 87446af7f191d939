//! Page faults, one by one, with their distribution.
//!
//! Each is measured in three orders: the *first* fault in a region that nobody has touched since the fork or the
//! mapping, which may have tables to make or to copy; *sequential* through the middle of a region; and *random*
//! over 64 MiB, where many a fault is the first below its page table.

use nix::errno::Errno;

use super::Case;
use crate::bench::clock::ticks;
use crate::bench::memory::{MEBIBYTE, PAGE, Region, SharedWords, TABLE, shuffled};
use crate::bench::meter::{Distribution, Meter, Row};
use crate::bench::process::{Child, fork, fork_asleep};
use crate::bench::report::Failure;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fault_demand_zero",
        description: "The first write to a page of a private anonymous mapping.",
        run: |meter| by_order(meter, Before::Nothing),
    },
    Case {
        name: "fault_copy",
        description: "The first write to a page after fork(2), while the child lives and shares it.",
        run: |meter| by_order(meter, Before::ForkAlive),
    },
    Case {
        name: "fault_sole_owner",
        description: "The first write to a page after fork(2), when the child has exited without \
                      touching it.",
        run: |meter| by_order(meter, Before::ForkGone),
    },
];

/// What happens to a region before its pages are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It is mapped, no more.
    Nothing,
    /// Its pages are written, and a child is made that lives on.
    ForkAlive,
    /// Its pages are written, and a child is made that exits.
    ForkGone,
}

/// A region that is ready, and the child that shares it.
struct Prepared {
    region: Region,
    child: Option<Child>,
    ready: SharedWords,
}

impl Prepared {
    fn new(length: usize, before: Before) -> Result<Self, Failure> {
        let region = match before {
            Before::Nothing => Region::map(length)?,
            Before::ForkAlive | Before::ForkGone => Region::resident(length)?,
        };
        let mut prepared = Self { region, child: None, ready: SharedWords::new(1)? };
        prepared.share(before)?;
        Ok(prepared)
    }

    /// Brings a region whose pages have been written into the state that is measured.
    fn share(&mut self, before: Before) -> Result<(), Failure> {
        self.unshare()?;
        match before {
            Before::Nothing => {}
            Before::ForkAlive => self.child = Some(fork_asleep(self.ready.word(0))?),
            Before::ForkGone => fork(|| Ok(()))?.wait()?,
        }
        Ok(())
    }

    /// Ends the child.
    fn unshare(&mut self) -> Result<(), Errno> {
        self.child.take().map_or(Ok(()), Child::finish)
    }
}

/// The three rows of a case.
fn by_order(meter: &Meter, before: Before) -> Result<(), Failure> {
    meter.row("first", |row| first(row, before));
    meter.row("sequential", |row| through(row, before, 8 * MEBIBYTE, |pages| (0..pages).collect()));
    meter.row("random", |row| through(row, before, 64 * MEBIBYTE, shuffled));
    Ok(())
}

/// One fault in the middle of a region, then everything is made anew.
fn first(row: &Row, before: Before) -> Result<(), Failure> {
    let mut prepared = Prepared::new(16 * MEBIBYTE, before)?;
    let middle = prepared.region.pages() / 2 + TABLE / PAGE / 2;
    let samples = row.collect(200, || {
        if before == Before::Nothing {
            prepared.region = Region::map(prepared.region.length())?;
        } else {
            prepared.share(before)?;
        }
        let start = ticks();
        prepared.region.write(middle);
        Ok(row.clock().since(start))
    })?;
    row.print(&samples, 1, Distribution::Histogram);
    prepared.unshare()?;
    Ok(())
}

/// Faults all over a region, each of them a sample; the first pass warms up.
fn through(
    row: &Row,
    before: Before,
    length: usize,
    order: impl FnOnce(usize) -> Vec<usize>,
) -> Result<(), Failure> {
    let mut prepared = Prepared::new(length, before)?;
    // Of a sequence, what is wanted is the middle; the order of the random pages is the same in each pass.
    let mut order = order(prepared.region.pages());
    order.truncate(2 * TABLE / PAGE);
    let wanted = row.samples(4 * order.len());
    let mut samples = Vec::with_capacity(wanted + order.len());
    let mut warm = false;
    while samples.len() < wanted && row.wants_more(samples.len()) {
        for &page in &order {
            let start = ticks();
            prepared.region.write(page);
            let elapsed = row.clock().since(start);
            samples.push(elapsed);
        }
        if !warm {
            samples.clear();
            warm = true;
        }
        if before == Before::Nothing {
            prepared.region = Region::map(length)?;
        } else {
            prepared.share(before)?;
        }
    }
    row.print(&samples, 1, Distribution::Histogram);
    prepared.unshare()?;
    Ok(())
}
