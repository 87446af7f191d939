//! What a CPU does when there is nothing to do.
#![allow(unsafe_code, reason = "makes the idle thread the current one")]

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::{clock, interrupts, preempt};
use sched::Leave;

use super::cpus::{note_this_cpu, scheduler, this_cpu};
use super::late::release_late;
use super::switch::schedule;
use crate::cpu::{self, start_load_averages};
use crate::task::{self, Thread};

/// Makes the calling context the CPU's own thread `idle`: from here on the CPU takes part in scheduling.
///
/// Interrupts are off when this is called.
pub fn adopt_cpu(idle: Arc<Thread>) {
    let now = clock::now();
    // SAFETY: interrupts are off; the run queue keeps `idle` alive for ever.
    unsafe { task::set_current(&idle) };
    note_this_cpu();
    this_cpu().usage.start(now);
    scheduler().bring_online(arch::current_cpu(), idle, now);
    if arch::current_cpu() == CpuId::BOOT {
        start_load_averages();
    }
    cpu::try_timer(now);
}

/// Runs others whenever there are any, and halts otherwise. The last act of a CPU's start, after [`adopt_cpu`].
pub fn run_idle() -> ! {
    loop {
        let _ = interrupts::disable();
        if preempt::requested() || scheduler().should_switch(arch::current_cpu()) {
            interrupts::enable();
            schedule(Leave::Preempt);
        } else if this_cpu().late.is_waiting() {
            interrupts::enable();
            release_late();
        } else {
            // Enables interrupts and halts in one step: a wake-up that comes in between ends the halt.
            interrupts::wait();
        }
    }
}
