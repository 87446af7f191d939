//! nanosleep(2) and clock_nanosleep(2).

use arch::clock;
use arch::time::Nanos;
use linux_raw_sys::general as abi;

use super::clock::{ClockId, Precision, clock_was_set};
use super::value::Timespec;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::scheduling::{Interruption, WaitEnd, sleep_until};
use crate::syscall::{Argument, Caller};
use crate::task::Restart;

/// How long a sleeper on a CPU clock waits at least before it looks at the clock again.
const CPU_CLOCK_STEP: Nanos = Nanos::from_millis(1);

/// Sleeps for a span of monotonic time.
pub(super) fn nanosleep(
    caller: &mut Caller<'_>,
    request: UserPtr<Timespec>,
    remain: UserPtr<Timespec>,
) -> Result {
    let span = request.read()?.to_nanos()?;
    sleep_for(caller, ClockId::MONOTONIC, clock::now().saturating_add(span), remain)
}

/// Sleeps for a span, or until a time, of some clock.
pub(super) fn clock_nanosleep(
    caller: &mut Caller<'_>,
    clock: i32,
    flags: i32,
    request: UserPtr<Timespec>,
    remain: UserPtr<Timespec>,
) -> Result {
    let clock = match ClockId::from_number(clock)? {
        // As on Linux the caller's own clock, which stands still while the caller sleeps, is answered by name and by number.
        ClockId::ThreadCpu(_) if clock == abi::CLOCK_THREAD_CPUTIME_ID as i32 => {
            return Err(Errno::EOPNOTSUPP);
        }
        ClockId::ThreadCpu(_) => return Err(Errno::EINVAL),
        clock => clock,
    };
    match clock {
        ClockId::MonotonicRaw
        | ClockId::Realtime(Precision::Coarse)
        | ClockId::Monotonic(Precision::Coarse) => return Err(Errno::EOPNOTSUPP),
        _ => {}
    }
    let time = request.read()?.to_nanos()?;
    if flags & abi::TIMER_ABSTIME as i32 != 0 {
        return until(clock, time).map(|()| 0).map_err(|_| Errno::ERESTARTNOHAND);
    }
    // A span is not changed by setting the clock, so it is counted on the monotonic one.
    let clock = if clock.is_settable() { ClockId::MONOTONIC } else { clock };
    sleep_for(caller, clock, clock.now()?.saturating_add(time), remain)
}

/// Sleeps until `clock`, which nobody sets, shows `deadline`. Interrupted, it reports what is left and can be continued.
fn sleep_for(
    caller: &mut Caller<'_>,
    clock: ClockId,
    deadline: Nanos,
    remain: UserPtr<Timespec>,
) -> Result {
    if until(clock, deadline).is_ok() {
        return Ok(0);
    }
    let left = deadline.saturating_sub(clock.now()?);
    remain.write_if_present(&Timespec::from(left))?;
    let (kind, owner) = match clock {
        ClockId::ProcessCpu(owner) => (1, u64::from(owner)),
        _ => (0, 0),
    };
    let arguments = [deadline.0, remain.address().as_u64(), kind, owner, 0];
    caller.thread.set_restart(Restart { resume, arguments });
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// Goes on with a sleep for a span.
fn resume(caller: &mut Caller<'_>, [deadline, remain, kind, owner, _]: [u64; 5]) -> Result {
    let clock = if kind == 1 { ClockId::ProcessCpu(owner as u32) } else { ClockId::MONOTONIC };
    sleep_for(caller, clock, Nanos(deadline), UserPtr::from_register(remain))
}

/// Sleeps until `clock` shows `time`, also if it is set meanwhile.
fn until(clock: ClockId, time: Nanos) -> core::result::Result<(), WaitEnd> {
    if let ClockId::ProcessCpu(_) = clock {
        return until_cpu_time(clock, time);
    }
    if !clock.is_settable() {
        return sleep_until(time, Interruption::Signals).map_err(|_| WaitEnd::Interrupted);
    }
    loop {
        let (queue, generation) = clock_was_set();
        let was_set = || (clock_was_set().1 != generation).then_some(());
        match queue.wait_until_deadline(Some(clock.to_monotonic(time)), was_set) {
            Ok(()) => {}
            Err(WaitEnd::TimedOut) => return Ok(()),
            Err(WaitEnd::Interrupted) => return Err(WaitEnd::Interrupted),
        }
    }
}

/// Sleeps until the process has used as much CPU time. It cannot use more than every CPU gives, so the sleeper looks again
/// after that long.
fn until_cpu_time(clock: ClockId, time: Nanos) -> core::result::Result<(), WaitEnd> {
    loop {
        // A process that is gone uses no more.
        let Ok(now) = clock.now() else { return Ok(()) };
        if now >= time {
            return Ok(());
        }
        let cpus = crate::scheduling::cpu_count() as u64;
        let step = Nanos((time - now).0 / cpus).max(CPU_CLOCK_STEP);
        let at = arch::clock::now().saturating_add(step);
        sleep_until(at, Interruption::Signals).map_err(|_| WaitEnd::Interrupted)?;
    }
}
