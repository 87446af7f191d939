//! The scheduler's files: `/proc/sys/kernel/sched_policy`, `/proc/sched_policy`.

use super::super::pseudo::Output;
use super::subject::System;
use crate::errno::{Errno, Result};
use crate::scheduling::{self, each_counters, policies, scheduler};
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
    if !task::current().credentials().has(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let name = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    scheduling::set_policy(name.trim_matches(['\0', '\n', ' ', '\t']))
}

/// The active policy and its counters: name, unit, values of each CPU, and what they mean.
pub fn policy_counters(_: &System, out: &mut Output) -> Result<()> {
    let kind = scheduler().policy();
    writeln!(out, "policy {}: {}", kind.name, kind.about)?;
    writeln!(out, "slice {} ns", kind.slice.0)?;
    writeln!(out, "replacements {}", scheduler().replacements())?;
    for (index, counter) in kind.counters.iter().enumerate() {
        write!(out, "{} {}", counter.name, counter.unit)?;
        each_counters(|_, values| write!(out, " {}", values.get(index).copied().unwrap_or(0)))?;
        writeln!(out, " # {}", counter.about)?;
    }
    Ok(())
}
