//! When a running thread gives way: the answers to reschedule requests, and the points where they take effect.

use arch::cpu::{CpuId, CpuMask};
use arch::events::Ipi;
use arch::{interrupts, preempt as hold};
use sched::{Leave, Resched};

use super::cpus::{Cpu, cpu, this_cpu};
use super::late::release_late;
use super::switch::schedule;

/// Does what `resched` asks for. The caller stays on its CPU: preemption or interrupts are off.
#[inline]
pub(crate) fn carry_out(resched: Resched) {
    match resched {
        Resched::No => {}
        Resched::Here => look(),
        Resched::Cpu(other) => interrupt(other),
        Resched::Both(first, second) => {
            let here = arch::current_cpu();
            for cpu in [first, second] {
                if cpu == here { look() } else { interrupt(cpu) }
            }
        }
    }
}

/// Has `other` look, by an interrupt unless it polls.
fn interrupt(other: CpuId) {
    if !cpu(other).idle.poke() {
        arch::ipi::send(&CpuMask::only(other), Ipi::Reschedule);
    }
}

/// Looks at what others decided for this CPU: whether to switch, and when the slice ends.
pub(crate) fn look() {
    let saved = interrupts::disable();
    let this = this_cpu();
    let next_tick = this.queue.next_tick();
    if next_tick.is_none() {
        hold::request();
    }
    this.program_timer(next_tick);
    interrupts::restore(saved);
}

/// The machine's preemption hook ([`arch::events::Handlers::preempt`]): at the end of an interrupt in kernel mode,
/// and where preemption is enabled again. Leaves the interrupt flag as it was.
pub fn preempt() {
    if hold::count() == 0 && hold::requested() {
        schedule(Leave::Preempt);
    }
}

/// Whether [`preempt_if_requested`] has something to do on this CPU, which is `here`. Interrupts are off.
#[inline]
pub(crate) fn wants_to_preempt(here: &Cpu) -> bool {
    hold::requested() || here.late.is_waiting()
}

/// Gives way if that is asked for, and frees ended threads. For the thread loop, before it enters user mode.
pub fn preempt_if_requested() {
    release_late();
    while hold::requested() {
        schedule(Leave::Preempt);
    }
}

/// Lets other threads run first (sched_yield(2)).
pub fn yield_now() {
    super::block::assert_may_sleep();
    schedule(Leave::Yield);
}
