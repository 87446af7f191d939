//! Which CPUs threads run on.

use nix::errno::Errno;

use crate::{ok, sys};

/// The CPUs on which this thread may run.
pub(in crate::suite) fn allowed_cpus() -> Vec<usize> {
    let mut mask = [0_u64; 16];
    ok!(SYS_sched_getaffinity, 0, 128, &mut mask);
    (0..1024).filter(|cpu| mask[cpu / 64] & 1 << (cpu % 64) != 0).collect()
}

/// The CPU on which this thread is running.
pub(in crate::suite) fn current_cpu() -> usize {
    let mut cpu = 0_u32;
    ok!(SYS_getcpu, &mut cpu, 0, 0);
    cpu as usize
}

/// Has a thread, 0 for the calling one, run on this CPU alone.
#[track_caller]
pub(in crate::suite) fn pin(tid: usize, cpu: usize) {
    assert_eq!(try_pin(tid, cpu), Ok(()));
}

/// As [`pin`]; `ESRCH` for a thread that has ended.
pub(in crate::suite) fn try_pin(tid: usize, cpu: usize) -> Result<(), Errno> {
    let mut mask = [0_u64; 16];
    mask[cpu / 64] = 1 << (cpu % 64);
    sys!(SYS_sched_setaffinity, tid, 128, &mask).map(drop)
}
