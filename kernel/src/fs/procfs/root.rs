//! The top directory of procfs.

use alloc::format;
use alloc::sync::Arc;

use super::super::inode::{Directory, DirectoryEntry, EntryVisitor, Inode, LinkTarget};
use super::super::metadata::{FileType, Metadata};
use super::super::pseudo::{Entry, Node, Output, PseudoInode};
use super::number_directory::parse;
use super::process::DIRECTORY as PROCESS;
use super::subject::{System, Task};
use super::{counters, hardware, memory, mounts, schedstat, scheduler, system};
use crate::errno::{Errno, Result};
use crate::task::{self, Pid, table};
use crate::trace::file::TraceInode;

/// The fixed entries.
static ENTRIES: &[Entry<System>] = &[
    Entry::file("cmdline", command_line),
    Entry::file("cpuinfo", hardware::processors),
    Entry::file("devices", hardware::devices),
    Entry::file("filesystems", mounts::file_systems),
    Entry::file("interrupts", hardware::interrupts),
    Entry::file("loadavg", counters::load_average),
    Entry::file("meminfo", memory::summary),
    Entry::link("mounts", |_| Ok(LinkTarget::Text(b"self/mounts".to_vec()))),
    Entry::file("sched_policy", scheduler::policy_counters),
    Entry::file("schedstat", schedstat::machine),
    Entry::link("self", |_| {
        let pid = task::current().process().pid();
        Ok(LinkTarget::Text(format!("{pid}").into_bytes()))
    }),
    Entry::private("slabinfo", memory::slabs),
    Entry::file("stat", counters::summary),
    Entry::file("swaps", |_, out| {
        writeln!(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority")
    }),
    Entry::directory("sys", system::ENTRIES),
    Entry::link("thread-self", |_| {
        let thread = task::current();
        let text = format!("{}/task/{}", thread.process().pid(), thread.tid());
        Ok(LinkTarget::Text(text.into_bytes()))
    }),
    Entry::other("trace", |_| Arc::new(TraceInode::new(super::device()))),
    Entry::file("uptime", counters::uptime),
    Entry::file("version", system::version_line),
    Entry::file("vmstat", memory::events),
];

static FIXED: Node<System> = Node::Directory(ENTRIES);

/// Cursors below this are fixed entries; above, processes.
const FIRST_PROCESS: u64 = 256;

/// The directory.
struct Root {
    fixed: Arc<PseudoInode<System>>,
}

/// The root inode.
pub fn inode() -> Arc<dyn Inode> {
    Arc::new(Root { fixed: PseudoInode::new(System, &FIXED) })
}

fn command_line(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "{}", super::command_line())
}

impl Inode for Root {
    fn metadata(&self) -> Metadata {
        Metadata { inode: 1, ..self.fixed.metadata() }
    }

    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }
}

impl Directory for Root {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        match parse(name) {
            Some(number) => find(number),
            None => Directory::lookup(&*self.fixed, name),
        }
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let mut ended = false;
        if cursor < FIRST_PROCESS {
            Directory::entries(&*self.fixed, cursor, &mut |entry| {
                let flow = visit(entry);
                ended = flow.is_break();
                flow
            })?;
        }
        if !ended {
            let from = u32::try_from(cursor.saturating_sub(FIRST_PROCESS)).unwrap_or(u32::MAX);
            list_processes(from, visit)?;
        }
        Ok(())
    }
}

/// Lists the processes with ids from `from` on, the kernel's own apart.
fn list_processes(from: u32, visit: &mut EntryVisitor<'_>) -> Result<()> {
    for process in table::processes()? {
        let number = process.pid().as_u32();
        if number < from.max(1) || process.has_been_reaped() {
            continue;
        }
        let name = format!("{number}");
        let entry = DirectoryEntry {
            name: name.as_bytes(),
            inode: u64::from(number) << 32,
            file_type: FileType::Directory,
            next: FIRST_PROCESS + u64::from(number) + 1,
        };
        if visit(&entry).is_break() {
            break;
        }
    }
    Ok(())
}

/// The directory of process `number`. Threads are found by their ids too, as on Linux, though they are not listed.
fn find(number: u32) -> Result<Arc<dyn Inode>> {
    let process = match table::find_process(Pid::new(number)) {
        Some(process) => process,
        None => {
            let thread = table::find_thread(task::Tid::new(number)).ok_or(Errno::ENOENT)?;
            thread.process().clone()
        }
    };
    if process.pid().as_u32() == 0 || process.has_been_reaped() {
        return Err(Errno::ENOENT);
    }
    Ok(PseudoInode::new(Task::of_process(process), &PROCESS))
}
