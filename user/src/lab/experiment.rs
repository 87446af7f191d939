//! One load from beginning to end: [`run`]; and what a switch costs: [`switch_cost`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use loads::Load;

use super::shared::{LOCKS, Shared};
use super::task::{self, Channels, Setting};
use crate::{sys, tracing};

/// How long tasks are given to reach the start.
const SETTLING: Duration = Duration::from_millis(60);
/// How often each of two processes yields to measure a switch.
const YIELDS: u32 = 5_000;
/// The real-time priority of the process that starts and ends a load: above all that a load may have but the highest.
const PRIORITY: i32 = 98;

/// What a task got done.
pub struct Progress {
    /// Its name.
    pub task: String,
    /// How often it went through its steps.
    pub rounds: u64,
    /// How often it came too late.
    pub missed: u64,
}

/// How many processors there are.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `load` and tells what its tasks got done. What the kernel recorded meanwhile lies between the marks
/// `begin` and `end`; recording is off afterwards.
///
/// # Errors
/// If there is no memory, or no room for its processes.
pub fn run(load: &Load, seed: u64) -> Result<Vec<Progress>, sys::Errno> {
    if load.locks > LOCKS {
        return Err(sys::Errno::E2BIG);
    }
    let shared = Shared::map()?;
    let channels = open_channels(load.channels)?;
    set_class(libc::SCHED_FIFO, PRIORITY);
    let setting = Setting { load, seed, shared, channels: &channels };
    // The recorder is a convenience: without it there is still what the tasks say.
    let record = |command: &str| drop(tracing::tell(command));
    record("clear");
    let group = start(&setting)?;
    std::thread::sleep(SETTLING);
    record("mark begin");
    shared.start();
    std::thread::sleep(load.duration);
    record("mark end");
    record("off");
    end(group);
    set_class(libc::SCHED_OTHER, 0);
    for (reading, writing) in channels {
        let _ = sys!(SYS_close, reading);
        let _ = sys!(SYS_close, writing);
    }
    Ok(progress(load, shared))
}

/// Starts the tasks that are there from the beginning, in a process group of their own, and returns that.
fn start(setting: &Setting<'_>) -> Result<usize, sys::Errno> {
    let mut leader = 0;
    for (number, group) in setting.load.groups.iter().enumerate() {
        for index in 0..group.count {
            let pid = task::spawn(setting, number, index)?;
            leader = if leader == 0 { pid } else { leader };
            sys!(SYS_setpgid, pid, leader)?;
        }
    }
    Ok(leader)
}

/// Kills all tasks and waits until none of those started here is left.
fn end(group: usize) {
    let _ = sys!(SYS_kill, -(group as i64), libc::SIGKILL);
    while sys!(SYS_wait4, -(group as i64), 0, 0, 0) != Err(sys::Errno::ECHILD) {}
    // Grandchildren are adopted by the first process, which may be this one.
    while matches!(sys!(SYS_wait4, -1, 0, libc::WNOHANG, 0), Ok(1..)) {}
}

fn open_channels(count: usize) -> Result<Channels, sys::Errno> {
    let open = |_| {
        let mut ends = [0_i32; 2];
        sys!(SYS_pipe2, &mut ends, 0).map(|_| (ends[0], ends[1]))
    };
    (0..count).map(open).collect()
}

/// What was achieved, by task; the tasks that others spawned are added up by group.
fn progress(load: &Load, shared: &Shared) -> Vec<Progress> {
    let mut rows: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
    for (group, index, slot) in shared.slots() {
        let index = if load.groups[group].count == 0 { 0 } else { index };
        let row = rows.entry((group, index)).or_default();
        row.0 += slot.rounds.load(Ordering::Relaxed);
        row.1 += slot.missed.load(Ordering::Relaxed);
    }
    let name = |(group, index): (usize, usize)| format!("{}-{index}", load.groups[group].name);
    let rows = rows.into_iter();
    rows.map(|(task, (rounds, missed))| Progress { task: name(task), rounds, missed }).collect()
}

/// Puts this process into a scheduling class, if it may.
fn set_class(policy: i32, priority: i32) {
    let _ = sys!(SYS_sched_setscheduler, 0, policy, &priority);
}

/// What one switch costs, in nanoseconds: two processes on CPU 0 that yield to each other.
///
/// # Errors
/// If there is no room for a process.
pub fn switch_cost() -> Result<u64, sys::Errno> {
    let mut all = 0_u64;
    let restrict = |mask: &u64| sys!(SYS_sched_setaffinity, 0, size_of::<u64>(), mask);
    sys!(SYS_sched_getaffinity, 0, size_of::<u64>(), &mut all)?;
    restrict(&1)?;
    let child = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
    let start = Instant::now();
    for _ in 0..YIELDS {
        let _ = sys!(SYS_sched_yield);
    }
    if child == 0 {
        let _ = sys!(SYS_exit_group, 0);
    }
    sys!(SYS_wait4, child, 0, 0, 0)?;
    let elapsed = start.elapsed();
    restrict(&all)?;
    Ok((elapsed / (2 * YIELDS)).as_nanos() as u64)
}
