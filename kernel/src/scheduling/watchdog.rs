//! Evicts a policy that starves a task, says why, and falls back to another.
//!
//! [`sched::watchdog`] finds the starved task at a tick; this thread, which runs in the stop class and so needs no
//! policy, writes the dump and replaces the policy. The broken policy's tasks go on under the new one.

use alloc::sync::Arc;

use arch::clock;
use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use arch::time::Nanos;
use arrayvec::ArrayVec;
use sched::Parameters;
use sched::watchdog::Starved;

use super::cpus::scheduler;
use super::{WaitQueue, kernel_thread, policy};
use crate::errno::Result;
use crate::task::Thread;
use crate::{log_error, log_warn};

/// How many waiting tasks a dump names.
const NAMED: usize = 16;

static QUEUE: WaitQueue = WaitQueue::new();
static ALARM: AtomicBool = AtomicBool::new(false);
static EVICTIONS: AtomicU32 = AtomicU32::new(0);

/// How many policies were evicted.
pub fn evictions() -> u32 {
    EVICTIONS.load(Ordering::Relaxed)
}

/// How long a task may wait at nice 0; zero for ever.
pub fn patience() -> Nanos {
    scheduler().patience()
}

/// Changes [`patience`].
pub fn set_patience(patience: Nanos) {
    scheduler().set_patience(patience);
}

/// Starts the watchdog's thread.
///
/// # Errors
/// `ENOMEM`.
pub fn start_watchdog() -> Result<()> {
    kernel_thread::spawn_with("watchdog", Parameters::STOP, watch).map(drop)
}

/// Looks whether a tick found a starved task, and if so wakes the thread. In the timer's interrupt handler.
pub(crate) fn listen() {
    if scheduler().take_alarm() {
        ALARM.store(true, Ordering::Release);
        QUEUE.wake_one();
    }
}

fn watch() {
    // Kernel threads get no signals, so the wait ends by an alarm only.
    while QUEUE.wait_until(|| ALARM.swap(false, Ordering::Acquire).then_some(())).is_ok() {
        if let Some(starved) = scheduler().starved(clock::now()) {
            evict(&starved);
        }
    }
}

fn evict(starved: &Starved<Thread>) {
    let evicted = scheduler().policy();
    let default = policy::default();
    // If the default itself does it, the simplest of all takes over.
    let successor = if evicted.name == default.name { policy::simplest() } else { default };
    dump(evicted.name, starved);
    match policy::replace(successor) {
        Ok(()) => {
            EVICTIONS.fetch_add(1, Ordering::Relaxed);
            log_warn!(
                "scheduling policy {} is evicted: {} takes over",
                evicted.name,
                successor.name
            );
        }
        // The next tick that finds the task starved sounds the alarm again.
        Err(errno) => log_error!("scheduling policy {} stays: {errno}", evicted.name),
    }
}

fn dump(policy: &str, starved: &Starved<Thread>) {
    let Starved { task, cpu, waited, queued } = starved;
    log_error!(
        "scheduling policy {policy} starves thread {} ({}): it has waited for {} ms on CPU {cpu}, where {queued} wait",
        task.tid(),
        task.name(),
        waited.0 / 1_000_000,
    );
    let mut waiting: ArrayVec<Arc<Thread>, NAMED> = ArrayVec::new();
    {
        let queue = scheduler().queue(*cpu).lock();
        waiting.extend(queue.tasks().take(NAMED).map(Arc::clone));
    }
    for thread in &waiting {
        let core = &thread.scheduling.task;
        let (statistics, parameters) = (core.statistics(), core.parameters());
        log_warn!(
            "  waits: thread {} ({}), weight {}, ran {} ms in {} slices",
            thread.tid(),
            thread.name(),
            parameters.weight(),
            statistics.run_time.0 / 1_000_000,
            statistics.slices,
        );
    }
    for (counter, value) in
        scheduler().policy().counters.iter().zip(scheduler().policy_counters(*cpu))
    {
        log_warn!("  {}: {value} {}", counter.name, counter.unit);
    }
}
