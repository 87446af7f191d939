//! `/proc/PID/status`: what `stat` says, and more, for people.

use alloc::vec::Vec;

use super::super::name::try_copy;
use super::super::pseudo::Output;
use super::process::{thread_count, usage};
use super::subject::{Scope, Task};
use crate::errno::Result;
use crate::scheduling::ThreadState;
use crate::signal::{Handler, SignalSet};
use crate::task::{Credentials, Ids, family};

/// The letter of the state; `Z` for a zombie.
pub fn state_letter(task: &Task) -> char {
    match task.live_thread() {
        // The parent is told of a stop before the last thread sleeps, and may look at once.
        Ok(_) if task.process.signals().is_stopped() => ThreadState::Stopped.letter(),
        Ok(thread) => thread.scheduling.state().letter(),
        // The last thread has left, and still takes the process apart.
        Err(_) if !task.process.has_ended() => ThreadState::Running.letter(),
        Err(_) => 'Z',
    }
}

fn state_name(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "disk sleep",
        'T' => "stopped",
        't' => "tracing stop",
        'Z' => "zombie",
        _ => "dead",
    }
}

/// Signal sets as bits, signal 1 lowest.
#[derive(Default)]
pub struct Signals {
    /// Pending for the thread.
    pub pending: u64,
    /// Pending for the process.
    pub shared: u64,
    /// Blocked by the thread.
    pub blocked: u64,
    /// Ignored.
    pub ignored: u64,
    /// Handled.
    pub caught: u64,
    /// How many are queued for the user, and how many may be.
    pub queued: (u64, u64),
}

impl Signals {
    /// The sets now.
    pub fn of(task: &Task) -> Self {
        let thread = task.live_thread().ok();
        let signals = task.process.signals();
        let actions = signals.actions.snapshot();
        let bits = SignalSet::bits;
        let own = thread.as_deref().map(|thread| signals.of(thread));
        Self {
            pending: own.map_or(0, |own| bits(own.pending.set())),
            shared: bits(signals.pending.set()),
            blocked: own.map_or(0, |own| bits(own.blocked)),
            ignored: bits(actions.with_handler(|handler| handler == Handler::Ignore)),
            caught: bits(actions.with_handler(|handler| matches!(handler, Handler::Catch(_)))),
            queued: (signals.account.signals(), signals.queue_limit),
        }
    }
}

/// The name of a process without threads: that of its program.
pub fn name_of_zombie(task: &Task) -> Result<Vec<u8>> {
    const LONGEST: usize = 15;
    let Some(program) = task.process.image().executable.clone() else { return Ok(Vec::new()) };
    program.dentry.with_place(|_, name| try_copy(&name[..name.len().min(LONGEST)]))
}

/// All lines.
pub fn lines(task: &Task, out: &mut Output) -> Result<()> {
    identity(task, out)?;
    memory(task, out)?;
    let signals = Signals::of(task);
    writeln!(out, "Threads:\t{}", thread_count(task).max(1))?;
    writeln!(out, "SigQ:\t{}/{}", signals.queued.0, signals.queued.1)?;
    writeln!(out, "SigPnd:\t{:016x}", signals.pending)?;
    writeln!(out, "ShdPnd:\t{:016x}", signals.shared)?;
    writeln!(out, "SigBlk:\t{:016x}", signals.blocked)?;
    writeln!(out, "SigIgn:\t{:016x}", signals.ignored)?;
    writeln!(out, "SigCgt:\t{:016x}", signals.caught)?;
    capabilities(&task.process.credentials(), out)?;
    scheduling(task, out)
}

