//! The guest test suite.
//!
//! Several hundred small cases say what Linux does; the same binary runs on Linux and on Skein. Each case runs
//! in a fresh process ([`harness`]), may use anything of [`support`], fails by panicking, and stands in the table
//! of its area. Cases assume nothing about how fast the machine is.

#![allow(clippy::unwrap_used, reason = "a case fails by panicking, and says where")]

mod harness;
mod helpers;
mod support;

mod advice;
mod asynchronous;
mod core_pipes;
mod cores;
mod cow;
mod cow_calls;
mod cow_kernel;
mod delivery;
mod elf;
mod event_files;
mod events;
mod exec;
mod exec_errors;
mod exec_formats;
mod extended_state;
mod faults;
mod file_locks;
mod files;
mod foreground;
mod frames;
mod futex;
mod huge;
mod identity;
mod inherit;
mod inherit_deaths;
mod interruptions;
mod job_control;
mod large_cores;
mod leaving;
mod limits;
mod links;
mod listings;
mod locking;
mod many_areas;
mod membarrier;
mod memory;
mod mounts;
mod moving;
mod notifications;
mod paths;
mod permissions;
mod pipes;
mod process;
mod procfs;
mod real_time_timer;
mod remote;
mod restarts;
mod robustness;
mod rseq;
mod scheduling;
mod scheduling_calls;
mod scripts;
mod shared_pipes;
mod signal_races;
mod signal_waits;
mod signals;
mod smp;
mod sockets;
mod splices;
mod terminal_jobs;
mod threads;
mod time;
mod torture;
mod tty;
mod wait;

pub use harness::main;

/// One test: a name within its area and the function that panics when the kernel is wrong.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    run: fn(),
}

/// The cases of one area, in the order in which they run.
#[derive(Clone, Copy)]
struct Area {
    name: &'static str,
    cases: &'static [Case],
}

/// Lists functions of this module as the cases of an area.
macro_rules! area {
    ($name:literal: $($case:ident),* $(,)?) => {
        pub(super) const AREA: $crate::suite::Area = $crate::suite::Area {
            name: $name,
            cases: &[$($crate::suite::Case { name: stringify!($case), run: $case }),*],
        };
    };
}
use area;

/// Every area, in the order in which it runs.
const AREAS: &[Area] = &[
    process::AREA,
    wait::AREA,
    identity::AREA,
    exec::AREA,
    scripts::AREA,
    exec_errors::AREA,
    exec_formats::AREA,
    memory::AREA,
    leaving::AREA,
    many_areas::AREA,
    moving::AREA,
    advice::AREA,
    huge::AREA,
    locking::AREA,
    faults::AREA,
    cow::AREA,
    cow_calls::AREA,
    cow_kernel::AREA,
    remote::AREA,
    threads::AREA,
    membarrier::AREA,
    rseq::AREA,
    futex::AREA,
    inherit::AREA,
    inherit_deaths::AREA,
    signals::AREA,
    signal_waits::AREA,
    job_control::AREA,
    delivery::AREA,
    restarts::AREA,
    interruptions::AREA,
    signal_races::AREA,
    frames::AREA,
    extended_state::AREA,
    cores::AREA,
    core_pipes::AREA,
    large_cores::AREA,
    asynchronous::AREA,
    notifications::AREA,
    files::AREA,
    splices::AREA,
    file_locks::AREA,
    listings::AREA,
    paths::AREA,
    links::AREA,
    mounts::AREA,
    permissions::AREA,
    pipes::AREA,
    shared_pipes::AREA,
    sockets::AREA,
    events::AREA,
    event_files::AREA,
    time::AREA,
    real_time_timer::AREA,
    procfs::AREA,
    tty::AREA,
    terminal_jobs::AREA,
    foreground::AREA,
    smp::AREA,
    scheduling::AREA,
    scheduling_calls::AREA,
    robustness::AREA,
    limits::AREA,
    torture::AREA,
];
