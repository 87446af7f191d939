//! sched_setattr(2) and sched_getattr(2).

use arch::addr::UserAddr;
use arch::time::Nanos;
use linux_raw_sys::general as abi;
use sched::{Discipline, Nice, Parameters, Reservation};

use super::parameters::{check_priority, discipline, policy_number};
use super::{Rights, apply, find};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserPtr};
use crate::plain_data;
use crate::scheduling::limits;
use crate::syscall::Caller;

/// `struct sched_attr` as of Linux 5.3 (`SCHED_ATTR_SIZE_VER1`).
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    utilization_min: u32,
    utilization_max: u32,
}

plain_data!(Attributes);

const SIZE: usize = size_of::<Attributes>();
/// The first version ended before the utilisation clamps.
const FIRST_SIZE: usize = 48;
/// The largest that Linux looks at.
const LARGEST_SIZE: usize = 4096;

const RESET_ON_FORK: u64 = abi::SCHED_FLAG_RESET_ON_FORK as u64;
const KEEP_POLICY: u64 = abi::SCHED_FLAG_KEEP_POLICY as u64;
const KEEP_PARAMS: u64 = abi::SCHED_FLAG_KEEP_PARAMS as u64;
const KNOWN_FLAGS: u64 = RESET_ON_FORK | KEEP_POLICY | KEEP_PARAMS;

/// The least runtime of a reservation, in nanoseconds.
const SHORTEST_RUNTIME: u64 = 1 << 10;

/// Bounds of a slice that a thread may ask for, as on Linux.
const SHORTEST_SLICE: u64 = 100_000;
const LONGEST_SLICE: u64 = 100_000_000;

