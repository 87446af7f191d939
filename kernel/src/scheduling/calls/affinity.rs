//! sched_setaffinity(2), sched_getaffinity(2), getcpu(2).

use arch::addr::UserAddr;
use arch::cpu::{CpuMask, MAX_CPUS};
use arch::{clock, preempt};

use sched::{Discipline, Parameters};

use super::{find_any, may_change};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserPtr};
use crate::scheduling::cpus::{cpu_count, scheduler};
use crate::scheduling::preemption::carry_out;
use crate::syscall::Caller;

const MASK_BYTES: usize = MAX_CPUS / 8;
const WORD_BYTES: usize = size_of::<u64>();

/// Restricts a thread to some CPUs; a CPU that it runs on and may not is left before this returns or soon after.
pub(super) fn sched_setaffinity(
    caller: &mut Caller<'_>,
    tid: i32,
    bytes: u32,
    mask: UserAddr,
) -> Result {
    let mut buffer = [0; MASK_BYTES];
    let given = (bytes as usize).min(MASK_BYTES);
    user::read_bytes(mask, &mut buffer[..given])?;
    let target = find_any(caller, tid)?;
    may_change(caller, &target)?;
    let mask = mask_from_bytes(&buffer);
    let online = scheduler().online();
    if mask.and(&online).is_empty() {
        return Err(Errno::EINVAL);
    }
    // What it reserved is reserved on all CPUs.
    let check = |parameters: Parameters| {
        let reserves = parameters.discipline == Discipline::Deadline;
        if reserves && mask.and(&online) != online { Err(Errno::EBUSY) } else { Ok(()) }
    };
    preempt::disable();
    let here = arch::current_cpu();
    let outcome = scheduler().change_affinity(&target, &mask, check, clock::now(), here);
    let outcome = outcome.map(carry_out);
    // The caller itself moves here, if it has to.
    preempt::enable();
    outcome.map(|()| 0)
}

/// Stores the CPUs that a thread may run on; returns how many bytes.
pub(super) fn sched_getaffinity(
    caller: &mut Caller<'_>,
    tid: i32,
    bytes: u32,
    mask: UserAddr,
) -> Result {
    let bytes = bytes as usize;
    if bytes * 8 < cpu_count() || !bytes.is_multiple_of(WORD_BYTES) {
        return Err(Errno::EINVAL);
    }
    let target = find_any(caller, tid)?;
    let allowed = target.scheduling.task.affinity().and(&scheduler().online());
    let used = cpu_count().div_ceil(64) * WORD_BYTES;
    let count = bytes.min(used);
    user::write_bytes(mask, &bytes_from_mask(&allowed)[..count])?;
    Ok(count)
}

/// The CPU and the NUMA node that the caller runs on. Skein knows one node.
pub(super) fn getcpu(
    _caller: &mut Caller<'_>,
    cpu: UserPtr<u32>,
    node: UserPtr<u32>,
    _cache: UserAddr,
) -> Result {
    cpu.write_if_present(&(arch::current_cpu().index() as u32))?;
    node.write_if_present(&0)?;
    Ok(0)
}

fn mask_from_bytes(bytes: &[u8; MASK_BYTES]) -> CpuMask {
    let mut words = [0; MASK_BYTES / WORD_BYTES];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(WORD_BYTES)) {
        *word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    CpuMask::from_words(words)
}

fn bytes_from_mask(mask: &CpuMask) -> [u8; MASK_BYTES] {
    let mut bytes = [0; MASK_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(WORD_BYTES).zip(mask.words()) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use arch::cpu::CpuId;

    use super::*;

    #[test]
    fn masks_survive_the_way_to_bytes_and_back() {
        let mask: CpuMask = [0, 9, 63, 64, 255].into_iter().map(CpuId::new).collect();
        let bytes = bytes_from_mask(&mask);
        assert_eq!((bytes[0], bytes[1], bytes[7], bytes[8]), (1, 2, 0x80, 1));
        assert_eq!(mask_from_bytes(&bytes), mask);
    }
}
