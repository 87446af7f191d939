//! The clocks of clock_gettime(2): [`ClockId`], reading them, and setting the one that can be set.
//!
//! All of them are the machine's monotonic clock plus something: realtime adds an offset that settimeofday(2) and
//! clock_settime(2) change. Skein does not suspend, so boot time is monotonic time; it does not slew, so raw time is as well.
//!
//! Who sleeps until a realtime waits in [`clock_was_set`]'s queue too, and computes its deadline anew when the clock is set.

use alloc::sync::Arc;

use arch::clock;
use arch::sync::atomic::{AtomicU64, Ordering};
use arch::time::Nanos;
use linux_raw_sys::general as abi;
use spin::Lazy;

use crate::errno::{Errno, Result};
use crate::scheduling::WaitQueue;
use crate::task::{self, Pid, Process, Thread, Tid, Usage, table};

/// What is added to monotonic time to get the time since 1970. Wraps: the sum is what counts.
static REALTIME_OFFSET: Lazy<AtomicU64> = Lazy::new(|| AtomicU64::new(clock::realtime_at_boot().0));
/// How often the clock was set.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static CLOCK_SET: WaitQueue = WaitQueue::new();

/// Resolution of the coarse clocks, as Linux reports it at 250 Hz.
const COARSE_RESOLUTION: Nanos = Nanos::from_millis(4);

/// A clock, decoded from a `clockid_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockId {
    /// Time since 1970; jumps when it is set.
    Realtime(Precision),
    /// Time since boot; never jumps.
    Monotonic(Precision),
    /// Monotonic time without adjustments.
    MonotonicRaw,
    /// Time since boot, suspension included.
    Boottime,
    /// International atomic time; Skein knows no leap seconds, so it equals realtime.
    Tai,
    /// CPU time of a process; 0 for the caller's.
    ProcessCpu(u32),
    /// CPU time of a thread; 0 for the caller.
    ThreadCpu(u32),
}

/// How fine a clock reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// A nanosecond.
    Fine,
    /// [`COARSE_RESOLUTION`].
    Coarse,
    /// Fine; the clock would wake a suspended machine (`*_ALARM`).
    Alarm,
}

impl ClockId {
    /// `CLOCK_REALTIME`.
    pub const REALTIME: Self = Self::Realtime(Precision::Fine);
    /// `CLOCK_MONOTONIC`.
    pub const MONOTONIC: Self = Self::Monotonic(Precision::Fine);

    /// The clock that the number `id` stands for. Negative numbers name CPU clocks of others (clock_getcpuclockid(3)).
    ///
    /// # Errors
    /// `EINVAL` for a number that stands for none.
    pub fn from_number(id: i32) -> Result<Self> {
        if id < 0 {
            return Self::of_other(id);
        }
        Ok(match id as u32 {
            abi::CLOCK_REALTIME => Self::Realtime(Precision::Fine),
            abi::CLOCK_REALTIME_COARSE => Self::Realtime(Precision::Coarse),
            abi::CLOCK_REALTIME_ALARM => Self::Realtime(Precision::Alarm),
            abi::CLOCK_MONOTONIC => Self::Monotonic(Precision::Fine),
            abi::CLOCK_MONOTONIC_COARSE => Self::Monotonic(Precision::Coarse),
            abi::CLOCK_BOOTTIME_ALARM => Self::Monotonic(Precision::Alarm),
            abi::CLOCK_MONOTONIC_RAW => Self::MonotonicRaw,
            abi::CLOCK_BOOTTIME => Self::Boottime,
            abi::CLOCK_TAI => Self::Tai,
            abi::CLOCK_PROCESS_CPUTIME_ID => Self::ProcessCpu(0),
            abi::CLOCK_THREAD_CPUTIME_ID => Self::ThreadCpu(0),
            _ => return Err(Errno::EINVAL),
        })
    }

