//! `/proc/stat`, `/proc/uptime`, `/proc/loadavg`.

use arch::time::Nanos;

use super::super::pseudo::Output;
use super::subject::System;
use super::ticks;
use crate::cpu::CpuTimes;
use crate::errno::Result;
use crate::task::table;
use crate::{cpu, time};

/// The columns of a `cpu` line, in ticks.
fn write_times(out: &mut Output, label: &str, times: &CpuTimes) -> Result<()> {
    writeln!(
        out,
        "{label} {} {} {} {} 0 {} 0 0 0 0",
        ticks(times.user),
        ticks(times.nice),
        ticks(times.system),
        ticks(times.idle),
        ticks(times.interrupt),
    )
}

fn add(sum: &mut CpuTimes, times: &CpuTimes) {
    sum.user = sum.user + times.user;
    sum.nice = sum.nice + times.nice;
    sum.system = sum.system + times.system;
    sum.idle = sum.idle + times.idle;
    sum.interrupt = sum.interrupt + times.interrupt;
}

/// The lines of `/proc/stat`.
pub fn summary(_: &System, out: &mut Output) -> Result<()> {
    let each = cpu::cpu_times()?;
    let mut sum = CpuTimes::default();
    each.iter().for_each(|(_, times)| add(&mut sum, times));
    write_times(out, "cpu ", &sum)?;
    for (cpu, times) in &each {
        write_times(out, &alloc::format!("cpu{cpu}"), times)?;
    }
    let counts = arch::interrupt_counts();
    let total: u64 = counts.iter().flat_map(|row| &row.counts).sum();
    writeln!(out, "intr {total}")?;
    let boot = time::realtime().saturating_sub(arch::clock::now());
    writeln!(out, "ctxt {}", cpu::context_switches())?;
    writeln!(out, "btime {}", boot.as_secs())?;
    writeln!(out, "processes {}", cpu::forks())?;
    writeln!(out, "procs_running {}", cpu::running_count())?;
    writeln!(out, "procs_blocked {}", cpu::blocked_count())?;
    writeln!(out, "softirq 0 0 0 0 0 0 0 0 0 0 0")
}

/// Seconds since boot, and idle seconds of all CPUs together.
pub fn uptime(_: &System, out: &mut Output) -> Result<()> {
    let idle = cpu::cpu_times()?.iter().fold(Nanos::ZERO, |idle, (_, times)| idle + times.idle);
    let up = arch::clock::now();
    let hundredths = |time: Nanos| time.subsec_nanos() / 10_000_000;
    writeln!(
        out,
        "{}.{:02} {}.{:02}",
        up.as_secs(),
        hundredths(up),
        idle.as_secs(),
        hundredths(idle)
    )
}

/// The load averages, the runnable and all threads, and the newest id.
pub fn load_average(_: &System, out: &mut Output) -> Result<()> {
    for average in cpu::load_averages() {
        // Fixed point, as in sysinfo(2); rounded to hundredths.
        let rounded = average + (1 << cpu::LOAD_SHIFT) / 200;
        let fraction = rounded & ((1 << cpu::LOAD_SHIFT) - 1);
        write!(out, "{}.{:02} ", rounded >> cpu::LOAD_SHIFT, (fraction * 100) >> cpu::LOAD_SHIFT)?;
    }
    let mut threads = 0;
    for process in table::processes()? {
        process.for_each_thread(|_| threads += 1);
    }
    let running = cpu::running_count();
    writeln!(out, "{running}/{threads} {}", table::last_allocated())
}
