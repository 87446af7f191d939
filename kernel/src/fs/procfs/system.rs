//! `/proc/sys` and `/proc/version`.

use arch::sync::atomic::{AtomicU64, Ordering};
use spin::Once;

use super::super::DESCRIPTORS_MAX;
use super::super::pseudo::{Entry, Output, parse_number};
use super::subject::System;
use super::{memory, scheduler};
use crate::coredump::{pattern, pipe};
use crate::errno::{Errno, Result};
use crate::exec::randomisation;
use crate::task::{self, Capability, ID_LIMIT};

/// The tree.
pub static ENTRIES: &[Entry<System>] =
    &[Entry::directory("fs", FS), Entry::directory("kernel", KERNEL), Entry::directory("vm", VM)];

static FS: &[Entry<System>] = &[
    Entry::file("file-max", |_, out| writeln!(out, "{}", i64::MAX)),
    Entry::file("nr_open", |_, out| writeln!(out, "{DESCRIPTORS_MAX}")),
    Entry::file("pipe-max-size", |_, out| writeln!(out, "{}", PIPE_SIZE_MAX)),
    Entry::file("suid_dumpable", |_, out| writeln!(out, "0")),
];

/// What an unprivileged process may enlarge a pipe to, in bytes.
const PIPE_SIZE_MAX: usize = 1 << 20;

static KERNEL: &[Entry<System>] = &[
    Entry::file("cap_last_cap", |_, out| writeln!(out, "{}", linux_raw_sys::general::CAP_LAST_CAP)),
    Entry::writable("core_pattern", core_pattern, |_, text| {
        pattern::set(text);
        Ok(())
    }),
    Entry::writable("core_pipe_limit", core_pipe_limit, set_core_pipe_limit),
    Entry::writable("core_uses_pid", core_uses_pid, set_core_uses_pid),
    Entry::writable("hostname", host_name, set_host_name),
    Entry::file("ngroups_max", |_, out| writeln!(out, "65536")),
    Entry::file("osrelease", |_, out| line(out, task::release())),
    Entry::file("ostype", |_, out| writeln!(out, "Linux")),
    Entry::file("overflowgid", |_, out| writeln!(out, "65534")),
    Entry::file("overflowuid", |_, out| writeln!(out, "65534")),
    Entry::file("panic", |_, out| writeln!(out, "0")),
    Entry::file("pid_max", |_, out| writeln!(out, "{ID_LIMIT}")),
    Entry::directory("random", RANDOM),
    Entry::writable("randomize_va_space", randomisation_level, set_randomisation_level),
    Entry::writable(
        "sched_deadline_period_max_us",
        scheduler::longest_period,
        scheduler::set_longest_period,
    ),
    Entry::writable(
        "sched_deadline_period_min_us",
        scheduler::shortest_period,
        scheduler::set_shortest_period,
    ),
    Entry::writable("sched_policy", scheduler::policy, scheduler::set_policy),
    Entry::file("sched_rr_timeslice_ms", scheduler::round_robin_slice),
    Entry::writable("sched_rt_period_us", scheduler::rt_period, scheduler::set_rt_period),
    Entry::writable("sched_rt_runtime_us", scheduler::rt_runtime, scheduler::set_rt_runtime),
    Entry::writable("sched_watchdog_ms", scheduler::patience, scheduler::set_patience),
    Entry::file("threads-max", |_, out| writeln!(out, "{ID_LIMIT}")),
    Entry::file("version", |_, out| line(out, task::version())),
];

static RANDOM: &[Entry<System>] = &[
    Entry::file("boot_id", |_, out| {
        static BOOT: Once<[u8; 16]> = Once::new();
        write_uuid(out, BOOT.call_once(random_uuid))
    }),
    Entry::file("uuid", |_, out| write_uuid(out, &random_uuid())),
];

static VM: &[Entry<System>] = &[
    Entry::write_only("drop_caches", memory::drop_caches),
    Entry::file("max_map_count", |_, out| writeln!(out, "65530")),
    Entry::file("mmap_min_addr", |_, out| writeln!(out, "65536")),
    Entry::writable("overcommit_memory", overcommit, set_overcommit),
];

fn line(out: &mut Output, text: &[u8]) -> Result<()> {
    out.bytes(text)?;
    out.bytes(b"\n")
}

/// `/proc/version`.
pub fn version_line(_: &System, out: &mut Output) -> Result<()> {
    out.bytes(b"Linux version ")?;
    out.bytes(task::release())?;
    out.bytes(b" (skein) ")?;
    line(out, task::version())
}

fn core_pattern(_: &System, out: &mut Output) -> Result<()> {
    line(out, pattern::current().as_bytes())
}

fn core_pipe_limit(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", pipe::limit())
}

fn set_core_pipe_limit(_: &System, text: &[u8]) -> Result<()> {
    let limit = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    pipe::set_limit(limit);
    Ok(())
}

fn core_uses_pid(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", u8::from(pattern::uses_pid()))
}

fn set_core_uses_pid(_: &System, text: &[u8]) -> Result<()> {
    pattern::set_uses_pid(parse_number(text)? != 0);
    Ok(())
}

fn host_name(_: &System, out: &mut Output) -> Result<()> {
    let (name, length) = task::host_name();
    line(out, &name[..length])
}

fn set_host_name(_: &System, text: &[u8]) -> Result<()> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    task::set_host_name(&text[..end])
}

fn randomisation_level(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", randomisation::level())
}

fn set_randomisation_level(_: &System, text: &[u8]) -> Result<()> {
    let level = u32::try_from(parse_number(text)?).map_err(|_| Errno::EINVAL)?;
    randomisation::set_level(level);
    Ok(())
}

/// Stored for who reads it back: memory is always promised and taken on first use.
static OVERCOMMIT: AtomicU64 = AtomicU64::new(0);

fn overcommit(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", OVERCOMMIT.load(Ordering::Relaxed))
}

fn set_overcommit(_: &System, text: &[u8]) -> Result<()> {
    if !task::current().credentials().has(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let value = parse_number(text)?;
    let value = u64::try_from(value).ok().filter(|value| *value <= 2).ok_or(Errno::EINVAL)?;
    OVERCOMMIT.store(value, Ordering::Relaxed);
    Ok(())
}

/// A random UUID of version 4 (RFC 9562).
fn random_uuid() -> [u8; 16] {
    let entropy = arch::random::entropy();
    let mut uuid: [u8; 16] = core::array::from_fn(|i| entropy[i] ^ entropy[i + 16]);
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

fn write_uuid(out: &mut Output, uuid: &[u8; 16]) -> Result<()> {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.bytes(b"-")?;
        }
        write!(out, "{byte:02x}")?;
    }
    out.bytes(b"\n")
}
