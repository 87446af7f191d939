//! The same work on several processors at once.
//!
//! Each worker has a processor and memory of its own. If the work scales, the rows of a case are equal.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Case;
use crate::bench::clock::{Clock, ticks};
use crate::bench::cpus::{self, StartingLine};
use crate::bench::memory::{MEBIBYTE, PAGE, Region, SharedWords};
use crate::bench::meter::{Distribution, Meter, Plan, Row};
use crate::bench::process::{self, Child, fork, fork_asleep};
use crate::bench::report::Failure;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fork_parallel",
        description: "fork(2), _exit(2) and wait4(2) in each of several processes of 16 MiB that do so at \
                      once, a processor each.",
        run: fork_parallel,
    },
    Case {
        name: "fault_zero_parallel",
        description: "Demand-zero faults of several threads of one address space at once, in regions \
                      apart, for each of a thread's pages.",
        run: |meter| faults(meter, Pages::Fresh),
    },
    Case {
        name: "fault_copy_parallel",
        description: "Copy faults after fork(2) of several threads of one address space at once, in \
                      regions apart, for each of a thread's pages.",
        run: |meter| faults(meter, Pages::Shared),
    },
];

/// How many workers there are in the rows.
const WORKERS: [usize; 3] = [1, 2, 4];

fn fork_parallel(meter: &Meter) -> Result<(), Failure> {
    for workers in WORKERS {
        meter.row(&format!("{workers} at once"), |row| forks(row, workers));
    }
    Ok(())
}

/// The row of so many processes that fork.
fn forks(row: &Row, workers: usize) -> Result<(), Failure> {
    let cpus = cpus::first(workers)?;
    let samples = row.samples(200);
    // A word for the start, then those of each worker.
    let words = SharedWords::new(1 + workers * samples)?;
    let (words, clock) = (&words, row.clock());
    let children = cpus.iter().enumerate().map(|(index, &cpu)| {
        fork(move || {
            process::die_with_parent()?;
            cpus::pin(cpu)?;
            let region = Region::resident(16 * MEBIBYTE)?;
            fork(|| Ok(()))?.wait()?;
            StartingLine::new(words.word(0), workers).wait(0);
            for sample in 0..samples {
                region.write_tables();
                let start = ticks();
                fork(|| Ok(()))?.wait()?;
                let word = words.word(1 + index * samples + sample);
                word.store(clock.since(start), Ordering::Release);
            }
            Ok(())
        })
    });
    // All of them are started before the first is waited for.
    let children: Vec<Child> = children.collect::<Result<_, _>>()?;
    children.into_iter().try_for_each(Child::wait)?;
    let values: Vec<u64> =
        (0..workers * samples).map(|index| words.word(1 + index).load(Ordering::Acquire)).collect();
    row.print(&values, 1, Distribution::Summary);
    Ok(())
}

/// What state the pages are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// Nothing is there.
    Fresh,
    /// A child shares them.
    Shared,
}

/// Bytes of each thread's region.
const PART: usize = 2 * MEBIBYTE;

/// A row for each number of threads.
fn faults(meter: &Meter, pages: Pages) -> Result<(), Failure> {
    for workers in WORKERS {
        meter.row(&format!("{workers} at once"), |row| {
            let cpus = cpus::first(workers)?;
            let ready = SharedWords::new(1)?;
            let plan = Plan { samples: 60, operations: (PART / PAGE) as u64 };
            let mut region = match pages {
                Pages::Fresh => Region::map(workers * PART)?,
                Pages::Shared => Region::resident(workers * PART)?,
            };
            row.sample(plan, || match pages {
                Pages::Fresh => {
                    region = Region::map(region.length())?;
                    at_once(&region, &cpus, row.clock())
                }
                Pages::Shared => {
                    let child = fork_asleep(ready.word(0))?;
                    let elapsed = at_once(&region, &cpus, row.clock());
                    child.finish()?;
                    region.write_all();
                    elapsed
                }
            })
        });
    }
    Ok(())
}

/// A thread on each processor writes its part of the region; from the first one's start to the last one's end.
fn at_once(region: &Region, cpus: &[usize], clock: Clock) -> Result<u64, Failure> {
    let arrived = AtomicU64::new(0);
    let line = StartingLine::new(&arrived, cpus.len());
    let work = |index: usize| -> Result<(u64, u64), Failure> {
        cpus::pin(cpus[index])?;
        let pages = PART / PAGE;
        line.wait(0);
        let start = ticks();
        (index * pages..(index + 1) * pages).for_each(|page| region.write(page));
        Ok((start, ticks()))
    };
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..cpus.len()).map(|index| scope.spawn(move || work(index))).collect();
        let (mut start, mut end) = work(0)?;
        for other in others {
            let (began, ended) = other.join().map_err(|_| "a thread panicked")??;
            (start, end) = (start.min(began), end.max(ended));
        }
        Ok(clock.between(start, end))
    })
}
