//! The stand-in for a machine that `cargo test` uses.
//!
//! Every host thread is a simulated CPU: number 0 unless [`set_current_cpu`] says otherwise. Interrupts and
//! preemption are counters of the thread. Nothing here knows the real processor.

use core::cell::Cell;
use std::thread_local;

use crate::cpu::CpuId;

pub mod interrupts;
pub mod ipi;
pub mod memory;
pub mod mmu;
pub mod preempt;
mod processor;
pub mod simulation;
pub mod user_copy;

pub use processor::{
    RawExit, backtrace, clock, cpu_count, dispatch_interrupt, enter_user, features, fpu, init,
    interrupt_counts, online_cpus, power, random, serial, smp, thread,
};
pub use simulation::Machine;

thread_local! {
    static CURRENT: Cell<CpuId> = const { Cell::new(CpuId::BOOT) };
}

/// The simulated CPU that this host thread plays.
#[must_use]
pub fn current_cpu() -> CpuId {
    CURRENT.get()
}

/// Makes this host thread play `cpu` from now on.
pub fn set_current_cpu(cpu: CpuId) {
    CURRENT.set(cpu);
}

/// Accepts an event that no trace will show.
pub fn trace(_event: crate::events::MachineEvent) {}

/// A pause in a spin loop: takes a waiting interrupt, and lets other host threads run.
pub fn relax() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    {
        Machine::current().poll();
        std::thread::yield_now();
    }
}
