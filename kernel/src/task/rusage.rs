//! getrusage(2) and times(2).

use super::family;
use super::usage::Usage;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Caller;

/// `struct rusage`: 18 words.
pub(super) type Layout = [i64; 18];

/// `RUSAGE_SELF`, `RUSAGE_CHILDREN`, `RUSAGE_THREAD` (getrusage(2)).
const SELF: i32 = 0;
const CHILDREN: i32 = -1;
const THREAD: i32 = 1;

/// Bytes per unit of `ru_maxrss`.
const RESIDENT_UNIT: u64 = 1024;

/// The words of `usage` in the order of `struct rusage`; what Linux does not keep is zero here too.
pub(super) fn layout(usage: &Usage) -> Layout {
    let mut words = [0; 18];
    words[0] = usage.user.as_secs() as i64;
    words[1] = (usage.user.subsec_nanos() / 1000) as i64;
    words[2] = usage.system.as_secs() as i64;
    words[3] = (usage.system.subsec_nanos() / 1000) as i64;
    words[4] = (usage.peak_resident / RESIDENT_UNIT) as i64;
    words[8] = usage.minor_faults as i64;
    words[9] = usage.major_faults as i64;
    words[16] = usage.voluntary_switches as i64;
    words[17] = usage.involuntary_switches as i64;
    words
}

/// What the process, its children or the thread have used.
pub(super) fn getrusage(caller: &mut Caller<'_>, who: i32, usage: UserPtr<Layout>) -> Result {
    let process = caller.thread.process();
    let result = match who {
        SELF => Usage::of_process(process),
        CHILDREN => family::lock().ro(&process.kinship).children_usage,
        THREAD => Usage::of_thread(caller.thread),
        _ => return Err(Errno::EINVAL),
    };
    usage.write(&layout(&result))?;
    Ok(0)
}

/// CPU times in clock ticks; returns the ticks since boot.
pub(super) fn times(caller: &mut Caller<'_>, buffer: UserPtr<[i64; 4]>) -> Result {
    const TICK_NS: u64 = 10_000_000;
    let process = caller.thread.process();
    let own = Usage::of_process(process);
    let children = family::lock().ro(&process.kinship).children_usage;
    let words = [own.user, own.system, children.user, children.system];
    buffer.write_if_present(&words.map(|time| (time.0 / TICK_NS) as i64))?;
    Ok((arch::clock::now().0 / TICK_NS) as usize)
}
