//! What a core file says of the process as a whole. Key type: [`ProcessRecord`].

use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use arch::time::Nanos;
use mm::{AddressSpace, Backing};

use super::{Text, append};
use crate::errno::{Errno, Result};
use crate::task::{Pid, Process, Thread, Usage, family};

/// Bytes of the command line that a core file shows (`ELF_PRARGSZ`).
const ARGUMENTS_SIZE: usize = 80;

/// A process, as its note shows it.
#[derive(Clone, Copy, Debug)]
pub struct ProcessRecord {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its group's.
    pub group: u32,
    /// Its session's.
    pub session: u32,
    /// Real user id.
    pub user: u32,
    /// Real group id.
    pub user_group: u32,
    /// Its nice value.
    pub nice: i32,
    /// CPU time of its own in user and in kernel mode.
    pub times: [Nanos; 2],
    /// The same of the children that it waited for.
    pub children_times: [Nanos; 2],
    /// Its name.
    pub name: [u8; 16],
    /// The beginning of its command line.
    pub arguments: [u8; ARGUMENTS_SIZE],
}

impl Default for ProcessRecord {
    fn default() -> Self {
        Self {
            pid: 0,
            parent: 0,
            group: 0,
            session: 0,
            user: 0,
            user_group: 0,
            nice: 0,
            times: [Nanos(0); 2],
            children_times: [Nanos(0); 2],
            name: [0; 16],
            arguments: [0; ARGUMENTS_SIZE],
        }
    }
}

impl ProcessRecord {
    /// The process of `thread`, the calling one, whose memory is `space`.
    pub(super) fn of_current(thread: &Thread, space: &AddressSpace) -> Self {
        let process = thread.process();
        let credentials = thread.credentials();
        let usage = Usage::of_process(process);
        let children = Usage::of_children(process);
        let family = family::lock();
        let id = |pid: Option<Pid>| pid.map_or(0, Pid::as_u32);
        let parent = id(process.parent(&family).map(|parent| parent.pid()));
        let group = id(process.group(&family).map(|group| group.id()));
        let session = id(process.session(&family).map(|session| session.id()));
        drop(family);
        Self {
            pid: process.pid().as_u32(),
            parent,
            group,
            session,
            user: credentials.user.real,
            user_group: credentials.group.real,
            nice: thread.scheduling.task.parameters().nice.get(),
            times: [usage.user, usage.system],
            children_times: [children.user, children.system],
            name: *thread.name().padded(),
            arguments: arguments(process, space),
        }
    }
}

/// The beginning of the command line, blanks between the words.
fn arguments(process: &Process, space: &AddressSpace) -> [u8; ARGUMENTS_SIZE] {
    let mut text = [0; ARGUMENTS_SIZE];
    let range = process.image().arguments.clone();
    let length = (range.end.saturating_sub(range.start) as usize).min(ARGUMENTS_SIZE - 1);
    let read = UserAddr::try_new(range.start)
        .and_then(|start| space.read_remote(start, &mut text[..length]).ok());
    for byte in &mut text[..read.unwrap_or(0)] {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    text
}

/// The most that `NT_FILE` takes (`MAX_FILE_NOTE_SIZE`).
const FILES_MAX: usize = 4 << 20;

/// The content of `NT_FILE`: which files are mapped where, with their paths.
///
/// # Errors
/// `ENOMEM`; `E2BIG` for more than [`FILES_MAX`].
pub(super) fn files(space: &AddressSpace) -> Result<Vec<u8>> {
    let page = PAGE_SIZE as u64;
    let (mut table, mut names, mut count) = (Vec::new(), Text::default(), 0_u64);
    for entry in space.maps() {
        let Backing::Object(range) = &entry.vma.backing else { continue };
        let Some(file) = &range.file else { continue };
        let (start, end) = (entry.vma.start().as_u64(), entry.vma.end().as_u64());
        for word in [start, end, range.offset / page] {
            append(&mut table, &word.to_ne_bytes())?;
        }
        file.write_path(&mut names).map_err(|core::fmt::Error| Errno::ENOMEM)?;
        append(&mut names.0, &[0])?;
        count += 1;
        if table.len() + names.0.len() > FILES_MAX {
            return Err(Errno::E2BIG);
        }
    }
    let mut out = Vec::new();
    append(&mut out, &count.to_ne_bytes())?;
    append(&mut out, &page.to_ne_bytes())?;
    append(&mut out, &table)?;
    append(&mut out, &names.0)?;
    Ok(out)
}
