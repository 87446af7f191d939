//! sched_setscheduler(2) and its relatives: policy and static priority.

use arch::time::Nanos;
use linux_raw_sys::general as abi;
use sched::{Discipline, Parameters, REAL_TIME_SLICE, Reservation};

use super::{Rights, apply, find};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::scheduling::cpus::scheduler;
use crate::syscall::Caller;
use crate::time::Timespec;

/// The bit in a policy that stands for [`Parameters::reset_on_fork`].
const RESET_ON_FORK: u32 = abi::SCHED_RESET_ON_FORK;
/// Priorities of the real-time policies.
const PRIORITIES: core::ops::RangeInclusive<i32> = 1..=99;

/// The discipline that policy number `policy` stands for.
///
/// # Errors
/// `EINVAL` for none.
pub(super) fn discipline(policy: u32) -> Result<Discipline> {
    match policy {
        abi::SCHED_NORMAL => Ok(Discipline::Normal),
        abi::SCHED_FIFO => Ok(Discipline::Fifo),
        abi::SCHED_RR => Ok(Discipline::RoundRobin),
        abi::SCHED_BATCH => Ok(Discipline::Batch),
        abi::SCHED_IDLE => Ok(Discipline::Idle),
        abi::SCHED_DEADLINE => Ok(Discipline::Deadline),
        _ => Err(Errno::EINVAL),
    }
}

/// The number of a discipline.
pub(super) const fn policy_number(discipline: Discipline) -> u32 {
    match discipline {
        Discipline::Normal => abi::SCHED_NORMAL,
        Discipline::Fifo => abi::SCHED_FIFO,
        Discipline::RoundRobin => abi::SCHED_RR,
        Discipline::Batch => abi::SCHED_BATCH,
        Discipline::Idle => abi::SCHED_IDLE,
        Discipline::Deadline => abi::SCHED_DEADLINE,
    }
}

/// The discipline of calls that have no room for a reservation.
///
/// # Errors
/// `EINVAL` for `SCHED_DEADLINE` and for none.
fn discipline_without_reservation(policy: u32) -> Result<Discipline> {
    match discipline(policy)? {
        Discipline::Deadline => Err(Errno::EINVAL),
        other => Ok(other),
    }
}

/// Checks that `priority` fits `discipline`: 1 to 99 for the real-time ones, 0 for the others.
pub(super) fn check_priority(discipline: Discipline, priority: i32) -> Result<u8> {
    let fits =
        if discipline.is_real_time() { PRIORITIES.contains(&priority) } else { priority == 0 };
    if fits { Ok(priority as u8) } else { Err(Errno::EINVAL) }
}

pub(super) fn sched_setscheduler(
    caller: &mut Caller<'_>,
    tid: i32,
    policy: i32,
    parameters: UserPtr<i32>,
) -> Result {
    let policy = policy as u32;
    let kind = discipline_without_reservation(policy & !RESET_ON_FORK);
    if parameters.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = parameters.read()?;
    let target = find(caller, tid)?;
    let discipline = kind?;
    let priority = check_priority(discipline, priority)?;
    let rights = Rights::over(caller, &target)?;
    apply(&target, |old| {
        let reset_on_fork = policy & RESET_ON_FORK != 0;
        let reservation = Reservation::default();
        let new = Parameters { discipline, priority, reset_on_fork, reservation, ..old };
        rights.check(&old, &new).map(|()| new)
    })?;
    Ok(0)
}

pub(super) fn sched_setparam(
    caller: &mut Caller<'_>,
    tid: i32,
    parameters: UserPtr<i32>,
) -> Result {
    if parameters.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = parameters.read()?;
    let target = find(caller, tid)?;
    let rights = Rights::over(caller, &target);
    apply(&target, |old| {
        discipline_without_reservation(policy_number(old.discipline))?;
        let new = Parameters { priority: check_priority(old.discipline, priority)?, ..old };
        rights?.check(&old, &new).map(|()| new)
    })?;
    Ok(0)
}

pub(super) fn sched_getparam(
    caller: &mut Caller<'_>,
    tid: i32,
    parameters: UserPtr<i32>,
) -> Result {
    if parameters.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let target = find(caller, tid)?;
    parameters.write(&i32::from(target.scheduling.task.parameters().priority))?;
    Ok(0)
}

pub(super) fn sched_getscheduler(caller: &mut Caller<'_>, tid: i32) -> Result {
    let parameters = find(caller, tid)?.scheduling.task.parameters();
    let reset = if parameters.reset_on_fork { RESET_ON_FORK } else { 0 };
    Ok((policy_number(parameters.discipline) | reset) as usize)
}

pub(super) fn sched_get_priority_max(_caller: &mut Caller<'_>, policy: i32) -> Result {
    bound(policy, *PRIORITIES.end())
}

pub(super) fn sched_get_priority_min(_caller: &mut Caller<'_>, policy: i32) -> Result {
    bound(policy, *PRIORITIES.start())
}

fn bound(policy: i32, real_time: i32) -> Result {
    let discipline = discipline(policy as u32)?;
    Ok(if discipline.is_real_time() { real_time as usize } else { 0 })
}

/// The time for which a thread runs at most while others of its kind wait; zero for `SCHED_FIFO`: no limit.
pub(super) fn sched_rr_get_interval(
    caller: &mut Caller<'_>,
    tid: i32,
    interval: UserPtr<Timespec>,
) -> Result {
    let parameters = find(caller, tid)?.scheduling.task.parameters();
    let slice = match parameters.discipline {
        Discipline::Fifo | Discipline::Deadline => Nanos::ZERO,
        Discipline::RoundRobin => REAL_TIME_SLICE,
        _ if parameters.slice > Nanos::ZERO => parameters.slice,
        _ => scheduler().policy().slice,
    };
    interval.write(&slice.into())?;
    Ok(0)
}
