//! alarm(2), setitimer(2), getitimer(2), and the calls of POSIX timers.

use arch::time::Nanos;
use linux_raw_sys::general as abi;

use super::posix::Target;
use super::{AlarmClock, Interval, Setting};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::number::Signal;
use crate::syscall::Caller;
use crate::task::{Thread, Tid};
use alloc::sync::Arc;

/// `clockid_t` of the CPU clocks of other processes and threads: the complement of the id, shifted, with flags.
const CPU_CLOCK_THREAD: i32 = 4;
const CPU_CLOCK_KIND: i32 = 3;

/// Sends SIGALRM in `seconds`. Returns the seconds that were left of an earlier one, rounded, but never to zero.
pub(in crate::signal) fn alarm(caller: &mut Caller<'_>, seconds: u32) -> Result {
    let process = caller.thread.process();
    let value = Nanos::from_secs(u64::from(seconds));
    let setting = Setting { value, interval: Nanos::ZERO };
    let left = process.timers.set_interval(process, Interval::Real, setting).value;
    let rounded = (left.0 + 500_000_000) / 1_000_000_000;
    Ok(if left == Nanos::ZERO { 0 } else { rounded.max(1) as usize })
}

/// Reads an interval timer.
pub(in crate::signal) fn getitimer(
    caller: &mut Caller<'_>,
    which: i32,
    value: UserPtr<[i64; 4]>,
) -> Result {
    let process = caller.thread.process();
    let setting = process.timers.interval(process, interval_kind(which)?);
    value.write(&to_words(setting, 1000))?;
    Ok(0)
}

/// Sets an interval timer.
pub(in crate::signal) fn setitimer(
    caller: &mut Caller<'_>,
    which: i32,
    value: UserPtr<[i64; 4]>,
    former: UserPtr<[i64; 4]>,
) -> Result {
    // No value disarms, as Linux still allows.
    let new = match value.read_if_present()? {
        Some(words) => from_words(words, 1000)?,
        None => Setting::DISARMED,
    };
    let which = interval_kind(which)?;
    let process = caller.thread.process();
    let old = process.timers.set_interval(process, which, new);
    former.write_if_present(&to_words(old, 1000))?;
    Ok(0)
}

fn interval_kind(which: i32) -> Result<Interval> {
    match which {
        0 => Ok(Interval::Real),
        1 => Ok(Interval::Virtual),
        2 => Ok(Interval::Profiling),
        _ => Err(Errno::EINVAL),
    }
}

/// Makes a timer.
pub(in crate::signal) fn timer_create(
    caller: &mut Caller<'_>,
    clock: i32,
    event: UserPtr<[u8; 64]>,
    id: UserPtr<i32>,
) -> Result {
    let clock = clock_of(caller.thread, clock)?;
    let event = event.read_if_present()?;
    let process = caller.thread.process();
    let timers = &process.timers;
    let new = match event {
        Some(event) => timers.create_posix(process, clock, target_of(caller.thread, &event)?)?,
        None => {
            // The value is the id, which is known only now.
            let new = timers.create_posix(process, clock, Target::None)?;
            let target = Target::Process(Signal::SIGALRM, new as u64);
            timers.with_posix(new, |timer| timer.retarget(target))?;
            new
        }
    };
    if let Err(errno) = id.write(&new) {
        timers.delete_one(new)?;
        return Err(errno);
    }
    Ok(0)
}

