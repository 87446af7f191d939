//! `/proc/PID/limits`: the resource limits.

use super::super::pseudo::Output;
use super::subject::Task;
use crate::errno::Result;
use crate::task::{INFINITY, Resource};

/// Each limit with its name and unit, in Linux's order.
const ROWS: [(&str, Resource, &str); 16] = [
    ("Max cpu time", Resource::Cpu, "seconds"),
    ("Max file size", Resource::FileSize, "bytes"),
    ("Max data size", Resource::Data, "bytes"),
    ("Max stack size", Resource::Stack, "bytes"),
    ("Max core file size", Resource::Core, "bytes"),
    ("Max resident set", Resource::ResidentSet, "bytes"),
    ("Max processes", Resource::Processes, "processes"),
    ("Max open files", Resource::OpenFiles, "files"),
    ("Max locked memory", Resource::LockedMemory, "bytes"),
    ("Max address space", Resource::AddressSpace, "bytes"),
    ("Max file locks", Resource::Locks, "locks"),
    ("Max pending signals", Resource::PendingSignals, "signals"),
    ("Max msgqueue size", Resource::MessageQueues, "bytes"),
    ("Max nice priority", Resource::Nice, ""),
    ("Max realtime priority", Resource::RealTimePriority, ""),
    ("Max realtime timeout", Resource::RealTimeTime, "us"),
];

/// The table.
pub fn table(task: &Task, out: &mut Output) -> Result<()> {
    writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units")?;
    let limits = task.process.limits();
    for (name, resource, unit) in ROWS {
        let limit = limits.get(resource);
        write!(out, "{name:<25} ")?;
        for value in [limit.soft, limit.hard] {
            if value == INFINITY {
                write!(out, "{:<20} ", "unlimited")?;
            } else {
                write!(out, "{value:<20} ")?;
            }
        }
        if unit.is_empty() {
            out.bytes(b"\n")?;
        } else {
            writeln!(out, "{unit:<10}")?;
        }
    }
    Ok(())
}
