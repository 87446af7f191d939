//! How far the layout of new programs is random: `/proc/sys/kernel/randomize_va_space` and personality(2).

use arch::sync::atomic::{AtomicU32, Ordering};
use mm::space::Entropy;

use crate::random;
use crate::task::Thread;

/// `ADDR_NO_RANDOMIZE` of personality(2).
const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;

/// 0 for nothing, 1 for everything but the heap, 2 for everything (proc_sys_kernel(5)). Relaxed: it counts for programs
/// that start later.
static LEVEL: AtomicU32 = AtomicU32::new(2);

/// What `randomize_va_space` shows.
#[must_use]
pub fn level() -> u32 {
    LEVEL.load(Ordering::Relaxed)
}

/// Changes `randomize_va_space`.
pub fn set_level(level: u32) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Random numbers for the next program of `thread`, zero where it shall be predictable; the second is for the bytes above
/// the initial stack pointer.
pub(super) fn choose(thread: &Thread) -> (Entropy, u64) {
    let level = if thread.personality() & ADDR_NO_RANDOMIZE == 0 { level() } else { 0 };
    let from = |least: u32| if level >= least { random::number() } else { 0 };
    let entropy = Entropy { stack: from(1), mmap: from(1), image: from(1), heap: from(2) };
    (entropy, from(1))
}
