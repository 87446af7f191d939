//! What `/proc/stat` shows of the scheduler.

use alloc::vec::Vec;

use arch::cpu::CpuId;

use super::usage::CpuTimes;
use crate::errno::{Errno, Result};
use crate::scheduling::{each_cpu, scheduler};

/// The times of every online CPU, in order.
///
/// # Errors
/// `ENOMEM`.
pub fn cpu_times() -> Result<Vec<(CpuId, CpuTimes)>> {
    let online = scheduler().online();
    let mut times = Vec::new();
    times.try_reserve(online.len()).map_err(|_| Errno::ENOMEM)?;
    let each = each_cpu().filter(|(cpu, _)| online.contains(*cpu));
    times.extend(each.map(|(cpu, part)| (cpu, part.usage.times())));
    Ok(times)
}

/// Context switches since boot, on all CPUs.
#[must_use]
pub fn context_switches() -> u64 {
    each_cpu().map(|(cpu, _)| scheduler().switches(cpu)).sum()
}

/// Processes and threads made since boot, the kernel's own included.
#[must_use]
pub fn forks() -> u64 {
    scheduler().spawned()
}

/// How many threads run or wait for a CPU.
#[must_use]
pub fn running_count() -> u32 {
    scheduler().runnable()
}

/// How many threads sleep uninterruptibly.
#[must_use]
pub fn blocked_count() -> u32 {
    scheduler().blocked()
}
