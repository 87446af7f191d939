//! The process of one task: takes its name and class, waits for the signal, and goes through its steps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use loads::{Chance, Class, Group, Load, Step};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use super::shared::{Shared, Slot};
use crate::sys;

/// A pipe for each channel of the load: its reading and its writing end.
pub type Channels = Vec<(i32, i32)>;

/// Rounds of a loop between two looks at the CPU clock.
const SPIN: u32 = 2_000;

/// What a task needs of its run.
pub struct Setting<'a> {
    /// The load.
    pub load: &'a Load,
    /// Where chance starts from.
    pub seed: u64,
    /// What the tasks share.
    pub shared: &'a Shared,
    /// The channels.
    pub channels: &'a Channels,
}

/// Starts task `index` of `group` as a child process and returns its id.
///
/// # Errors
/// If fork fails.
pub fn spawn(setting: &Setting<'_>, group: usize, index: usize) -> Result<usize, sys::Errno> {
    let pid = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
    if pid == 0 {
        live(setting, group, index);
        let _ = sys!(SYS_exit_group, 0);
    }
    Ok(pid)
}

/// What the child does.
fn live(setting: &Setting<'_>, group: usize, index: usize) {
    let description = &setting.load.groups[group];
    let Some(slot) = setting.shared.take_slot(group, index) else { return };
    become_task(description, index);
    setting.shared.await_start();
    let begin = now(ClockId::CLOCK_MONOTONIC);
    let start = begin + description.start + description.stagger * index as u32;
    sleep_until(start);
    let task = (group as u64) << 32 | index as u64;
    let chance = Chance::new(setting.seed, task);
    let mut runner = Runner { setting, slot, start, chance, children: 0 };
    loop {
        for &step in &description.steps {
            runner.perform(step);
        }
        let rounds = slot.rounds.fetch_add(1, Ordering::Relaxed) + 1;
        if description.rounds.is_some_and(|limit| rounds >= u64::from(limit)) {
            return;
        }
    }
}

/// Takes over what the group says: name, class, nice value, CPUs. What this kernel does not allow, the task does without.
fn become_task(group: &Group, index: usize) {
    let mut name = format!("{}-{index}", group.name).into_bytes();
    name.push(0);
    let _ = sys!(SYS_prctl, libc::PR_SET_NAME, &name[..]);
    let (policy, priority) = match group.class {
        Class::Other => (libc::SCHED_OTHER, 0),
        Class::Batch => (libc::SCHED_BATCH, 0),
        Class::Idle => (libc::SCHED_IDLE, 0),
        Class::Fifo(priority) => (libc::SCHED_FIFO, priority),
        Class::RoundRobin(priority) => (libc::SCHED_RR, priority),
    };
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy as u32,
        sched_flags: 0,
        sched_nice: group.nice,
        sched_priority: u32::from(priority),
        sched_runtime: group.slice.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    let _ = sys!(SYS_sched_setattr, 0, &attributes, 0);
    let mask = group.cpus.iter().filter(|&&cpu| cpu < 64).fold(0_u64, |mask, cpu| mask | 1 << cpu);
    if mask != 0 {
        let _ = sys!(SYS_sched_setaffinity, 0, size_of::<u64>(), &mask);
    }
}

/// A task under way.
struct Runner<'a> {
    setting: &'a Setting<'a>,
    slot: &'a Slot,
    start: Duration,
    chance: Chance,
    children: usize,
}

impl Runner<'_> {
    fn perform(&mut self, step: Step) {
        match step {
            Step::Run(span) => use_cpu(span.draw(&mut self.chance)),
            Step::Sleep(span) => {
                let time = span.draw(&mut self.chance);
                sleep_until(now(ClockId::CLOCK_MONOTONIC) + time);
            }
            Step::Every(period) => self.await_period(period),
            Step::Yield => {
                let _ = sys!(SYS_sched_yield);
            }
            Step::Lock(lock) => self.setting.shared.lock(lock),
            Step::Unlock(lock) => self.setting.shared.unlock(lock),
            Step::Send(channel) => {
                let (_, end) = self.setting.channels[channel];
                let _ = sys!(SYS_write, end, &[0_u8][..], 1);
            }
            Step::Receive(channel) => {
                let (end, _) = self.setting.channels[channel];
                let _ = sys!(SYS_read, end, &mut [0_u8][..], 1);
            }
            Step::Spawn(group) => {
                // Without room for another process there is one child less.
                let index = self.slot.rounds.load(Ordering::Relaxed) as usize % 1000;
                self.children += usize::from(spawn(self.setting, group, index).is_ok());
            }
            Step::Join => {
                for _ in 0..std::mem::take(&mut self.children) {
                    let _ = sys!(SYS_wait4, -1, 0, 0, 0);
                }
            }
        }
    }

    /// Sleeps until the next multiple of `period` after the start. One that has passed already was missed.
    fn await_period(&self, period: Duration) {
        let passed = now(ClockId::CLOCK_MONOTONIC).saturating_sub(self.start);
        let done =
            self.slot.rounds.load(Ordering::Relaxed) + self.slot.missed.load(Ordering::Relaxed);
        let due = period * (done as u32 + 1);
        if due <= passed {
            let late = (passed - due).as_nanos() / period.as_nanos().max(1) + 1;
            self.slot.missed.fetch_add(late as u64, Ordering::Relaxed);
        } else {
            sleep_until(self.start + due);
        }
    }
}

/// Computes until this thread has used `time` more of the CPU.
fn use_cpu(time: Duration) {
    let end = now(ClockId::CLOCK_THREAD_CPUTIME_ID) + time;
    while now(ClockId::CLOCK_THREAD_CPUTIME_ID) < end {
        for round in 0..SPIN {
            std::hint::black_box(round);
        }
        // `PAUSE`, at which QEMU's `-icount` lets the next processor run: they advance together, not one after another.
        std::hint::spin_loop();
    }
}

/// The time on `clock`; zero on a kernel that does not have it.
fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

/// Sleeps until `time` on the monotonic clock.
fn sleep_until(time: Duration) {
    let (clock, flags) = (ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME);
    let time = TimeSpec::from_duration(time);
    while clock_nanosleep(clock, flags, &time) == Err(sys::Errno::EINTR) {}
}
