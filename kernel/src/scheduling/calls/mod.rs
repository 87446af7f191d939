//! The scheduling system calls (sched(7)).

mod affinity;
mod attributes;
mod parameters;
mod priority;

use alloc::sync::Arc;

use affinity::{getcpu, sched_getaffinity, sched_setaffinity};
use arch::addr::UserAddr;
use arch::{clock, preempt};
use attributes::{sched_getattr, sched_setattr};
use parameters::{
    sched_get_priority_max, sched_get_priority_min, sched_getparam, sched_getscheduler,
    sched_rr_get_interval, sched_setparam, sched_setscheduler,
};
use priority::{getpriority, setpriority};
use sched::{Discipline, Nice, Overcommitted, Parameters};

use super::cpus::scheduler;
use super::preemption::{carry_out, yield_now};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{Capability, Resource, Thread, Tid, table};
use crate::time::Timespec;

/// This area's system calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(24, sched_yield()),
    syscall!(140, getpriority(which: i32, who: i32)),
    syscall!(141, setpriority(which: i32, who: i32, nice: i32)),
    syscall!(142, sched_setparam(tid: i32, parameters: UserPtr<i32>)),
    syscall!(143, sched_getparam(tid: i32, parameters: UserPtr<i32>)),
    syscall!(144, sched_setscheduler(tid: i32, policy: i32, parameters: UserPtr<i32>)),
    syscall!(145, sched_getscheduler(tid: i32)),
    syscall!(146, sched_get_priority_max(policy: i32)),
    syscall!(147, sched_get_priority_min(policy: i32)),
    syscall!(148, sched_rr_get_interval(tid: i32, interval: UserPtr<Timespec>)),
    syscall!(203, sched_setaffinity(tid: i32, bytes: u32, mask: UserAddr)),
    syscall!(204, sched_getaffinity(tid: i32, bytes: u32, mask: UserAddr)),
    syscall!(309, getcpu(cpu: UserPtr<u32>, node: UserPtr<u32>, cache: UserAddr)),
    syscall!(314, sched_setattr(tid: i32, attributes: UserAddr, flags: u32)),
    syscall!(315, sched_getattr(tid: i32, attributes: UserAddr, size: u32, flags: u32)),
];

fn sched_yield(_caller: &mut Caller<'_>) -> Result {
    yield_now();
    Ok(0)
}

/// The thread that `tid` names; 0 is the caller.
fn find(caller: &Caller<'_>, tid: i32) -> Result<Arc<Thread>> {
    match tid {
        0 => Ok(Arc::clone(caller.thread)),
        1.. => Tid::from_argument(tid).and_then(table::find_thread).ok_or(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// As [`find`], for calls that know negative numbers as nobody's, not as a mistake of another kind.
fn find_any(caller: &Caller<'_>, tid: i32) -> Result<Arc<Thread>> {
    find(caller, tid).map_err(|_| Errno::ESRCH)
}

/// Whether the caller is the target's owner, or privileged.
fn may_change(caller: &Caller<'_>, target: &Thread) -> Result<()> {
    let (own, its) = (caller.thread.credentials(), target.credentials());
    let owns = [its.user.effective, its.user.real].contains(&own.user.effective);
    if owns || own.has(Capability::SysNice) { Ok(()) } else { Err(Errno::EPERM) }
}

/// What a caller may do to another thread's parameters (sched(7), "Privileges and resource limits").
#[derive(Clone, Copy, Debug)]
struct Rights {
    is_privileged: bool,
    /// The lowest nice value that may be asked for.
    nice_floor: i64,
    /// The highest real-time priority that may be asked for.
    priority_ceiling: u64,
}

impl Rights {
    /// Those of the caller over `target`.
    ///
    /// # Errors
    /// `EPERM` if it is neither its owner nor privileged.
    fn over(caller: &Caller<'_>, target: &Thread) -> Result<Self> {
        may_change(caller, target)?;
        Ok(Self::of(caller, target))
    }

    /// Those of the caller over `target`, to which it may do something.
    fn of(caller: &Caller<'_>, target: &Thread) -> Self {
        let limit = |resource| target.process().limit(resource);
        Self {
            is_privileged: caller.thread.credentials().has(Capability::SysNice),
            nice_floor: 20_i64.saturating_sub_unsigned(limit(Resource::Nice)),
            priority_ceiling: limit(Resource::RealTimePriority),
        }
    }

    /// Whether `nice` may be asked for by who has a higher value.
    fn may_be_nice(&self, nice: Nice) -> bool {
        self.is_privileged || i64::from(nice.get()) >= self.nice_floor
    }

    /// Checks that a thread with parameters `old` may get the parameters `new`.
    fn check(&self, old: &Parameters, new: &Parameters) -> Result<()> {
        if self.is_privileged {
            return Ok(());
        }
        let lowers_nice = new.nice < old.nice && !self.may_be_nice(new.nice);
        let reserves = new.discipline == Discipline::Deadline;
        let raises_priority = new.discipline.is_real_time()
            && (new.discipline != old.discipline && self.priority_ceiling == 0
                || new.priority > old.priority && u64::from(new.priority) > self.priority_ceiling);
        // `SCHED_IDLE` counts as less than every nice value.
        let leaves_idle = old.discipline == Discipline::Idle
            && new.discipline != Discipline::Idle
            && !self.may_be_nice(old.nice);
        let clears_reset = old.reset_on_fork && !new.reset_on_fork;
        if lowers_nice || reserves || raises_priority || leaves_idle || clears_reset {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }
}

impl From<Overcommitted> for Errno {
    fn from(_: Overcommitted) -> Self {
        Self::EBUSY
    }
}

/// Gives `target` the parameters that `change` makes of its present ones, with effect at once wherever it runs. `change` is
/// called with a lock held: it checks and computes, no more.
///
/// # Errors
/// What `change` says; `EPERM` for a reservation by a thread that may not run on every CPU, `EBUSY` for one that there is no
/// room for.
fn apply(
    target: &Arc<Thread>,
    change: impl FnOnce(Parameters) -> Result<Parameters>,
) -> Result<()> {
    let online = scheduler().online();
    let checked = |old| {
        let new = change(old)?;
        let allowed = target.scheduling.task.affinity();
        if new.discipline == Discipline::Deadline && allowed.and(&online) != online {
            return Err(Errno::EPERM);
        }
        Ok(new)
    };
    preempt::disable();
    let here = arch::current_cpu();
    let outcome = scheduler().change_parameters(target, checked, clock::now(), here);
    let outcome = outcome.map(carry_out);
    preempt::enable();
    if outcome.is_ok() {
        crate::futex::reorder(target);
    }
    outcome
}
