//! How late a sleeper wakes.
//!
//! A thread sleeps until a point in time and reads the clock when it runs again. Both are `CLOCK_MONOTONIC`, so
//! these figures are nanoseconds in every mode (virtual ones under `-icount`). The intervals vary, so that they
//! keep no step with a periodic tick, and the timer slack by which Linux delays ordinary threads is off.

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use super::Case;
use crate::bench::cpus;
use crate::bench::memory::{MEBIBYTE, Region};
use crate::bench::meter::{Distribution, Meter, Row};
use crate::bench::process::{Child, fork, partner};
use crate::bench::report::Failure;
use crate::random::Random;
use crate::sys;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer_wakeup",
        description: "How late an ordinary thread wakes from clock_nanosleep(2), idle and beside a busy \
                      process on every processor.",
        run: |meter| by_load(meter, Class::Ordinary),
    },
    Case {
        name: "rt_wakeup",
        description: "How late a SCHED_FIFO thread wakes from clock_nanosleep(2), idle and beside a busy \
                      process on every processor.",
        run: |meter| by_load(meter, Class::RealTime),
    },
];

/// The scheduling class of the sleeper.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Ordinary,
    RealTime,
}

/// What each processor's load does, again and again.
type Work = fn() -> Result<(), Failure>;

/// The rows: their names, and what else runs.
const LOADS: [(&str, Option<Work>); 3] =
    [("idle", None), ("user load", Some(compute)), ("kernel load", Some(call_kernel))];

fn by_load(meter: &Meter, class: Class) -> Result<(), Failure> {
    for (name, work) in LOADS {
        meter.row(name, |row| {
            let loads = work.map_or(Ok(Vec::new()), start_loads)?;
            // The sleeper has its class in a process of its own, or the next row's loads would inherit it.
            fork(|| sleeper(row, class))?.wait()?;
            for load in loads {
                load.finish()?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// A busy process on each processor.
fn start_loads(work: Work) -> Result<Vec<Child>, Failure> {
    let cpus = cpus::allowed()?;
    Ok(cpus.into_iter().map(|cpu| partner(cpu, work)).collect::<Result<_, _>>()?)
}

/// A while in user mode; the `PAUSE` at its end lets the next processor run under `-icount`.
fn compute() -> Result<(), Failure> {
    for step in 0..1000 {
        std::hint::black_box(step);
    }
    std::hint::spin_loop();
    Ok(())
}

/// A while in the kernel, in calls that take long: memory made and destroyed, fork, and much data copied.
fn call_kernel() -> Result<(), Failure> {
    let region = Region::map(MEBIBYTE)?;
    region.write_all();
    let zero = sys!(SYS_open, c"/dev/zero", libc::O_RDONLY, 0)?;
    for _ in 0..4 {
        sys!(SYS_read, zero, region.address(), region.length())?;
    }
    sys!(SYS_close, zero)?;
    fork(|| Ok(()))?.wait()
}

/// The sleeping process: takes the samples and prints the row.
fn sleeper(row: &Row, class: Class) -> Result<(), Failure> {
    const PRIORITY: i32 = 50;
    cpus::pin(cpus::first(1)?[0])?;
    match class {
        Class::Ordinary => sys!(SYS_prctl, libc::PR_SET_TIMERSLACK, 1, 0, 0, 0)?,
        Class::RealTime => sys!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &PRIORITY)?,
    };
    let mut random = Random::new(1);
    let samples = row.collect(2000, || late_by(interval(&mut random)))?;
    row.print_in("ns", &samples, 1, Distribution::Histogram);
    Ok(())
}

/// The next of intervals between half a millisecond and one and a half, without pattern but the same each time, in
/// nanoseconds.
fn interval(random: &mut Random) -> u64 {
    500_000 + random.below(1_000_000) as u64
}

/// The time of the clock that sleepers go by, in nanoseconds.
fn now() -> Result<u64, Errno> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Sleeps for so many nanoseconds; how much later than that it is afterwards.
fn late_by(interval: u64) -> Result<u64, Failure> {
    let deadline = now()? + interval;
    let time = [deadline / 1_000_000_000, deadline % 1_000_000_000];
    let (clock, absolute) = (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME);
    while let Err(error) = sys!(SYS_clock_nanosleep, clock, absolute, &time, 0) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    Ok(now()?.saturating_sub(deadline))
}
