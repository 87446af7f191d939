//! `/proc/PID/fd` and `/proc/PID/fdinfo`: the open files of a process.

use alloc::sync::Arc;

use super::super::inode::{Inode, LinkTarget};
use super::super::metadata::{DeviceNumber, FileType, Metadata, Timestamp};
use super::super::pseudo::{Node, Output, PseudoInode, Subject};
use super::super::{Fd, File, FileTable, OpenFlags};
use super::number_directory::{NumberDirectory, Numbered};
use super::subject::Task;
use crate::errno::{Errno, Result};

/// Which of the two directories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Links,
    Information,
}

/// The directory `fd`.
pub fn links(task: &Task) -> Arc<dyn Inode> {
    Arc::new(NumberDirectory(Descriptors { task: task.clone(), view: View::Links }))
}

/// The directory `fdinfo`.
pub fn information(task: &Task) -> Arc<dyn Inode> {
    Arc::new(NumberDirectory(Descriptors { task: task.clone(), view: View::Information }))
}

struct Descriptors {
    task: Task,
    view: View,
}

impl Descriptors {
    fn table(&self) -> Result<Arc<FileTable>> {
        self.task.accessible_thread()?.try_files().ok_or(Errno::ENOENT)
    }
}

/// An open file of a process, by number: whatever the number refers to when it is looked at.
#[derive(Clone)]
struct Descriptor {
    task: Task,
    number: u32,
}

impl Descriptor {
    fn file(&self) -> Result<Arc<File>> {
        let files = self.task.accessible_thread()?.try_files().ok_or(Errno::ENOENT)?;
        files.get_any(Fd(self.number as i32)).map_err(|_| Errno::ENOENT)
    }
}

impl Subject for Descriptor {
    fn owner(&self) -> (u32, u32) {
        self.task.owner()
    }

    fn is_alive(&self) -> bool {
        self.file().is_ok()
    }

    fn number(&self) -> u64 {
        self.task.number() << 20 | u64::from(self.number)
    }

    fn device(&self) -> DeviceNumber {
        super::device()
    }
}

static LINK: Node<Descriptor> =
    Node::Link(|descriptor| Ok(LinkTarget::Place(descriptor.file()?.path().clone())));

static INFORMATION: Node<Descriptor> = Node::File(0o400, describe, None);

fn describe(descriptor: &Descriptor, out: &mut Output) -> Result<()> {
    let file = descriptor.file()?;
    let position = if file.is_seekable() { file.position() } else { 0 };
    let flags = (file.status() | OpenFlags::LARGE_FILE).bits();
    let mount = file.path().mount.id();
    let inode = file.inode().metadata().inode;
    writeln!(out, "pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}")
}

impl Numbered for Descriptors {
    fn metadata(&self) -> Metadata {
        let (user, group) = self.task.owner();
        let now = Timestamp::now();
        Metadata {
            device: super::device(),
            inode: self.task.number() << 32 | if self.view == View::Links { 4 } else { 6 },
            file_type: FileType::Directory,
            permissions: 0o500,
            links: 2,
            user,
            group,
            special: DeviceNumber::default(),
            size: 0,
            blocks: 0,
            block_size: 1024,
            accessed: now,
            modified: now,
            changed: now,
            created: now,
        }
    }

    fn is_alive(&self) -> bool {
        self.task.is_alive()
    }

    fn entry_type(&self) -> FileType {
        match self.view {
            View::Links => FileType::SymbolicLink,
            View::Information => FileType::Regular,
        }
    }

    fn next(&self, from: u32) -> Option<u32> {
        let (descriptor, _) = self.table().ok()?.next_open(from as usize)?;
        u32::try_from(descriptor.0).ok()
    }

    fn open(&self, number: u32) -> Result<Arc<dyn Inode>> {
        let descriptor = Descriptor { task: self.task.clone(), number };
        descriptor.file()?;
        let node = match self.view {
            View::Links => &LINK,
            View::Information => &INFORMATION,
        };
        Ok(PseudoInode::new(descriptor, node))
    }
}
