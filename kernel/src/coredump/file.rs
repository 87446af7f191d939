//! Writing a core file: the name, the head, and memory page by page. Entry point: [`write()`].
//!
//! As on Linux the file is counted as written once its headers are made: what does not fit under `RLIMIT_CORE` or on the medium is
//! missing at its end.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use mm::AddressSpace;
use mm::space::PageContent;

use super::elf::{self, Head, Segment};
use super::notes::Notes;
use super::process::{self, ProcessRecord};
use super::segments::{self, Absent, Filter, go_on, pages};
use super::threads::ThreadRecord;
use super::{append, pattern};
use crate::errno::{Errno, Result};
use crate::fs::{
    self, File, FileType, Last, OpenFlags, OpenRequest, Path, Removal, Source, Viewer, WalkFlags,
};
use crate::signal::{Signal, SignalInfo};
use crate::task::{self, Thread};

/// Only its owner may look at a core file.
const PERMISSIONS: u16 = 0o600;
/// The bits that a file system must have taken over for that to be so.
const PERMISSIONS_CHECKED: u16 = 0o677;

/// Where a core file goes.
pub(super) enum Output {
    /// To a file of this limit in bytes.
    File(Arc<File>, u64),
    /// To a program, which reads it as it comes.
    Pipe(Arc<File>),
}

/// Makes the file that `pattern` names, for at most `limit` bytes.
///
/// # Errors
/// Why it cannot be made.
pub(super) fn open(thread: &Thread, pattern: &[u8], signal: Signal, limit: u64) -> Result<Output> {
    let name = with_subject(thread, signal, limit, |subject| {
        pattern::expand(pattern, subject, pattern::uses_pid())
    })?;
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    Ok(Output::File(create(thread, &name)?, limit))
}

/// Writes the core file of `thread`'s process, whose threads stand still, to `output`.
///
/// # Errors
/// Why there is none, not even a part of one.
pub(super) fn write(
    thread: &Arc<Thread>,
    threads: &[ThreadRecord],
    signal: Signal,
    info: &SignalInfo,
    output: &Output,
) -> Result<()> {
    let process = thread.process();
    let space = process.space().ok_or(Errno::EFAULT)?;
    let filter = Filter::from_bits_truncate(process.core_filter());
    let segments = segments::of_space(thread, &space, filter)?;
    let files = process::files(&space).inspect_err(|errno| {
        crate::log_info!("no list of files in the core file of process {}: {errno}", process.pid());
    });
    let notes = Notes {
        threads,
        process: &ProcessRecord::of_current(thread, &space),
        signal,
        info,
        auxiliary: &process.image().auxiliary,
        files: files.as_deref().ok(),
        features: arch::fpu::layout().features,
    };
    let head = elf::head(&notes.to_bytes()?, &segments)?;
    let tail = elf::tail(&segments)?;
    let mut writer = Writer { thread, output, offset: 0, written: 0 };
    if let Err(errno) = writer.all(&head, &space, &segments, &tail) {
        crate::log_info!("the core file of process {} is cut off: {errno}", process.pid());
    }
    if let Output::File(file, _) = output {
        // A hole at the end counts as well. A file that cannot have its size set is shorter by zeros.
        let _resized = file.inode().truncate(writer.offset);
    }
    Ok(())
}