/// What a `struct sigevent` asks for: value, signal, kind, thread.
fn target_of(thread: &Thread, event: &[u8; 64]) -> Result<Target> {
    let word =
        |at: usize| i32::from_ne_bytes([event[at], event[at + 1], event[at + 2], event[at + 3]]);
    let value = u64::from(word(0) as u32) | u64::from(word(4) as u32) << 32;
    let signal = Signal::from_argument(word(8));
    match word(12) as u32 {
        abi::SIGEV_NONE => Ok(Target::None),
        abi::SIGEV_SIGNAL | abi::SIGEV_THREAD => {
            Ok(Target::Process(signal.ok_or(Errno::EINVAL)?, value))
        }
        abi::SIGEV_THREAD_ID => {
            let tid = Tid::from_argument(word(16)).ok_or(Errno::EINVAL)?;
            let state = thread.process().signals();
            let target = state.find_thread(tid).map(Thread::to_arc).ok_or(Errno::EINVAL)?;
            Ok(Target::Thread(signal.ok_or(Errno::EINVAL)?, value, Arc::downgrade(&target)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The clock that a `clockid_t` names.
fn clock_of(thread: &Arc<Thread>, clock: i32) -> Result<AlarmClock> {
    match u32::try_from(clock) {
        Ok(abi::CLOCK_MONOTONIC | abi::CLOCK_BOOTTIME | abi::CLOCK_BOOTTIME_ALARM) => {
            Ok(AlarmClock::Monotonic)
        }
        Ok(abi::CLOCK_REALTIME | abi::CLOCK_TAI | abi::CLOCK_REALTIME_ALARM) => {
            Ok(AlarmClock::RealTime)
        }
        Ok(abi::CLOCK_PROCESS_CPUTIME_ID) => Ok(AlarmClock::ProcessCpu),
        Ok(abi::CLOCK_THREAD_CPUTIME_ID) => Ok(AlarmClock::ThreadCpu(Arc::downgrade(thread))),
        Ok(_) => Err(Errno::EINVAL),
        Err(_) => cpu_clock_of(thread, clock),
    }
}

/// The CPU clocks of pthread_getcpuclockid(3) and clock_getcpuclockid(3), of the caller's own process.
fn cpu_clock_of(thread: &Arc<Thread>, clock: i32) -> Result<AlarmClock> {
    let id = !(clock >> 3);
    if clock & CPU_CLOCK_KIND > 2 {
        return Err(Errno::EINVAL);
    }
    if clock & CPU_CLOCK_THREAD == 0 {
        let own = id == 0 || u32::try_from(id) == Ok(thread.process().pid().as_u32());
        return if own { Ok(AlarmClock::ProcessCpu) } else { Err(Errno::EINVAL) };
    }
    let tid = if id == 0 { Some(thread.tid()) } else { Tid::from_argument(id) };
    let state = thread.process().signals();
    let found = tid.and_then(|tid| state.find_thread(tid)).map(Thread::to_arc);
    Ok(AlarmClock::ThreadCpu(Arc::downgrade(&found.ok_or(Errno::EINVAL)?)))
}

/// Arms or disarms a timer.
pub(in crate::signal) fn timer_settime(
    caller: &mut Caller<'_>,
    id: i32,
    flags: i32,
    value: UserPtr<[i64; 4]>,
    former: UserPtr<[i64; 4]>,
) -> Result {
    let new = from_words(value.read()?, 1)?;
    let absolute = flags as u32 & abi::TIMER_ABSTIME != 0;
    let process = caller.thread.process();
    let old = process.timers.with_settled_posix(id, |timer| {
        timer.catch_up(process);
        let clock = &timer.alarm().clock;
        let at = match (new.value, absolute, clock) {
            (Nanos::ZERO, ..) => None,
            (value, false, _) => Some(clock.now(process).saturating_add(value)),
            (value, true, AlarmClock::RealTime) => {
                Some(value.saturating_sub(arch::clock::realtime_at_boot()))
            }
            (value, true, _) => Some(value),
        };
        timer.set(process, at, new.interval)
    })?;
    former.write_if_present(&to_words(old, 1))?;
    Ok(0)
}

/// Reads what is left of a timer.
pub(in crate::signal) fn timer_gettime(
    caller: &mut Caller<'_>,
    id: i32,
    value: UserPtr<[i64; 4]>,
) -> Result {
    let process = caller.thread.process();
    let setting = process.timers.with_posix(id, |timer| {
        timer.catch_up(process);
        timer.setting(process)
    })?;
    value.write(&to_words(setting, 1))?;
    Ok(0)
}

/// How many expiries the last delivery stood for, beside its own.
pub(in crate::signal) fn timer_getoverrun(caller: &mut Caller<'_>, id: i32) -> Result {
    let overrun = caller.thread.process().timers.with_posix(id, |timer| timer.overrun())?;
    Ok(overrun as usize)
}

/// Deletes a timer.
pub(in crate::signal) fn timer_delete(caller: &mut Caller<'_>, id: i32) -> Result {
    caller.thread.process().timers.delete_one(id)?;
    Ok(0)
}

/// Decodes `itimerval` (`unit` 1000: microseconds) or `itimerspec` (1): interval, then value.
fn from_words(words: [i64; 4], unit: u64) -> Result<Setting> {
    let span = |seconds: i64, fraction: i64| {
        let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
        let fraction = u64::try_from(fraction).map_err(|_| Errno::EINVAL)?;
        if fraction >= 1_000_000_000 / unit {
            return Err(Errno::EINVAL);
        }
        Ok(Nanos::from_secs(seconds).saturating_add(Nanos(fraction * unit)))
    };
    Ok(Setting { interval: span(words[0], words[1])?, value: span(words[2], words[3])? })
}

/// The inverse of [`from_words`].
fn to_words(setting: Setting, unit: u64) -> [i64; 4] {
    let split = |span: Nanos| {
        // What is left is never shown as nothing.
        let units = span.0.div_ceil(unit);
        let per_second = 1_000_000_000 / unit;
        [(units / per_second) as i64, (units % per_second) as i64]
    };
    let ([a, b], [c, d]) = (split(setting.interval), split(setting.value));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked_and_rounded_up() {
        let setting = from_words([1, 999_999, 0, 1], 1000).expect("valid");
        assert_eq!(setting.interval, Nanos(1_999_999_000));
        assert_eq!(to_words(setting, 1000), [1, 999_999, 0, 1]);
        assert_eq!(from_words([0, 1_000_000, 0, 0], 1000), Err(Errno::EINVAL));
        assert_eq!(from_words([0, 0, -1, 0], 1), Err(Errno::EINVAL));
        let tiny = Setting { value: Nanos(1), interval: Nanos::ZERO };
        assert_eq!(to_words(tiny, 1000), [0, 0, 0, 1]);
    }
}
