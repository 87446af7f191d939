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
    /// Two CPUs, of which either may be the one that called.
    Both(CpuId, CpuId),
}

impl Resched {
    /// `cpu` has to look at its flag and its deadline; the calling CPU is `here`.
    pub(crate) fn look(cpu: CpuId, here: CpuId) -> Self {
        if cpu == here { Self::Here } else { Self::Cpu(cpu) }
    }

    /// This, and `cpu` as well.
    pub(crate) fn and(self, cpu: CpuId, here: CpuId) -> Self {
        match self {
            Self::Here => Self::Both(here, cpu),
            Self::Cpu(first) | Self::Both(first, _) => Self::Both(first, cpu),
            Self::No => Self::look(cpu, here),
        }
    }
}
