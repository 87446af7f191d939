//! Choosing a CPU for a task that becomes runnable.

use arch::cpu::CpuId;

use super::{CpuSnapshot, TaskView};

/// An idle CPU near the last one; failing that, the last one unless it is clearly busier than another.
///
/// "Near" is by CPU number, upwards and around: Skein knows no cache topology.
#[must_use]
pub fn idle_near_last(_task: &TaskView, cpus: &CpuSnapshot<'_>) -> CpuId {
    let idle = cpus.allowed.and(&cpus.idle);
    if let Some(cpu) = [cpus.last, cpus.waker].into_iter().find(|&cpu| idle.contains(cpu)) {
        return cpu;
    }
    if let Some(cpu) = idle.next_above(cpus.last).or_else(|| idle.lowest()) {
        return cpu;
    }
    let least = cpus.allowed.iter().min_by_key(|&cpu| (cpus.load)(cpu)).unwrap_or(cpus.last);
    let stays = cpus.allowed.contains(cpus.last)
        && (cpus.load)(cpus.last) <= (cpus.load)(least).saturating_add(1);
    if stays { cpus.last } else { least }
}

/// For real-time and deadline tasks: the CPU whose running task is the least urgent, the last one among equals.
#[must_use]
pub fn least_urgent(cpus: &CpuSnapshot<'_>, urgency: &dyn Fn(CpuId) -> u64) -> CpuId {
    cpus.allowed.iter().min_by_key(|&cpu| (urgency(cpu), cpu != cpus.last)).unwrap_or(cpus.last)
}

#[cfg(test)]
mod tests {
    use arch::cpu::CpuMask;
    use arch::time::Nanos;

    use super::*;
    use crate::policy::Memory;
    use crate::task::TaskId;

    fn place(allowed: &[usize], idle: &[usize], last: usize, loads: [u32; 4]) -> usize {
        let mask = |cpus: &[usize]| cpus.iter().copied().map(CpuId::new).collect::<CpuMask>();
        let task = TaskView {
            id: TaskId(1),
            slot: 0,
            weight: 1024,
            batch: false,
            slice: Nanos::ZERO,
            memory: Memory::default(),
        };
        let snapshot = CpuSnapshot {
            allowed: mask(allowed),
            idle: mask(idle),
            last: CpuId::new(last),
            waker: CpuId::new(0),
            load: &|cpu| loads[cpu.index()],
            random: 0,
        };
        idle_near_last(&task, &snapshot).index()
    }

    #[test]
    fn the_last_cpu_is_best_when_idle_then_the_next_idle_one() {
        assert_eq!(place(&[0, 1, 2, 3], &[1, 2, 3], 2, [1, 0, 0, 0]), 2);
        assert_eq!(place(&[0, 1, 2, 3], &[1, 3], 2, [1, 0, 1, 0]), 3);
        assert_eq!(place(&[0, 1, 2, 3], &[1], 2, [1, 0, 1, 1]), 1);
    }

    #[test]
    fn without_an_idle_cpu_the_last_one_is_kept_unless_clearly_busier() {
        assert_eq!(place(&[0, 1, 2, 3], &[], 2, [1, 1, 2, 1]), 2);
        assert_eq!(place(&[0, 1, 2, 3], &[], 2, [2, 1, 3, 2]), 1);
        assert_eq!(place(&[1, 3], &[0, 2], 2, [0, 2, 0, 1]), 3);
    }
}
