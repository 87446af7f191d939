//! The bytes of a regular file in tmpfs.
//!
//! They live in pages that mappings share ([`pages`](super::pages)); what is never written is a hole and costs
//! nothing. [`RegularFile::change`] is a sleeping mutex that serialises writes, truncation and allocation, and is held
//! while bytes are copied from user memory. Reads take no lock beyond the page cache's: they may see a concurrent
//! write half done, page by page, as on Linux.

use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as abi;
use mm::object::MemoryObject;

use super::super::buffer::{Sink, Source};
use super::super::file::File;
use super::super::flags::OpenFlags;
use super::super::metadata::{AttributeChanges, Timestamp};
use super::super::mount::MountFlags;
use super::super::operations::{Allocation, FileOperations, Positioning, SeekFrom};
use super::super::write_access::WriteAccess;
use super::super::{attributes, limits};
use super::pages::Pages;
use super::space::Space;
use crate::errno::{Errno, Result};
use crate::scheduling::Mutex;

/// The largest size of a file: the largest offset that a program can express.
const SIZE_MAX: u64 = i64::MAX as u64;
/// How much is copied at a time between user memory and a page, by way of the kernel stack.
const CHUNK: usize = 2048;

/// Seals that memfd_create(2) files can have.
const SEALS_KNOWN: u32 = abi::F_SEAL_SEAL
    | abi::F_SEAL_SHRINK
    | abi::F_SEAL_GROW
    | abi::F_SEAL_WRITE
    | abi::F_SEAL_FUTURE_WRITE;

/// A regular file.
pub struct RegularFile {
    pages: Pages,
    /// Held while content or size change.
    change: Mutex<()>,
    /// `F_SEAL_*`. Changed and, where it matters, read with `change` held.
    seals: AtomicU32,
    write_access: WriteAccess,
}

