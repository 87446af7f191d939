//! The directories `/proc/PID` and `/proc/PID/task/TID`, and their small files.

use alloc::sync::Arc;
use core::ops::Range;

use arch::addr::UserAddr;

use super::super::inode::{Inode, LinkTarget};
use super::super::metadata::{FileType, Metadata};
use super::super::pseudo::{Entry, Node, Output, PseudoInode, parse_number};
use super::number_directory::{NumberDirectory, Numbered};
use super::subject::{Scope, Task};
use super::{descriptors, limits, maps, mounts, schedstat, smaps, stat, status};
use crate::errno::{Errno, Result};
use crate::task::{Name, Tid, Usage};

/// The table of `/proc/PID`.
pub static DIRECTORY: Node<Task> = Node::Directory(&[
    Entry::file("cgroup", |_, out| writeln!(out, "0::/")),
    Entry::file("cmdline", command_line),
    Entry::writable("comm", name, set_name),
    Entry::writable("coredump_filter", core_filter, set_core_filter),
    Entry::link("cwd", working_directory),
    Entry::private("environ", environment),
    Entry::link("exe", executable),
    Entry::other("fd", descriptors::links),
    Entry::other("fdinfo", descriptors::information),
    Entry::private("io", input_output),
    Entry::file("limits", limits::table),
    Entry::file("maps", maps::areas),
    Entry::file("smaps", smaps::areas),
    Entry::file("smaps_rollup", smaps::rollup),
    Entry::file("mountinfo", mounts::information),
    Entry::file("mounts", mounts::table),
    Entry::writable("oom_score_adj", adjustment, set_adjustment),
    Entry::file("oom_score", points),
    Entry::link("root", root),
    Entry::file("sched", schedstat::thread_table),
    Entry::file("schedstat", schedstat::thread),
    Entry::file("stat", stat::line),
    Entry::file("statm", stat::memory),
    Entry::file("status", status::lines),
    Entry::other("task", |task| Arc::new(NumberDirectory(Threads { task: task.clone() }))),
    Entry::file("wchan", |_, out| write!(out, "0")),
]);

/// The table of `/proc/PID/task/TID`.
static THREAD: Node<Task> = Node::Directory(&[
    Entry::file("cgroup", |_, out| writeln!(out, "0::/")),
    Entry::file("cmdline", command_line),
    Entry::writable("comm", name, set_name),
    Entry::link("cwd", working_directory),
    Entry::private("environ", environment),
    Entry::link("exe", executable),
    Entry::other("fd", descriptors::links),
    Entry::other("fdinfo", descriptors::information),
    Entry::private("io", input_output),
    Entry::file("limits", limits::table),
    Entry::file("maps", maps::areas),
    Entry::file("smaps", smaps::areas),
    Entry::file("smaps_rollup", smaps::rollup),
    Entry::file("mountinfo", mounts::information),
    Entry::file("mounts", mounts::table),
    Entry::writable("oom_score_adj", adjustment, set_adjustment),
    Entry::link("root", root),
    Entry::file("sched", schedstat::thread_table),
    Entry::file("schedstat", schedstat::thread),
    Entry::file("stat", stat::line),
    Entry::file("statm", stat::memory),
    Entry::file("status", status::lines),
    Entry::file("wchan", |_, out| write!(out, "0")),
]);

/// The threads of a process.
struct Threads {
    task: Task,
}

impl Numbered for Threads {
    fn metadata(&self) -> Metadata {
        let directory = PseudoInode::new(self.task.clone(), &DIRECTORY).metadata();
        Metadata { inode: directory.inode ^ 2, ..directory }
    }

    fn is_alive(&self) -> bool {
        use super::super::pseudo::Subject;
        self.task.is_alive()
    }

    fn entry_type(&self) -> FileType {
        FileType::Directory
    }

    fn next(&self, from: u32) -> Option<u32> {
        self.task.process.thread_from(Tid::new(from)).map(|thread| thread.tid().as_u32())
    }

    fn open(&self, number: u32) -> Result<Arc<dyn Inode>> {
        let thread = crate::task::table::find_thread(Tid::new(number)).ok_or(Errno::ENOENT)?;
        if !Arc::ptr_eq(thread.process(), &self.task.process) {
            return Err(Errno::ENOENT);
        }
        Ok(PseudoInode::new(Task::of_thread(thread), &THREAD))
    }
}

