//! The system calls that read and set clocks.

use arch::time::Nanos;

use super::clock::{ClockId, realtime, set_realtime};
use super::sleep::{clock_nanosleep, nanosleep};
use super::value::{Timespec, Timeval};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// This area's system calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(35, nanosleep(request: UserPtr<Timespec>, remain: UserPtr<Timespec>)),
    syscall!(96, gettimeofday(time: UserPtr<Timeval>, zone: UserPtr<Timezone>)),
    syscall!(164, settimeofday(time: UserPtr<Timeval>, zone: UserPtr<Timezone>)),
    syscall!(201, time(result: UserPtr<i64>)),
    syscall!(227, clock_settime(clock: i32, time: UserPtr<Timespec>)),
    syscall!(228, clock_gettime(clock: i32, time: UserPtr<Timespec>)),
    syscall!(229, clock_getres(clock: i32, resolution: UserPtr<Timespec>)),
    syscall!(230, clock_nanosleep(
        clock: i32, flags: i32, request: UserPtr<Timespec>, remain: UserPtr<Timespec>
    )),
];

/// `struct timezone`: minutes west, kind of daylight saving. Always zero: time zones are the C library's business.
type Timezone = [i32; 2];

fn clock_gettime(_caller: &mut Caller<'_>, clock: i32, time: UserPtr<Timespec>) -> Result {
    time.write(&ClockId::from_number(clock)?.now()?.into())?;
    Ok(0)
}

fn clock_getres(_caller: &mut Caller<'_>, clock: i32, resolution: UserPtr<Timespec>) -> Result {
    let value = ClockId::from_number(clock)?.resolution()?;
    resolution.write_if_present(&value.into())?;
    Ok(0)
}

fn clock_settime(caller: &mut Caller<'_>, clock: i32, time: UserPtr<Timespec>) -> Result {
    let clock = ClockId::from_number(clock)?;
    if clock != ClockId::REALTIME {
        return Err(Errno::EINVAL);
    }
    let time = time.read()?.to_nanos()?;
    set(caller, time)
}

fn gettimeofday(
    _caller: &mut Caller<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result {
    time.write_if_present(&realtime().into())?;
    zone.write_if_present(&[0, 0])?;
    Ok(0)
}

fn settimeofday(
    caller: &mut Caller<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result {
    let time = time.read_if_present()?.map(Timeval::to_nanos).transpose()?;
    // The kernel keeps no time zone; setting one needs the right all the same.
    let zone = zone.read_if_present()?;
    match time {
        Some(time) => set(caller, time),
        None if zone.is_some() && !may_set(caller) => Err(Errno::EPERM),
        None => Ok(0),
    }
}

/// time(2): whole seconds since 1970.
fn time(_caller: &mut Caller<'_>, result: UserPtr<i64>) -> Result {
    let seconds = realtime().as_secs();
    result.write_if_present(&(seconds as i64))?;
    Ok(seconds as usize)
}

fn set(caller: &Caller<'_>, time: Nanos) -> Result {
    if !may_set(caller) {
        return Err(Errno::EPERM);
    }
    // What the kernel's nanoseconds cannot hold is no date (the year 2554).
    if time == Nanos::MAX {
        return Err(Errno::EINVAL);
    }
    set_realtime(time);
    Ok(0)
}

fn may_set(caller: &Caller<'_>) -> bool {
    caller.thread.credentials().has(Capability::SysTime)
}
