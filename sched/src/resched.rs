//! The consequence of a scheduling event: which CPU, if any, has to call the scheduler.

use arch::cpu::CpuId;

/// Who must reschedule. The kernel acts on it; `sched` itself interrupts nobody.
#[must_use = "a reschedule that is not carried out leaves a runnable task waiting"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resched {
    /// Nobody: what runs is what should run.
    No,
    /// The CPU that called, at its next preemption point.
    Here,
    /// That CPU: send it a reschedule interrupt.
    Cpu(CpuId),
}