fn name(task: &Task, out: &mut Output) -> Result<()> {
    out.bytes(task.live_thread()?.name().as_bytes())?;
    out.bytes(b"\n")
}

fn set_name(task: &Task, text: &[u8]) -> Result<()> {
    let thread = task.live_thread()?;
    if !Arc::ptr_eq(thread.process(), crate::task::current().process()) {
        return Err(Errno::EINVAL);
    }
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    thread.set_name(Name::new(&text[..end]));
    Ok(())
}

fn core_filter(task: &Task, out: &mut Output) -> Result<()> {
    writeln!(out, "{:08x}", task.process.core_filter())
}

/// Takes a number in C's notation.
fn set_core_filter(task: &Task, text: &[u8]) -> Result<()> {
    /// `MMF_DUMP_FILTER_MASK`
    const KNOWN: u32 = 0x1ff;
    let text = core::str::from_utf8(text.trim_ascii()).map_err(|_| Errno::EINVAL)?;
    let number = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8),
        _ => text.parse(),
    };
    task.process.set_core_filter(number.map_err(|_| Errno::EINVAL)? & KNOWN);
    Ok(())
}

fn points(task: &Task, out: &mut Output) -> Result<()> {
    let total = crate::memory::memory().total_frames();
    writeln!(out, "{}", crate::task::out_of_memory_points(&task.process, total))
}

fn adjustment(task: &Task, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", task.process.out_of_memory_adjustment())
}

fn set_adjustment(task: &Task, text: &[u8]) -> Result<()> {
    let value = parse_number(text)?;
    let value = i32::try_from(value).ok().filter(|value| (-1000..=1000).contains(value));
    let value = value.ok_or(Errno::EINVAL)?;
    let privileged = crate::task::current().credentials().has(crate::task::Capability::SysResource);
    if value < task.process.out_of_memory_adjustment() && !privileged {
        return Err(Errno::EACCES);
    }
    task.process.set_out_of_memory_adjustment(value);
    Ok(())
}

fn command_line(task: &Task, out: &mut Output) -> Result<()> {
    copy_memory(task, out, task.process.image().arguments.clone())
}

fn environment(task: &Task, out: &mut Output) -> Result<()> {
    task.accessible_thread()?;
    copy_memory(task, out, task.process.image().environment.clone())
}

/// Appends the process's memory in `range`, as far as it can be read. Zombies have none.
fn copy_memory(task: &Task, out: &mut Output, range: Range<u64>) -> Result<()> {
    const CHUNK: usize = 1024;
    let Some(space) = task.process.space() else { return Ok(()) };
    let mut at = range.start;
    let mut chunk = [0; CHUNK];
    while at < range.end {
        let wanted = CHUNK.min((range.end - at) as usize);
        let Some(address) = UserAddr::try_new(at) else { break };
        let count = space.read_remote(address, &mut chunk[..wanted]).unwrap_or(0);
        out.bytes(&chunk[..count])?;
        at += count as u64;
        if count < wanted {
            break;
        }
    }
    Ok(())
}

fn working_directory(task: &Task) -> Result<LinkTarget> {
    let fs = task.accessible_thread()?.try_fs().ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Place(fs.working_directory()))
}

fn root(task: &Task) -> Result<LinkTarget> {
    let fs = task.accessible_thread()?.try_fs().ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Place(fs.root()))
}

fn executable(task: &Task) -> Result<LinkTarget> {
    task.accessible_thread()?;
    let executable = task.process.image().executable.clone();
    executable.map(LinkTarget::Place).ok_or(Errno::ENOENT)
}

/// Nothing is counted here, and nothing reaches a medium: the lines are those that programs look for.
fn input_output(_: &Task, out: &mut Output) -> Result<()> {
    for line in
        ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"]
    {
        writeln!(out, "{line}: 0")?;
    }
    Ok(())
}

/// What the subject's threads have used.
pub fn usage(task: &Task) -> Usage {
    match (&task.thread, task.scope) {
        (Some(thread), Scope::Thread) => Usage::of_thread(thread),
        _ => Usage::of_process(&task.process),
    }
}

/// How many threads the process has.
pub fn thread_count(task: &Task) -> usize {
    task.process.signals().thread_count
}
