//! What the cases share: children, mappings, caught signals, faults, patience.

mod affinity;
mod child;
mod fault;
mod file;
mod memory;
mod program;
mod signal;

pub(super) use affinity::{allowed_cpus, current_cpu, pin, try_pin};
pub(super) use child::{Child, Status, child, in_child, interrupter, wait_for};
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

/// The letter that says what a process does: `S` if it sleeps, `Z` if it has ended (`proc_pid_stat(5)`).
#[track_caller]
pub(super) fn state_of(pid: i32) -> char {
    state_in(&format!("/proc/{pid}/stat"))
}

/// The state in a `stat` file: it stands behind the name, which may contain anything.
#[track_caller]
fn state_in(path: &str) -> char {
    let stat = read_text(path);
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.unwrap_or_else(|| panic!("no state in {stat}"))
}

/// Waits until a process sleeps in the kernel.
#[track_caller]
pub(super) fn until_sleeping(pid: i32) {
    until("the process sleeps", || state_of(pid) == 'S');
}

/// Waits until a thread of this process sleeps in the kernel.
#[track_caller]
pub(super) fn until_thread_sleeps(tid: u32) {
    let path = format!("/proc/self/task/{tid}/stat");
    until("the thread sleeps", || state_in(&path) == 'S');
}

/// Sleeps for so many milliseconds.
pub(super) fn nap(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