impl RegularFile {
    /// An empty file that no seal but `F_SEAL_SEAL` can ever protect.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(space: Arc<Space>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            pages: Pages::new(space)?,
            change: Mutex::new(()),
            seals: AtomicU32::new(abi::F_SEAL_SEAL),
            write_access: WriteAccess::new(),
        }))
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pages.size()
    }

    /// Pages that the content takes.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.pages.count()
    }

    /// The content as something to map.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The count of writers against executors.
    #[must_use]
    pub fn write_access(&self) -> &WriteAccess {
        &self.write_access
    }

    fn has_seal(&self, seals: u32) -> bool {
        self.seals.load(Ordering::Acquire) & seals != 0
    }

    /// Sets the size (truncate(2)).
    ///
    /// # Errors
    /// `EFBIG`, `EPERM` (sealed).
    pub fn resize(&self, size: u64) -> Result<()> {
        let _change = self.change.lock();
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let old = self.size();
        if (size < old && self.has_seal(abi::F_SEAL_SHRINK))
            || (size > old && self.has_seal(abi::F_SEAL_GROW))
        {
            return Err(Errno::EPERM);
        }
        self.pages.resize(size)
    }

    /// Copies bytes from `offset` on into `buffer`; fewer at the end of the file.
    ///
    /// # Errors
    /// `EIO`.
    pub fn read_bytes(&self, offset: u64, buffer: &mut [u8]) -> Result {
        let left = self.size().saturating_sub(offset);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(self.pages.read(offset, &mut buffer[..count]))
    }

    /// Copies `bytes` to `offset` on, growing the file.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`, if not even the first byte could be written.
    pub fn write_bytes(&self, offset: u64, bytes: &[u8]) -> Result {
        let _change = self.change.lock();
        self.write_locked(offset, bytes)
    }

    fn write_locked(&self, offset: u64, bytes: &[u8]) -> Result {
        let mut done = 0;
        while done < bytes.len() {
            match self.pages.write(offset + done as u64, &bytes[done..]) {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The copying loop of write(2), with `change` held.
    fn write_from(&self, source: &mut Source<'_>, position: &mut u64) -> Result {
        let mut chunk = [0; CHUNK];
        let mut total = 0;
        while source.remaining() > 0 {
            let in_page = PAGE_SIZE - (*position % PAGE_SIZE as u64) as usize;
            let step = chunk.len().min(in_page);
            let written = source
                .take(&mut chunk[..step])
                .and_then(|fetched| self.write_locked(*position, &chunk[..fetched]));
            match written {
                Ok(0) => break,
                Ok(count) => {
                    *position += count as u64;
                    total += count;
                }
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(total)
    }
}

impl FileOperations for RegularFile {
    fn read(&self, file: &File, sink: &mut Sink<'_>, position: &mut u64) -> Result {
        let mut chunk = [0; CHUNK];
        let mut total = 0;
        while sink.remaining() > 0 {
            let in_page = PAGE_SIZE - (*position % PAGE_SIZE as u64) as usize;
            let step = chunk.len().min(in_page).min(sink.remaining());
            let stored = self
                .read_bytes(*position, &mut chunk[..step])
                .and_then(|count| sink.put(&chunk[..count]).map(|stored| (count, stored)));
            match stored {
                Ok((0, _)) => break,
                Ok((count, stored)) => {
                    *position += stored as u64;
                    total += stored;
                    if stored < count {
                        break;
                    }
                }
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
        }
        touch_access_time(file);
        Ok(total)
    }

    fn write(&self, file: &File, source: &mut Source<'_>, position: &mut u64) -> Result {
        let _change = self.change.lock();
        if file.status().contains(OpenFlags::APPEND) {
            *position = self.size();
        }
        if source.remaining() == 0 {
            return Ok(0);
        }
        source.limit(limits::room_in_file(*position, source.remaining(), SIZE_MAX)?);
        if self.has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        if self.has_seal(abi::F_SEAL_GROW) {
            let room = self.size().saturating_sub(*position);
            if room == 0 {
                return Err(Errno::EPERM);
            }
            source.limit(usize::try_from(room).unwrap_or(usize::MAX));
        }
        if let Some(thread) = crate::task::try_current() {
            attributes::drop_set_id(&**file.inode(), &thread.credentials())?;
        }
        let now = Some(Timestamp::now());
        let changes = AttributeChanges { modified: now, changed: now, ..Default::default() };
        file.inode().set_attributes(&changes)?;
        self.write_from(source, position)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn seek(&self, _file: &File, current: u64, to: SeekFrom) -> Result<u64> {
        let size = self.size();
        let base = |base: u64, offset: i64| {
            let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
            let target = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
            u64::try_from(target).map_err(|_| Errno::EINVAL)
        };
        let inside = |offset: i64| {
            u64::try_from(offset).ok().filter(|offset| *offset < size).ok_or(Errno::ENXIO)
        };
        match to {
            SeekFrom::Start(offset) => base(0, offset),
            SeekFrom::Current(offset) => base(current, offset),
            SeekFrom::End(offset) => base(size, offset),
            SeekFrom::Data(offset) => {
                let from = inside(offset)?;
                let page = self.pages.next_page(from / PAGE_SIZE as u64);
                let found = page.map(|page| from.max(page * PAGE_SIZE as u64));
                found.filter(|found| *found < size).ok_or(Errno::ENXIO)
            }
            SeekFrom::Hole(offset) => {
                let from = inside(offset)?;
                let page = self.pages.next_hole(from / PAGE_SIZE as u64);
                Ok(from.max(page.saturating_mul(PAGE_SIZE as u64)).min(size))
            }
        }
    }

    fn allocate(&self, file: &File, mode: Allocation, offset: u64, length: u64) -> Result<()> {
        let _change = self.change.lock();
        let end = offset.checked_add(length).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let size = self.size();
        match mode {
            Allocation::PunchHole => {
                if self.has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE) {
                    return Err(Errno::EPERM);
                }
                self.pages.punch(offset, end.min(size.max(offset)))?;
            }
            Allocation::Reserve | Allocation::Grow => {
                let grows = mode == Allocation::Grow && end > size;
                if grows && self.has_seal(abi::F_SEAL_GROW) {
                    return Err(Errno::EPERM);
                }
                if grows {
                    limits::check_file_size(end)?;
                }
                if grows {
                    self.pages.resize(end)?;
                }
                if let Err(error) = self.pages.reserve(offset, end) {
                    self.pages.resize(size)?;
                    return Err(error);
                }
            }
        }
        let now = Some(Timestamp::now());
        let changes = AttributeChanges { modified: now, changed: now, ..Default::default() };
        file.inode().set_attributes(&changes)
    }

    fn memory_object(&self, _file: &File) -> Result<Arc<dyn MemoryObject>> {
        Ok(self.pages.object())
    }

    fn held_memory(&self, file: &File) -> usize {
        // What still has a name stays when it is closed.
        if file.inode().metadata().links > 0 {
            return 0;
        }
        usize::try_from(self.blocks()).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE)
    }

    fn allow_seals(&self) {
        self.seals.store(0, Ordering::Release);
    }

    fn seals(&self) -> Result<u32> {
        Ok(self.seals.load(Ordering::Acquire))
    }

    fn add_seals(&self, seals: u32) -> Result<()> {
        if seals & !SEALS_KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let _change = self.change.lock();
        if self.has_seal(abi::F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        self.seals.fetch_or(seals, Ordering::AcqRel);
        Ok(())
    }
}

/// Records a read, under the rules of the mount: `noatime`, `nodiratime` and `relatime` (mount(8)).
fn touch_access_time(file: &File) {
    let flags = file.path().mount.flags();
    if flags.intersects(MountFlags::NO_ATIME | MountFlags::READ_ONLY)
        || file.status().contains(OpenFlags::NO_ATIME)
    {
        return;
    }
    const DAY: i64 = 24 * 60 * 60;
    let metadata = file.inode().metadata();
    let now = Timestamp::now();
    let stale = metadata.accessed <= metadata.modified
        || metadata.accessed <= metadata.changed
        || now.seconds - metadata.accessed.seconds >= DAY;
    if flags.contains(MountFlags::RELATIVE_ATIME) && !stale {
        return;
    }
    let changes = AttributeChanges { accessed: Some(now), ..AttributeChanges::default() };
    // Tmpfs takes every change.
    let _ = file.inode().set_attributes(&changes);
}