    /// `~id << 3 | kind`: kind 0 to 2 for a process's times, with bit 2 for a thread's; 3 is for device clocks.
    fn of_other(id: i32) -> Result<Self> {
        let owner = !(id >> 3) as u32;
        match id & 7 {
            0..=2 => Ok(Self::ProcessCpu(owner)),
            4..=6 => Ok(Self::ThreadCpu(owner)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The clock's time now.
    ///
    /// # Errors
    /// `EINVAL` for the CPU clock of somebody who does not exist, or of a thread of another process.
    pub fn now(self) -> Result<Nanos> {
        let coarse = |time: Nanos| Nanos(time.0 - time.0 % COARSE_RESOLUTION.0);
        Ok(match self {
            Self::Realtime(Precision::Coarse) => coarse(realtime()),
            Self::Realtime(_) | Self::Tai => realtime(),
            Self::Monotonic(Precision::Coarse) => coarse(clock::now()),
            Self::Monotonic(_) | Self::MonotonicRaw | Self::Boottime => clock::now(),
            Self::ProcessCpu(pid) => process_cpu_time(&*find_process(pid)?),
            Self::ThreadCpu(tid) => thread_cpu_time(&*find_thread(tid)?),
        })
    }

    /// The clock's resolution.
    ///
    /// # Errors
    /// As for [`now`](Self::now).
    pub fn resolution(self) -> Result<Nanos> {
        match self {
            Self::Realtime(Precision::Coarse) | Self::Monotonic(Precision::Coarse) => {
                Ok(COARSE_RESOLUTION)
            }
            Self::ProcessCpu(pid) => find_process(pid).map(|_| Nanos(1)),
            Self::ThreadCpu(tid) => find_thread(tid).map(|_| Nanos(1)),
            _ => Ok(Nanos(1)),
        }
    }

    /// Whether the clock follows settings of the time of day.
    #[must_use]
    pub const fn is_settable(self) -> bool {
        matches!(self, Self::Realtime(_) | Self::Tai)
    }

    /// The monotonic time at which this clock shows `time`, as matters stand. For clocks that count real time.
    #[must_use]
    pub fn to_monotonic(self, time: Nanos) -> Nanos {
        if self.is_settable() {
            // Nothing is due before boot. Far times stay far.
            let offset = REALTIME_OFFSET.load(Ordering::Acquire) as i64;
            let monotonic = i128::from(time.0) - i128::from(offset);
            Nanos(u64::try_from(monotonic.max(0)).unwrap_or(u64::MAX))
        } else {
            time
        }
    }
}

/// The time since 1970.
#[must_use]
pub fn realtime() -> Nanos {
    Nanos(clock::now().0.wrapping_add(REALTIME_OFFSET.load(Ordering::Acquire)))
}

/// When the machine was booted, in time since 1970 as the clock shows it now (`btime` in `/proc/stat`).
#[must_use]
pub fn boot_time() -> Nanos {
    Nanos(REALTIME_OFFSET.load(Ordering::Acquire))
}

/// Makes it `time` (since 1970) now.
pub fn set_realtime(time: Nanos) {
    let offset = time.0.wrapping_sub(clock::now().0);
    // Release pairs with the acquire loads above and in `clock_was_set`.
    REALTIME_OFFSET.store(offset, Ordering::Release);
    GENERATION.fetch_add(1, Ordering::Release);
    CLOCK_SET.wake_all();
}

/// The queue that is woken when the clock is set, and a number that changes then.
#[must_use]
pub fn clock_was_set() -> (&'static WaitQueue, u64) {
    (&CLOCK_SET, GENERATION.load(Ordering::Acquire))
}

/// CPU time of all threads of `process`, ended ones included.
#[must_use]
pub fn process_cpu_time(process: &Process) -> Nanos {
    Usage::cpu_time_of(process)
}

/// CPU time of `thread`.
#[must_use]
pub fn thread_cpu_time(thread: &Thread) -> Nanos {
    thread.scheduling.cpu_time()
}

fn find_process(pid: u32) -> Result<Arc<Process>> {
    if pid == 0 {
        return Ok(Arc::clone(task::current().process()));
    }
    table::find_process(Pid::new(pid)).ok_or(Errno::EINVAL)
}

fn find_thread(tid: u32) -> Result<Arc<Thread>> {
    if tid == 0 {
        return Ok(task::current().to_arc());
    }
    let thread = table::find_thread(Tid::new(tid)).ok_or(Errno::EINVAL)?;
    let same_process = Arc::ptr_eq(thread.process(), task::current().process());
    if same_process { Ok(thread) } else { Err(Errno::EINVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_clocks() {
        assert_eq!(ClockId::from_number(0), Ok(ClockId::Realtime(Precision::Fine)));
        assert_eq!(ClockId::from_number(3), Ok(ClockId::ThreadCpu(0)));
        assert_eq!(ClockId::from_number(10), Err(Errno::EINVAL));
        assert_eq!(ClockId::from_number(16), Err(Errno::EINVAL));
        // clock_getcpuclockid(3): ~pid << 3 | CPUCLOCK_SCHED.
        assert_eq!(ClockId::from_number(!42 << 3 | 2), Ok(ClockId::ProcessCpu(42)));
        assert_eq!(ClockId::from_number(!42 << 3 | 6), Ok(ClockId::ThreadCpu(42)));
        assert_eq!(ClockId::from_number(!42 << 3 | 3), Err(Errno::EINVAL));
    }

    #[test]
    fn setting_the_clock_moves_realtime_deadlines_but_not_monotonic_ones() {
        let (_, before) = clock_was_set();
        set_realtime(Nanos::from_secs(1_000_000));
        let realtime = ClockId::Realtime(Precision::Fine);
        let due = realtime.to_monotonic(Nanos::from_secs(1_000_010));
        assert!(due.saturating_sub(clock::now()) <= Nanos::from_secs(10));
        assert_eq!(realtime.to_monotonic(Nanos::ZERO), Nanos::ZERO);
        assert_eq!(ClockId::Boottime.to_monotonic(Nanos(5)), Nanos(5));
        assert_ne!(clock_was_set().1, before);
    }
}
