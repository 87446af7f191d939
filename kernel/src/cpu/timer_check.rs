//! Whether each CPU's timer interrupts, found out while the system comes up.
//!
//! A CPU sets its timer only when something waits for a time there, so one with a broken timer would be found out
//! when somebody's sleep does not end. Each CPU sets it once when it comes online ([`try_timer`]); before the first
//! program runs, those that were not interrupted are named ([`name_silent_timers`]).

use arch::clock;
use arch::cpu::CpuMask;
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use crate::log_warn;
use crate::scheduling::{Interruption, each_cpu, scheduler, sleep_until};

/// How far ahead a CPU sets its timer for the first time.
const AHEAD: Nanos = Nanos::from_millis(1);
/// How long an interrupt may be late. Generous, for emulators with many CPUs on few.
const PATIENCE: Nanos = Nanos::from_millis(1000);

/// Has this CPU's timer interrupt soon. Interrupts are off.
///
/// The CPU's timer queue does not know of it: whatever sets the timer before replaces it, and proves as much.
pub(crate) fn try_timer(now: Nanos) {
    clock::set_timer(Some(now.saturating_add(AHEAD)));
}

/// Names the CPUs whose timer has never interrupted, after waiting for those that are late.
pub(crate) fn name_silent_timers() {
    let limit = clock::now().saturating_add(PATIENCE);
    loop {
        let silent = silent_timers();
        if silent.is_empty() {
            return;
        }
        let now = clock::now();
        if now >= limit {
            return silent.iter().for_each(|cpu| log_warn!("CPU {cpu}: its timer is silent"));
        }
        // Nothing may interrupt the wait, so there is no error to look at.
        let _ = sleep_until(now.saturating_add(AHEAD), Interruption::Nothing);
    }
}

/// The online CPUs that their timer has not interrupted yet.
fn silent_timers() -> CpuMask {
    let online = scheduler().online();
    let silent = each_cpu().filter(|(cpu, part)| {
        // Relaxed: a lone flag that orders nothing.
        online.contains(*cpu) && !part.timer_works.load(Ordering::Relaxed)
    });
    silent.map(|(cpu, _)| cpu).collect()
}
