//! What a CPU does when there is nothing to do.
#![allow(unsafe_code, reason = "makes the idle thread the current one")]

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::time::Nanos;
use arch::{clock, interrupts, preempt};
use sched::{IdlePoll, Leave};

use super::cpus::{note_this_cpu, scheduler, this_cpu};
use super::late::release_late;
use super::preemption::look;
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
    this_cpu().usage.start(clock::stamp());
    idle.scheduling.come_to(arch::current_cpu());
    scheduler().bring_online(arch::current_cpu(), idle, now);
    if arch::current_cpu() == CpuId::BOOT {
        start_load_averages();
    }
    cpu::try_timer(now);
}

/// Runs others whenever there are any, and pauses otherwise. The last act of a CPU's start, after [`adopt_cpu`].
pub fn run_idle() -> ! {
    loop {
        let _ = interrupts::disable();
        if wants_to_switch() {
            interrupts::enable();
            schedule(Leave::Preempt);
        } else if this_cpu().late.is_waiting() {
            interrupts::enable();
            release_late();
        } else {
            pause(&this_cpu().idle);
        }
    }
}

fn wants_to_switch() -> bool {
    preempt::requested() || scheduler().should_switch(arch::current_cpu())
}

/// Waits for work: polls, then halts. Interrupts are off at first and on after it.
fn pause(idle: &IdlePoll) {
    // Nothing must switch away from here while others rely on the polling, or while the pause is measured.
    preempt::disable();
    let start = clock::now();
    poll(idle, start);
    while !wants_to_switch() && !this_cpu().late.is_waiting() {
        // Enables interrupts and halts in one step: a wake-up that comes in between ends the halt.
        interrupts::wait();
        let _ = interrupts::disable();
    }
    idle.learn(Nanos(clock::now().0.saturating_sub(start.0)));
    interrupts::enable();
    preempt::enable();
}

/// Waits for work for as long as seems worth it, while no other CPU needs to interrupt this one. Interrupts are off before and after.
fn poll(idle: &IdlePoll, start: Nanos) {
    let end = Nanos(start.0 + idle.window().0);
    if end == start {
        return;
    }
    idle.begin();
    interrupts::enable();
    while !idle.is_poked() && !preempt::requested() && clock::now() < end {
        arch::relax();
    }
    let _ = interrupts::disable();
    if idle.end() {
        look();
    }
}
