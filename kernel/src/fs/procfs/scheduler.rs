//! The scheduler's files: `/proc/sys/kernel/sched_*`, `/proc/sched_policy`.

use arch::time::Nanos;
use sched::RealTimeLimit;

use super::super::pseudo::{Output, parse_number};
use super::subject::System;
use crate::errno::{Errno, Result};
use crate::scheduling::{self, each_counters, limits, policies, scheduler};
use crate::task::{self, Capability};

/// The policies of the fair class by name, the active one in brackets.
pub fn policy(_: &System, out: &mut Output) -> Result<()> {
    let active = scheduler().policy().name;
    for (index, kind) in policies().enumerate() {
        let blank = if index == 0 { "" } else { " " };
        match kind.name {
            name if name == active => write!(out, "{blank}[{name}]")?,
            name => write!(out, "{blank}{name}")?,
        }
    }
    out.bytes(b"\n")
}

/// Changes the policy of the fair class.
pub fn set_policy(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let name = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    scheduling::set_policy(name.trim_matches(['\0', '\n', ' ', '\t']))
}

/// The active policy and its counters: name, unit, values of each CPU, and what they mean.
pub fn policy_counters(_: &System, out: &mut Output) -> Result<()> {
    let kind = scheduler().policy();
    writeln!(out, "policy {}: {}", kind.name, kind.about)?;
    writeln!(out, "slice {} ns", kind.slice.0)?;
    writeln!(out, "replacements {}", scheduler().replacements())?;
    writeln!(out, "evictions {}", scheduling::evictions())?;
    write!(out, "idle_while_waiting ns")?;
    for cpu in scheduler().online().iter() {
        write!(out, " {}", scheduler().statistics(cpu).idle_while_waiting.0)?;
    }
    writeln!(out, " # time that a CPU idled although the task that it ran next was waiting")?;
    for (index, counter) in kind.counters.iter().enumerate() {
        write!(out, "{} {}", counter.name, counter.unit)?;
        each_counters(|_, values| write!(out, " {}", values.get(index).copied().unwrap_or(0)))?;
        writeln!(out, " # {}", counter.about)?;
    }
    Ok(())
}

/// How long a task may wait at nice 0 until its policy is evicted, in milliseconds; 0 for ever.
pub fn patience(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", scheduling::patience().0 / 1_000_000)
}

/// Changes what [`patience`] shows.
pub fn set_patience(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let value = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    scheduling::set_patience(Nanos::from_millis(u64::from(value)));
    Ok(())
}

/// How long a `SCHED_RR` thread's turn is.
pub fn round_robin_slice(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", sched::REAL_TIME_SLICE.0 / 1_000_000)
}

/// The period of real-time throttling.
pub fn rt_period(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", scheduler().real_time_limit().period.0 / 1000)
}

/// Changes what [`rt_period`] shows.
pub fn set_rt_period(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let micros = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    let period = Nanos::from_micros(u64::from(micros));
    limits::set_real_time(RealTimeLimit { period, ..scheduler().real_time_limit() })
}

/// What real-time threads may take of each period; -1 for all of it.
pub fn rt_runtime(_: &System, out: &mut Output) -> Result<()> {
    match scheduler().real_time_limit().runtime {
        Some(runtime) => writeln!(out, "{}", runtime.0 / 1000),
        None => writeln!(out, "-1"),
    }
}

/// Changes what [`rt_runtime`] shows.
pub fn set_rt_runtime(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let runtime = match i32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)? {
        -1 => None,
        micros => {
            let micros = u64::try_from(micros).map_err(|_| Errno::EINVAL)?;
            Some(Nanos::from_micros(micros))
        }
    };
    limits::set_real_time(RealTimeLimit { runtime, ..scheduler().real_time_limit() })
}

/// The longest period that a deadline thread may ask for.
pub fn longest_period(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", limits::deadline_periods().1.0 / 1000)
}

/// Changes what [`longest_period`] shows.
pub fn set_longest_period(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let micros = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    limits::set_deadline_periods(limits::deadline_periods().0, Nanos::from_micros(micros.into()))
}

/// The shortest period that a deadline thread may ask for.
pub fn shortest_period(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", limits::deadline_periods().0.0 / 1000)
}

/// Changes what [`shortest_period`] shows.
pub fn set_shortest_period(_: &System, text: &[u8]) -> Result<()> {
    require_administrator()?;
    let micros = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    limits::set_deadline_periods(Nanos::from_micros(micros.into()), limits::deadline_periods().1)
}

fn require_administrator() -> Result<()> {
    let privileged = task::current().credentials().has(Capability::SysAdmin);
    if privileged { Ok(()) } else { Err(Errno::EPERM) }
}
