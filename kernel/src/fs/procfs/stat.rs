//! `/proc/PID/stat` and `/proc/PID/statm`: one line of numbers each.

use arch::addr::PAGE_SIZE;
use linux_raw_sys::general as abi;
use sched::Discipline;

use super::super::pseudo::Output;
use super::process::usage;
use super::status::state_letter;
use super::subject::Task;
use super::ticks;
use crate::errno::Result;
use crate::task::{Resource, Usage, family};

/// What the line takes from the process's memory.
#[derive(Default)]
struct Memory {
    mapped: u64,
    resident: u64,
}

fn memory_of(task: &Task) -> Memory {
    let usage = task.process.space().map(|space| space.usage());
    usage.map_or_else(Memory::default, |usage| Memory {
        mapped: usage.mapped,
        resident: usage.resident,
    })
}

/// Parent, group, session, terminal and the terminal's foreground group.
fn kinship(task: &Task) -> [i64; 5] {
    let family = family::lock();
    let id = |pid: Option<crate::task::Pid>| pid.map_or(0, |pid| i64::from(pid.as_u32()));
    let process = &task.process;
    let session = process.session(&family);
    let terminal = session.as_ref().and_then(|session| session.terminal());
    let parent = id(process.parent(&family).map(|parent| parent.pid()));
    let group = id(process.group(&family).map(|group| group.id()));
    let session = id(session.map(|session| session.id()));
    drop(family);
    let (number, foreground) = match terminal {
        None => (0, -1),
        Some(terminal) => {
            let foreground = terminal.foreground().map_or(-1, |pid| i64::from(pid.as_u32()));
            (terminal.device_number() as i64, foreground)
        }
    };
    [parent, group, session, number, foreground]
}

/// The line of `stat`, field by field in the order of proc(5).
pub fn line(task: &Task, out: &mut Output) -> Result<()> {
    let used = usage(task);
    let children = Usage::of_children(&task.process);
    let memory = memory_of(task);
    let image = task.process.image();
    let thread = task.live_thread().ok();
    let [parent, group, session, terminal, foreground] = kinship(task);
    write!(out, "{} (", task.id())?;
    match &thread {
        Some(thread) => out.bytes(thread.name().as_bytes())?,
        None => out.bytes(&super::status::name_of_zombie(task)?)?,
    }
    write!(out, ") {} {parent} {group} {session} {terminal} {foreground}", state_letter(task))?;
    // flags minflt cminflt majflt cmajflt utime stime cutime cstime
    write!(
        out,
        " {} {} {} {} {} {} {} {} {}",
        if image.executable.is_none() { KERNEL_THREAD } else { 0 },
        used.minor_faults,
        children.minor_faults,
        used.major_faults,
        children.major_faults,
        ticks(used.user),
        ticks(used.system),
        ticks(children.user),
        ticks(children.system),
    )?;
    let scheduling = Scheduling::of(task);
    let threads = super::process::thread_count(task);
    // priority nice num_threads itrealvalue starttime vsize rss rsslim
    write!(
        out,
        " {} {} {threads} 0 {} {} {} {}",
        scheduling.priority,
        scheduling.nice,
        ticks(task.process.started_at()),
        memory.mapped,
        memory.resident,
        task.process.limit(Resource::ResidentSet),
    )?;
    // startcode endcode startstack kstkesp kstkeip
    write!(out, " {} {} {} 0 0", image.code.start, image.code.end, image.stack_start)?;
    // signal blocked sigignore sigcatch wchan nswap cnswap exit_signal processor
    let signals = super::status::Signals::of(task);
    write!(
        out,
        " {} {} {} {} {} 0 0 17 {}",
        signals.pending & OLD_SIGNALS,
        signals.blocked & OLD_SIGNALS,
        signals.ignored & OLD_SIGNALS,
        signals.caught & OLD_SIGNALS,
        u32::from(state_letter(task) != 'R'),
        scheduling.cpu,
    )?;
    // rt_priority policy delayacct_blkio_ticks guest_time cguest_time
    write!(out, " {} {} 0 0 0", scheduling.real_time_priority, scheduling.policy)?;
    // start_data end_data start_brk arg_start arg_end env_start env_end exit_code
    writeln!(
        out,
        " {} {} {} {} {} {} {} {}",
        image.data.start,
        image.data.end,
        image.heap_start,
        image.arguments.start,
        image.arguments.end,
        image.environment.start,
        image.environment.end,
        exit_code(task),
    )
}

/// `PF_KTHREAD`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The first 31 signals are all that this file has room for.
const OLD_SIGNALS: u64 = 0x7fff_ffff;

fn exit_code(task: &Task) -> u32 {
    let family = family::lock();
    task.process.exit_status(&family).map_or(0, |status| status.to_wait_status() as u32)
}

/// How the thread is scheduled.
#[derive(Default)]
struct Scheduling {
    priority: i64,
    nice: i64,
    cpu: usize,
    real_time_priority: u8,
    policy: u32,
}

impl Scheduling {
    fn of(task: &Task) -> Self {
        let Ok(thread) = task.live_thread() else {
            return Self { priority: 20, ..Self::default() };
        };
        let core = &thread.scheduling.task;
        let parameters = core.parameters();
        let nice = i64::from(parameters.nice.get());
        let real_time = parameters.priority;
        Self {
            priority: match parameters.discipline {
                Discipline::Deadline => -101,
                Discipline::Fifo | Discipline::RoundRobin => -1 - i64::from(real_time),
                Discipline::Normal | Discipline::Batch | Discipline::Idle => 20 + nice,
            },
            nice,
            cpu: core.cpu().index(),
            real_time_priority: real_time,
            policy: match parameters.discipline {
                Discipline::Normal => abi::SCHED_NORMAL,
                Discipline::Fifo => abi::SCHED_FIFO,
                Discipline::RoundRobin => abi::SCHED_RR,
                Discipline::Batch => abi::SCHED_BATCH,
                Discipline::Idle => abi::SCHED_IDLE,
                Discipline::Deadline => abi::SCHED_DEADLINE,
            },
        }
    }
}

/// `statm`: sizes in pages.
pub fn memory(task: &Task, out: &mut Output) -> Result<()> {
    let usage = task.process.space().map(|space| space.usage()).unwrap_or_default();
    let image = task.process.image();
    let pages = |bytes: u64| bytes.div_ceil(PAGE_SIZE as u64);
    writeln!(
        out,
        "{} {} {} {} 0 {} 0",
        pages(usage.mapped),
        usage.resident,
        usage.shared,
        pages(image.code.end.saturating_sub(image.code.start)),
        pages(usage.data + usage.stack),
    )
}
