//! What the cases share: children, mappings, caught signals, faults, patience.

mod child;
mod fault;
mod file;
mod memory;
mod program;
mod signal;

pub(super) use child::{Child, Status, child, in_child, wait_for};
pub(super) use fault::{Fault, fault_of, prepare};
pub(super) use file::{pipe, read_all, read_text, write_text};
pub(super) use memory::{Mapping, PAGE, peek, poke};
pub(super) use program::{exec, exec_helper, helper_output, own_program, vector};
pub(super) use signal::{
    Info, block, caught, default_action, ignore, install, last_info, record, set_of, unblock,
};

use std::time::{Duration, Instant};

use super::harness::SKIPPED;
pub(super) use super::harness::exit_now;
pub(super) use crate::random::Random;

/// How long anything that must happen may take: an emulated machine on a busy host is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the case as one that cannot run here.
pub(super) fn skip(reason: &str) -> ! {
    eprintln!("\n{reason}");
    exit_now(SKIPPED)
}

/// Skips the case unless it runs as root.
pub(super) fn needs_root() {
    if crate::ok!(SYS_geteuid) != 0 {
        skip("needs root");
    }
}

/// Skips the case unless it may run on at least `count` CPUs.
pub(super) fn needs_cpus(count: usize) {
    if std::thread::available_parallelism().map_or(1, usize::from) < count {
        skip("needs more CPUs");
    }
}

/// Waits until `condition` holds, in small sleeps; fails the case if it never does.
#[track_caller]
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        nap(1);
    }
}

/// Sleeps for so many milliseconds.
pub(super) fn nap(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