pub(super) fn sched_setattr(
    caller: &mut Caller<'_>,
    tid: i32,
    attributes: UserAddr,
    flags: u32,
) -> Result {
    if attributes.is_null() || tid < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let attributes = read(attributes)?;
    if (attributes.policy as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let target = find(caller, tid)?;
    let rights = Rights::over(caller, &target);
    apply(&target, |old| {
        let new = requested(&attributes, old)?;
        rights?.check(&old, &new).map(|()| new)
    })?;
    Ok(0)
}

/// Reads the structure, of whatever version: shorter ones lack fields, longer ones must have zeros there.
fn read(address: UserAddr) -> Result<Attributes> {
    let size = match UserPtr::<u32>::new(address).read()? as usize {
        0 => FIRST_SIZE,
        size => size,
    };
    if !(FIRST_SIZE..=LARGEST_SIZE).contains(&size) {
        return refuse_size(address);
    }
    let mut bytes = [0; SIZE];
    let known = size.min(SIZE);
    user::read_bytes(address, &mut bytes[..known])?;
    for index in SIZE..size {
        let mut extra = [0];
        user::read_bytes(address.checked_add(index as u64).ok_or(Errno::EFAULT)?, &mut extra)?;
        if extra != [0] {
            return refuse_size(address);
        }
    }
    Ok(decode(&bytes))
}

/// Tells the caller which size would do.
fn refuse_size<T>(address: UserAddr) -> Result<T> {
    UserPtr::<u32>::new(address).write(&(SIZE as u32))?;
    Err(Errno::E2BIG)
}

fn decode(bytes: &[u8; SIZE]) -> Attributes {
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    Attributes {
        size: word(0),
        policy: word(4),
        flags: long(8),
        nice: word(16) as i32,
        priority: word(20),
        runtime: long(24),
        deadline: long(32),
        period: long(40),
        utilization_min: word(48),
        utilization_max: word(52),
    }
}

/// The parameters that `attributes` ask for, given the present ones.
fn requested(attributes: &Attributes, old: Parameters) -> Result<Parameters> {
    if attributes.flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let keeps = |flag| attributes.flags & flag != 0;
    let kind = if keeps(KEEP_POLICY) { old.discipline } else { discipline(attributes.policy)? };
    let reset_on_fork = keeps(RESET_ON_FORK) || keeps(KEEP_POLICY) && old.reset_on_fork;
    let keeps_parameters = keeps(KEEP_PARAMS);
    let attributes = &if keeps_parameters { kept(attributes, &old) } else { *attributes };
    let mut new = Parameters { discipline: kind, reset_on_fork, ..old };
    let priority = i32::try_from(attributes.priority).map_err(|_| Errno::EINVAL)?;
    new.priority = check_priority(kind, priority)?;
    new.reservation = Reservation::default();
    if kind == Discipline::Deadline {
        new.reservation = reservation(attributes)?;
    } else if !kind.is_real_time() {
        new.nice = Nice::clamped(attributes.nice);
        new.slice = match attributes.runtime {
            0 => Nanos::ZERO,
            runtime => Nanos(runtime.clamp(SHORTEST_SLICE, LONGEST_SLICE)),
        };
    }
    // Linux checks what it would be, and then keeps the policy along with its parameters.
    Ok(if keeps_parameters { Parameters { reset_on_fork, ..old } } else { new })
}

/// What is asked for with `SCHED_FLAG_KEEP_PARAMS`: those parameters stay that the thread's present discipline uses. Whether
/// they make sense for the new one remains to be seen.
fn kept(attributes: &Attributes, old: &Parameters) -> Attributes {
    let priority = u32::from(old.priority);
    match old.discipline {
        Discipline::Deadline => Attributes {
            priority,
            runtime: old.reservation.runtime.0,
            deadline: old.reservation.deadline.0,
            period: old.reservation.period.0,
            ..*attributes
        },
        Discipline::Fifo | Discipline::RoundRobin => Attributes { priority, ..*attributes },
        Discipline::Normal | Discipline::Batch | Discipline::Idle => {
            Attributes { nice: old.nice.get(), runtime: old.slice.0, ..*attributes }
        }
    }
}

/// The reservation that `attributes` ask for, if it makes sense (sched(7), "Deadline scheduling").
fn reservation(attributes: &Attributes) -> Result<Reservation> {
    let Attributes { runtime, deadline, period, .. } = *attributes;
    let period = if period == 0 { deadline } else { period };
    let ordered = runtime <= deadline && deadline <= period;
    let (shortest, longest) = limits::deadline_periods();
    // Linux sees fewer than 1024 ns as none, and times with the highest bit as a mistake.
    let in_range = runtime >= SHORTEST_RUNTIME
        && (shortest.0..=longest.0).contains(&period)
        && deadline < 1 << 63;
    if !ordered || !in_range {
        return Err(Errno::EINVAL);
    }
    Ok(Reservation { runtime: Nanos(runtime), deadline: Nanos(deadline), period: Nanos(period) })
}

pub(super) fn sched_getattr(
    caller: &mut Caller<'_>,
    tid: i32,
    attributes: UserAddr,
    size: u32,
    flags: u32,
) -> Result {
    let size = size as usize;
    let valid = !attributes.is_null() && tid >= 0 && flags == 0;
    if !valid || !(FIRST_SIZE..=LARGEST_SIZE).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let parameters = find(caller, tid)?.scheduling.task.parameters();
    let known = size.min(SIZE);
    let reserves = parameters.discipline == Discipline::Deadline;
    let is_fair = !parameters.discipline.is_real_time() && !reserves;
    let reservation = parameters.reservation;
    let found = Attributes {
        size: known as u32,
        policy: policy_number(parameters.discipline),
        flags: if parameters.reset_on_fork { RESET_ON_FORK } else { 0 },
        nice: if is_fair { parameters.nice.get() } else { 0 },
        priority: u32::from(parameters.priority),
        runtime: if is_fair { parameters.slice.0 } else { reservation.runtime.0 },
        deadline: reservation.deadline.0,
        period: reservation.period.0,
        ..Attributes::default()
    };
    user::write_bytes(attributes, &encode(&found)[..known])?;
    Ok(0)
}

fn encode(attributes: &Attributes) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[0..4].copy_from_slice(&attributes.size.to_le_bytes());
    bytes[4..8].copy_from_slice(&attributes.policy.to_le_bytes());
    bytes[8..16].copy_from_slice(&attributes.flags.to_le_bytes());
    bytes[16..20].copy_from_slice(&attributes.nice.to_le_bytes());
    bytes[20..24].copy_from_slice(&attributes.priority.to_le_bytes());
    bytes[24..32].copy_from_slice(&attributes.runtime.to_le_bytes());
    bytes[32..40].copy_from_slice(&attributes.deadline.to_le_bytes());
    bytes[40..48].copy_from_slice(&attributes.period.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use sched::Discipline;

    use super::*;

    #[test]
    fn attributes_become_parameters() {
        let attributes = Attributes { policy: 2, priority: 7, flags: 1, ..Attributes::default() };
        let new = requested(&attributes, Parameters::DEFAULT).expect("valid");
        assert_eq!((new.discipline, new.priority), (Discipline::RoundRobin, 7));
        assert!(new.reset_on_fork);
        let slice = Attributes { runtime: 5, nice: -30, ..Attributes::default() };
        let new = requested(&slice, Parameters::DEFAULT).expect("valid");
        assert_eq!((new.slice, new.nice), (Nanos(SHORTEST_SLICE), Nice::MIN));
    }

    #[test]
    fn a_reservation_is_ordered_and_in_range() {
        let asked = |runtime, deadline, period| {
            let attributes =
                Attributes { policy: 6, runtime, deadline, period, ..Attributes::default() };
            requested(&attributes, Parameters::DEFAULT).map(|new| new.reservation)
        };
        let millis = |count: u64| count * 1_000_000;
        let reserved = asked(millis(1), millis(5), 0).expect("valid");
        assert_eq!((reserved.deadline, reserved.period), (Nanos(millis(5)), Nanos(millis(5))));
        assert!(asked(millis(6), millis(5), millis(10)).is_err());
        assert!(asked(millis(1), millis(11), millis(10)).is_err());
        assert!(asked(1023, millis(1), millis(10)).is_err());
        assert!(asked(millis(1), millis(5), millis(100_000)).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |attributes| requested(&attributes, Parameters::DEFAULT).is_err();
        assert!(refused(Attributes { policy: 1, ..Attributes::default() }));
        assert!(refused(Attributes { policy: 0, priority: 1, ..Attributes::default() }));
        assert!(refused(Attributes { flags: 1 << 40, ..Attributes::default() }));
        assert!(refused(Attributes { policy: 9, ..Attributes::default() }));
    }

    #[test]
    fn kept_parameters_are_checked_against_the_new_policy() {
        let keep = |policy| Attributes { policy, flags: KEEP_PARAMS, ..Attributes::default() };
        let fair =
            Parameters { nice: Nice::clamped(5), slice: Nanos(500_000), ..Parameters::DEFAULT };
        for policy in [abi::SCHED_FIFO, abi::SCHED_RR, abi::SCHED_DEADLINE] {
            assert_eq!(requested(&keep(policy), fair), Err(Errno::EINVAL), "policy {policy}");
        }
        let batch = requested(&keep(abi::SCHED_BATCH), fair).expect("valid");
        assert_eq!((batch.nice, batch.slice), (fair.nice, fair.slice));
        let fifo = Parameters { discipline: Discipline::Fifo, priority: 9, ..fair };
        assert_eq!(requested(&keep(abi::SCHED_NORMAL), fifo), Err(Errno::EINVAL));
        assert_eq!(requested(&keep(abi::SCHED_RR), fifo), Ok(fifo));
    }

    #[test]
    fn the_layout_is_that_of_the_abi() {
        let attributes = Attributes { size: 56, policy: 1, priority: 9, ..Attributes::default() };
        let decoded = decode(&encode(&attributes));
        assert_eq!((decoded.size, decoded.policy, decoded.priority), (56, 1, 9));
    }
}
