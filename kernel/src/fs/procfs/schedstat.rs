//! Scheduler statistics: `/proc/schedstat`, `/proc/PID/schedstat`, `/proc/PID/sched`
//! (`linux/Documentation/scheduler/sched-stats.rst`, version 15).

use arch::clock;
use sched::{Discipline, Parameters};

use super::super::pseudo::Output;
use super::subject::{System, Task};
use super::ticks;
use crate::errno::Result;
use crate::scheduling::scheduler;

/// The format of `/proc/schedstat` in Linux 6.1.
const VERSION: u32 = 15;

/// A line for each CPU. There are no lines for domains: Skein balances over all CPUs alike.
///
/// Linux counts wake-ups where the waker runs, Skein where the woken task goes to; the sums are the same.
pub fn machine(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "version {VERSION}")?;
    writeln!(out, "timestamp {}", ticks(clock::now()))?;
    for cpu in scheduler().online().iter() {
        let counted = scheduler().statistics(cpu);
        writeln!(
            out,
            "cpu{cpu} {} 0 {} {} {} {} {} {} {}",
            counted.yields,
            counted.calls,
            counted.idled,
            counted.woken,
            counted.woken_locally,
            counted.run_time.0,
            counted.queue_delay.0,
            counted.slices,
        )?;
    }
    Ok(())
}

/// Time on a CPU and time waiting for one, in nanoseconds, and how often it got one.
pub fn thread(task: &Task, out: &mut Output) -> Result<()> {
    let thread = task.live_thread()?;
    let statistics = thread.scheduling.task.statistics();
    writeln!(
        out,
        "{} {} {}",
        thread.scheduling.cpu_time().0,
        statistics.queue_delay.0,
        statistics.slices
    )
}

/// What the scheduler knows of a thread, a name and a value on each line.
pub fn thread_table(task: &Task, out: &mut Output) -> Result<()> {
    let thread = task.live_thread()?;
    let core = &thread.scheduling.task;
    let (statistics, parameters) = (core.statistics(), core.parameters());
    out.bytes(thread.name().as_bytes())?;
    writeln!(out, " ({}, #threads: {})", task.id(), super::process::thread_count(task))?;
    writeln!(out, "{:-<67}", "")?;
    let run_time = thread.scheduling.cpu_time();
    milliseconds(out, "se.sum_exec_runtime", run_time.0)?;
    number(out, "se.nr_migrations", statistics.migrations)?;
    milliseconds(out, "sum_sleep_runtime.wait_sum", statistics.queue_delay.0)?;
    number(out, "wait_count", statistics.slices)?;
    number(out, "nr_wakeups", statistics.wake_ups)?;
    let switches = statistics.voluntary_switches + statistics.involuntary_switches;
    number(out, "nr_switches", switches)?;
    number(out, "nr_voluntary_switches", statistics.voluntary_switches)?;
    number(out, "nr_involuntary_switches", statistics.involuntary_switches)?;
    number(out, "se.load.weight", u64::from(parameters.weight()) << 10)?;
    number(out, "policy", policy_number(parameters.discipline))?;
    writeln!(out, "{:<45}:{:>21}", "prio", kernel_priority(&parameters))?;
    if parameters.discipline == Discipline::Deadline {
        number(out, "dl.runtime", parameters.reservation.runtime.0)?;
        number(out, "dl.deadline", parameters.reservation.deadline.0)?;
    }
    Ok(())
}

fn policy_number(discipline: Discipline) -> u64 {
    match discipline {
        Discipline::Normal => 0,
        Discipline::Fifo => 1,
        Discipline::RoundRobin => 2,
        Discipline::Batch => 3,
        Discipline::Idle => 5,
        Discipline::Deadline => 6,
    }
}

/// Linux's own scale: -1 for deadline threads, 0 to 98 for real-time threads, downwards, and 100 to 139 for nice values.
fn kernel_priority(parameters: &Parameters) -> i64 {
    match parameters.discipline {
        Discipline::Deadline => -1,
        Discipline::Fifo | Discipline::RoundRobin => 99 - i64::from(parameters.priority),
        Discipline::Normal | Discipline::Batch | Discipline::Idle => {
            120 + i64::from(parameters.nice.get())
        }
    }
}

fn number(out: &mut Output, name: &str, value: u64) -> Result<()> {
    writeln!(out, "{name:<45}:{value:>21}")
}

fn milliseconds(out: &mut Output, name: &str, nanoseconds: u64) -> Result<()> {
    let (whole, rest) = (nanoseconds / 1_000_000, nanoseconds % 1_000_000);
    writeln!(out, "{name:<45}:{whole:>14}.{rest:06}")
}