/// What `make` makes of the facts about `thread`, which dies by `signal`.
pub(super) fn with_subject<R>(
    thread: &Thread,
    signal: Signal,
    limit: u64,
    make: impl FnOnce(&pattern::Subject<'_>) -> Result<R>,
) -> Result<R> {
    let process = thread.process();
    let credentials = thread.credentials();
    let (host, length) = task::host_name();
    let thread_name = thread.name();
    let mut program = Vec::new();
    match &process.image().executable {
        Some(path) => program = path.display_text(&thread.fs().root())?,
        None => append(&mut program, thread_name.as_bytes())?,
    }
    let subject = pattern::Subject {
        pid: process.pid().as_u32(),
        tid: thread.tid().as_u32(),
        user: credentials.user.real,
        group: credentials.group.real,
        dumpable: process.dumpable(),
        signal: signal.number(),
        time: fs::Timestamp::now().seconds,
        host: &host[..length],
        name: thread_name.as_bytes(),
        program: &program,
        limit,
        cpu: thread.scheduling.task.cpu().index(),
    };
    make(&subject)
}

/// Makes the file anew: one that is there already is removed first, as it may be linked, or mapped, elsewhere.
fn create(thread: &Thread, name: &[u8]) -> Result<Arc<File>> {
    let context = thread.fs();
    let credentials = thread.credentials();
    let viewer = Viewer::new(&context, credentials.clone());
    let start = if name.starts_with(b"/") { context.root() } else { context.working_directory() };
    remove(&viewer, start.clone(), name);
    let flags =
        OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::WRITE_ONLY | OpenFlags::NO_FOLLOW;
    let umask = context.umask();
    let walk = WalkFlags::empty();
    let request = OpenRequest { flags, permissions: PERMISSIONS, umask, walk };
    let file = fs::open(&viewer, start, name, &request)?;
    let metadata = file.inode().metadata();
    let private = metadata.file_type == FileType::Regular
        && metadata.user == credentials.user.file_system
        && metadata.permissions & PERMISSIONS_CHECKED == PERMISSIONS;
    if private { Ok(file) } else { Err(Errno::EPERM) }
}

fn remove(viewer: &Viewer, start: Path, name: &[u8]) {
    let Ok(parent) = fs::resolve_parent(viewer, start, name) else { return };
    let Last::Name(last) = parent.last else { return };
    // If it stays, the file cannot be created, and that says why.
    let _removed = fs::remove_node(viewer, &parent.directory, &last, Removal::File);
}

/// A file that grows at its end.
struct Writer<'a> {
    thread: &'a Thread,
    output: &'a Output,
    /// Where the next byte belongs.
    offset: u64,
    /// Bytes that were written, holes in a file not counted.
    written: u64,
}

impl Writer<'_> {
    fn all(
        &mut self,
        head: &Head,
        space: &AddressSpace,
        segments: &[Segment],
        tail: &[u8],
    ) -> Result<()> {
        self.bytes(&head.bytes)?;
        self.skip_to(head.memory_offset)?;
        for segment in segments {
            self.segment(space, segment)?;
        }
        self.bytes(tail)
    }

    fn segment(&mut self, space: &AddressSpace, segment: &Segment) -> Result<()> {
        if segment.stored == 0 {
            return Ok(());
        }
        let Some(start) = UserAddr::try_new(segment.start) else { return Err(Errno::EFAULT) };
        let is_object = space.find_area(start).is_some_and(|vma| vma.object_at(start).is_some());
        // Of a file, pages that are not mapped count as well; other memory that was never touched is a hole, however large.
        let absent = if is_object { Absent::Shown } else { Absent::PassedOver };
        let begin = self.offset;
        for (address, content) in pages(space, start, segment.stored, absent) {
            go_on(self.thread)?;
            self.skip_to(begin + (address.as_u64() - segment.start))?;
            self.page(space, address, content)?;
        }
        self.skip_to(begin + segment.stored)
    }

    /// A page, or a hole where there is none.
    fn page(&mut self, space: &AddressSpace, at: UserAddr, content: PageContent) -> Result<()> {
        let mut page = [0; PAGE_SIZE];
        let found = match content {
            PageContent::Absent => space.read_remote(at, &mut page) == Ok(PAGE_SIZE),
            PageContent::Shared | PageContent::Anonymous => space.copy_page(at, &mut page),
        };
        if found {
            return self.bytes(&page);
        }
        self.skip_to(self.offset + PAGE_SIZE as u64)
    }

    /// Goes on at `offset`: what is skipped is a hole in a file, and zeros for who reads a pipe.
    fn skip_to(&mut self, offset: u64) -> Result<()> {
        if let Output::File(..) = self.output {
            self.offset = offset;
            return Ok(());
        }
        while self.offset < offset {
            go_on(self.thread)?;
            let count = (offset - self.offset).min(PAGE_SIZE as u64) as usize;
            self.bytes(&[0; PAGE_SIZE][..count])?;
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        if matches!(self.output, Output::File(_, limit) if self.written > *limit) {
            return Err(Errno::EFBIG);
        }
        let mut source = Source::kernel(bytes);
        while source.remaining() > 0 {
            let count = match self.output {
                Output::File(file, _) => file.write_at(&mut source, self.offset)?,
                Output::Pipe(file) => file.write(&mut source)?,
            };
            if count == 0 {
                return Err(Errno::EIO);
            }
            self.offset += count as u64;
        }
        Ok(())
    }
}
