//! Changing an address space while other processors run threads of it.
//!
//! What is unmapped or protected must not stay in any processor's translation buffer, so the kernel has to reach
//! the busy ones. The busy threads count in user mode, each on a processor of its own, and touch none of the pages.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Case;
use crate::bench::clock::ticks;
use crate::bench::cpus;
use crate::bench::memory::{PAGE, Region};
use crate::bench::meter::{Meter, Plan, Row};
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "mmap_busy",
        description: "mmap(2) of 64 KiB of anonymous memory while other processors are busy in the \
                      same address space.",
        run: |meter| by_others(meter, map),
    },
    Case {
        name: "munmap_busy",
        description: "munmap(2) of 64 KiB that were written, while other processors are busy in the \
                      same address space.",
        run: |meter| by_others(meter, unmap),
    },
    Case {
        name: "mprotect_busy",
        description: "mprotect(2) to read-only of 64 KiB that were written, while other processors are \
                      busy in the same address space.",
        run: |meter| by_others(meter, protect),
    },
];

const LENGTH: usize = 16 * PAGE;
const PLAN: Plan = Plan { samples: 400, operations: 1 };

/// A row for each number of busy processors.
fn by_others(meter: &Meter, measure: fn(&Row) -> Result<(), Failure>) -> Result<(), Failure> {
    for others in 0..=3 {
        meter.row(&format!("{others} busy"), |row| {
            let cpus = cpus::first(others + 1)?;
            cpus::pin(cpus[0])?;
            let (stop, started) = (AtomicBool::new(false), AtomicU64::new(0));
            std::thread::scope(|scope| {
                for &cpu in &cpus[1..] {
                    let (stop, started) = (&stop, &started);
                    scope.spawn(move || keep_busy(cpu, started, stop));
                }
                cpus::spin_until(&started, others as u64);
                let outcome = measure(row);
                stop.store(true, Ordering::Relaxed);
                outcome
            })
        });
    }
    Ok(())
}

/// Counts on a processor until told to stop.
fn keep_busy(cpu: usize, started: &AtomicU64, stop: &AtomicBool) {
    if let Err(error) = cpus::pin(cpu) {
        eprintln!("bench: cannot run on processor {cpu}: {error}");
    }
    started.fetch_add(1, Ordering::Release);
    let mut count = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        count = black_box(count + 1);
        spin_loop();
    }
}

fn map(row: &Row) -> Result<(), Failure> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    row.sample(PLAN, || {
        let start = ticks();
        let address = sys!(SYS_mmap, 0, LENGTH, protection, flags, -1, 0)?;
        let elapsed = row.clock().since(start);
        sys!(SYS_munmap, address, LENGTH)?;
        Ok(elapsed)
    })
}

fn unmap(row: &Row) -> Result<(), Failure> {
    row.sample(PLAN, || {
        let region = Region::map(LENGTH)?;
        region.write_all();
        let start = ticks();
        drop(region);
        Ok(row.clock().since(start))
    })
}

fn protect(row: &Row) -> Result<(), Failure> {
    let region = Region::map(LENGTH)?;
    row.sample(PLAN, || {
        region.write_all();
        let start = ticks();
        sys!(SYS_mprotect, region.address(), LENGTH, libc::PROT_READ)?;
        let elapsed = row.clock().since(start);
        sys!(SYS_mprotect, region.address(), LENGTH, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(elapsed)
    })
}