fn identity(task: &Task, out: &mut Output) -> Result<()> {
    let thread = task.live_thread().ok();
    out.bytes(b"Name:\t")?;
    match &thread {
        Some(thread) => out.bytes(thread.name().as_bytes())?,
        None => out.bytes(&name_of_zombie(task)?)?,
    }
    let umask = thread.as_ref().and_then(|thread| thread.try_fs()).map_or(0o022, |fs| fs.umask());
    writeln!(out, "\nUmask:\t{umask:04o}")?;
    let letter = state_letter(task);
    writeln!(out, "State:\t{letter} ({})", state_name(letter))?;
    let parent = {
        let family = family::lock();
        task.process.parent(&family).map_or(0, |parent| parent.pid().as_u32())
    };
    writeln!(out, "Tgid:\t{}\nNgid:\t0\nPid:\t{}", task.process.pid(), task.id())?;
    writeln!(out, "PPid:\t{parent}\nTracerPid:\t0")?;
    let credentials = match (&thread, task.scope) {
        (Some(thread), Scope::Thread) => thread.credentials(),
        _ => task.process.credentials(),
    };
    let ids = |out: &mut Output, label: &str, ids: &Ids| {
        let Ids { real, effective, saved, file_system } = *ids;
        writeln!(out, "{label}:\t{real}\t{effective}\t{saved}\t{file_system}")
    };
    ids(out, "Uid", &credentials.user)?;
    ids(out, "Gid", &credentials.group)?;
    let descriptors = thread.as_ref().and_then(|thread| thread.try_files());
    writeln!(out, "FDSize:\t{}", descriptors.map_or(0, |files| files.capacity()))?;
    write!(out, "Groups:\t")?;
    for group in credentials.groups.iter() {
        write!(out, "{group} ")?;
    }
    out.bytes(b"\n")?;
    writeln!(out, "NStgid:\t{}\nNSpid:\t{}", task.process.pid(), task.id())
}

/// The lines about memory, which kernel threads and zombies lack.
fn memory(task: &Task, out: &mut Output) -> Result<()> {
    const KIB: u64 = 1024;
    const PAGE_KIB: u64 = arch::addr::PAGE_SIZE as u64 / KIB;
    let Some(space) = task.process.space() else { return Ok(()) };
    let usage = space.usage();
    let tables = space.table_frames() * PAGE_KIB;
    let image = task.process.image();
    let code = (image.code.end.saturating_sub(image.code.start)) / KIB;
    let anonymous = usage.resident.saturating_sub(usage.shared);
    for (label, kib) in [
        ("VmPeak", usage.peak_mapped / KIB),
        ("VmSize", usage.mapped / KIB),
        ("VmLck", usage.locked / KIB),
        ("VmPin", 0),
        ("VmHWM", usage.peak_resident * PAGE_KIB),
        ("VmRSS", usage.resident * PAGE_KIB),
        ("RssAnon", anonymous * PAGE_KIB),
        ("RssFile", 0),
        ("RssShmem", usage.shared * PAGE_KIB),
        ("VmData", usage.data / KIB),
        ("VmStk", usage.stack / KIB),
        ("VmExe", code),
        ("VmLib", (usage.executable / KIB).saturating_sub(code)),
        ("VmPTE", tables),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        writeln!(out, "{label}:\t{kib:8} kB")?;
    }
    let is_dumping = task.process.signals().dump.is_some();
    writeln!(out, "CoreDumping:\t{}\nTHP_enabled:\t1", u8::from(is_dumping))
}

fn capabilities(credentials: &Credentials, out: &mut Output) -> Result<()> {
    for (label, set) in [
        ("CapInh", credentials.inheritable),
        ("CapPrm", credentials.permitted),
        ("CapEff", credentials.effective),
        ("CapBnd", credentials.bounding),
        ("CapAmb", credentials.ambient),
    ] {
        writeln!(out, "{label}:\t{:016x}", set.0)?;
    }
    Ok(())
}

fn scheduling(task: &Task, out: &mut Output) -> Result<()> {
    let thread = task.live_thread().ok();
    let no_new = thread.as_ref().is_some_and(|thread| thread.has_no_new_privileges());
    writeln!(out, "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0", u8::from(no_new))?;
    if let Some(thread) = &thread {
        let allowed = thread.scheduling.task.affinity();
        let cpus = arch::cpu_count();
        write!(out, "Cpus_allowed:\t")?;
        super::hardware::write_mask(out, &allowed, cpus)?;
        write!(out, "\nCpus_allowed_list:\t")?;
        super::hardware::write_list(out, &allowed, cpus)?;
        writeln!(out, "\nMems_allowed:\t1\nMems_allowed_list:\t0")?;
    }
    let used = usage(task);
    writeln!(out, "voluntary_ctxt_switches:\t{}", used.voluntary_switches)?;
    writeln!(out, "nonvoluntary_ctxt_switches:\t{}", used.involuntary_switches)
}
