//! The descriptor table of a process: [`FileTable`].
//!
//! Threads share a table through `Arc` (`CLONE_FILES`). fork(2) takes constant time: parent and child share the
//! slots, in chunks of 64 behind two levels of `Arc`, until either changes one, which copies the list of chunks and
//! that chunk.
//!
//! One spin lock of rank `FILES` guards everything. Files are dropped after it is released, because the last
//! reference to a file runs [`release`](super::FileOperations::release).
//!
//! A call that makes a descriptor reserves the number first, as Linux does, so that `EMFILE` comes before any side
//! effect: see [`Reservation`].

mod chunk;

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use arch::sync::{Rank, SpinLock};
use chunk::Chunk;

use super::file::File;
use super::flags::AccessMode;
use crate::errno::{Errno, Result};
use crate::syscall::Fd;

/// The most descriptors that a process can have whatever its limit (`/proc/sys/fs/nr_open`).
pub const DESCRIPTORS_MAX: usize = 1 << 20;

/// Whether a descriptor closes at exec (`FD_CLOEXEC`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseOnExec {
    /// It closes.
    Yes,
    /// It stays open.
    No,
}

impl CloseOnExec {
    /// `Yes` where the flag is set.
    #[must_use]
    pub const fn from_flag(set: bool) -> Self {
        if set { Self::Yes } else { Self::No }
    }
}

struct Slots {
    chunks: Arc<Vec<Arc<Chunk>>>,
    /// Numbers that a call has reserved and not filled yet. Not inherited by fork.
    reserved: Vec<usize>,
    /// No descriptor below this is free.
    lowest_free: usize,
}

/// A table of open files by descriptor number.
pub struct FileTable {
    slots: SpinLock<Slots>,
    /// Names this table as the owner of POSIX record locks.
    owner: u64,
    /// Whether a POSIX record lock was ever taken in the name of this table.
    has_locks: AtomicBool,
}

static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

impl FileTable {
    /// A table without open files.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_chunks(Arc::new(Vec::new()))
    }

    fn with_chunks(chunks: Arc<Vec<Arc<Chunk>>>) -> Arc<Self> {
        let slots = Slots { chunks, reserved: Vec::new(), lowest_free: 0 };
        Arc::new(Self {
            slots: SpinLock::new(Rank::FILES, slots),
            // Relaxed: only uniqueness matters.
            owner: NEXT_OWNER.fetch_add(1, Ordering::Relaxed),
            has_locks: AtomicBool::new(false),
        })
    }

    /// A copy with the same open files (fork(2)). Constant time.
    #[must_use]
    pub fn fork(&self) -> Arc<Self> {
        let chunks = self.slots.lock().chunks.clone();
        Self::with_chunks(chunks)
    }

    /// The owner of POSIX record locks taken through this table.
    #[must_use]
    pub fn lock_owner(&self) -> u64 {
        self.owner
    }

    /// Records that a POSIX record lock is about to be taken in the name of this table.
    pub(super) fn note_lock(&self) {
        // Pairs with the loads in `close` and `drop` of threads that come after the lock call.
        self.has_locks.store(true, Ordering::Release);
    }

    /// The open file behind `descriptor`, for calls that use it.
    ///
    /// # Errors
    /// `EBADF` if it is not open, or was opened with `O_PATH`.
    pub fn get(&self, descriptor: Fd) -> Result<Arc<File>> {
        self.usable(descriptor).ok_or(Errno::EBADF)
    }

    /// As [`get`](Self::get), in a value that fits a register. A file that is refused is never held, so the caller may
    /// hold a spin lock.
    #[must_use]
    pub(crate) fn usable(&self, descriptor: Fd) -> Option<Arc<File>> {
        let number = usize::try_from(descriptor.0).ok()?;
        let slots = self.slots.lock();
        slots.file(number).filter(|file| file.access() != AccessMode::Path).cloned()
    }

    /// The open file behind `descriptor`, for calls that work on `O_PATH` descriptors too.
    ///
    /// # Errors
    /// `EBADF` if it is not open.
    pub fn get_any(&self, descriptor: Fd) -> Result<Arc<File>> {
        let number = index(descriptor)?;
        let slots = self.slots.lock();
        slots.file(number).cloned().ok_or(Errno::EBADF)
    }

    /// Reserves the lowest free descriptor from `minimum` on, below `limit` (`RLIMIT_NOFILE`).
    ///
    /// # Errors
    /// `EMFILE` if there is none, `ENOMEM`.
    pub fn reserve(&self, minimum: usize, limit: u64) -> Result<Reservation<'_>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(DESCRIPTORS_MAX);
        let mut slots = self.slots.lock();
        let number = slots.find_free(minimum, limit).ok_or(Errno::EMFILE)?;
        slots.make_room(number)?;
        slots.reserved.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        slots.reserved.push(number);
        Ok(Reservation { table: self, number })
    }

    /// Enters `file` under the lowest free descriptor below `limit`.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn insert(&self, file: Arc<File>, limit: u64, close_on_exec: CloseOnExec) -> Result<Fd> {
        self.reserve(0, limit)?.install(file, close_on_exec)
    }

    /// Makes `descriptor` refer to `file` and closes what it referred to (dup2(2), dup3(2)).
    ///
    /// # Errors
    /// `EBADF` at or past `limit`, `EBUSY` while another call is about to fill the descriptor, `ENOMEM`.
    pub fn replace(
        &self,
        descriptor: Fd,
        file: Arc<File>,
        limit: u64,
        close_on_exec: CloseOnExec,
    ) -> Result<()> {
        let number = index(descriptor)?;
        if number as u64 >= limit || number >= DESCRIPTORS_MAX {
            return Err(Errno::EBADF);
        }
        let old = {
            let mut slots = self.slots.lock();
            if slots.reserved.contains(&number) {
                return Err(Errno::EBUSY);
            }
            slots.make_room(number)?;
            slots.chunk_mut(number)?.put(number % Chunk::SLOTS, file, close_on_exec)
        };
        if let Some(old) = old {
            self.finish_close(old);
        }
        Ok(())
    }

    /// Closes `descriptor` (close(2)).
    ///
    /// # Errors
    /// `EBADF` if it is not open, `ENOMEM` if a table shared by fork cannot be copied.
    pub fn close(&self, descriptor: Fd) -> Result<()> {
        let file = self.slots.lock().take(index(descriptor)?)?;
        self.finish_close(file);
        Ok(())
    }

    /// Closes every open descriptor in `first ..= last` (close_range(2)).
    ///
    /// # Errors
    /// `ENOMEM` if a table shared by fork cannot be copied.
    pub fn close_range(&self, first: usize, last: usize) -> Result<()> {
        self.close_while(first, last, Chunk::open_mask)
    }

    /// Closes every descriptor that is marked so, for execve(2).
    ///
    /// # Errors
    /// `ENOMEM` if a table shared by fork cannot be copied.
    pub fn close_on_exec(&self) -> Result<()> {
        self.close_while(0, DESCRIPTORS_MAX, Chunk::close_on_exec_mask)
    }

    fn close_while(&self, first: usize, last: usize, mask: fn(&Chunk) -> u64) -> Result<()> {
        let mut from = first;
        loop {
            let file = {
                let mut slots = self.slots.lock();
                match slots.next(from, mask).filter(|number| *number <= last) {
                    None => return Ok(()),
                    Some(number) => {
                        from = number;
                        slots.take(number)?
                    }
                }
            };
            self.finish_close(file);
        }
    }

    /// The last step of every close: POSIX record locks of this table on the file go (fcntl(2)).
    fn finish_close(&self, file: Arc<File>) {
        if self.has_locks.load(Ordering::Acquire) {
            super::lock::release_posix(&file, self.owner);
        }
        drop(file);
    }

    /// Whether `descriptor` closes at exec.
    ///
    /// # Errors
    /// `EBADF` if it is not open.
    pub fn is_close_on_exec(&self, descriptor: Fd) -> Result<CloseOnExec> {
        let number = index(descriptor)?;
        let slots = self.slots.lock();
        slots.file(number).ok_or(Errno::EBADF)?;
        let mask = slots.chunks[number / Chunk::SLOTS].close_on_exec_mask();
        Ok(CloseOnExec::from_flag(mask >> (number % Chunk::SLOTS) & 1 == 1))
    }

    /// Sets whether `descriptor` closes at exec.
    ///
    /// # Errors
    /// `EBADF` if it is not open, `ENOMEM` if a table shared by fork cannot be copied.
    pub fn set_close_on_exec(&self, descriptor: Fd, value: CloseOnExec) -> Result<()> {
        let number = index(descriptor)?;
        let mut slots = self.slots.lock();
        slots.file(number).ok_or(Errno::EBADF)?;
        slots.chunk_mut(number)?.set_close_on_exec(number % Chunk::SLOTS, value);
        Ok(())
    }

    /// Marks every open descriptor in `first ..= last` to close at exec (`CLOSE_RANGE_CLOEXEC`).
    ///
    /// # Errors
    /// `ENOMEM` if a table shared by fork cannot be copied.
    pub fn mark_range_close_on_exec(&self, first: usize, last: usize) -> Result<()> {
        let mut slots = self.slots.lock();
        let mut from = first;
        while let Some(number) = slots.next(from, Chunk::open_mask).filter(|n| *n <= last) {
            slots.chunk_mut(number)?.set_close_on_exec(number % Chunk::SLOTS, CloseOnExec::Yes);
            from = number + 1;
        }
        Ok(())
    }

    /// The lowest open descriptor at or after `from`, with its file: for listings, one by one.
    #[must_use]
    pub fn next_open(&self, from: usize) -> Option<(Fd, Arc<File>)> {
        let slots = self.slots.lock();
        let number = slots.next(from, Chunk::open_mask)?;
        Some((Fd(number as i32), slots.file(number)?.clone()))
    }

    /// Bytes of kernel memory that the open files keep. What several tables share counts in each. Allocates nothing, and
    /// looks at the files of one chunk at a time under the lock.
    #[must_use]
    pub fn held_memory(&self) -> usize {
        let mut held = 0;
        let mut next = 0;
        loop {
            let slots = self.slots.lock();
            let Some(chunk) = slots.chunks.get(next) else { return held };
            held += chunk.held_memory();
            next += 1;
        }
    }

    /// One more than the highest slot that exists: `FDSize` of /proc/PID/status.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.lock().chunks.len() * Chunk::SLOTS
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        if *self.has_locks.get_mut() {
            super::lock::release_all_posix(self.owner);
        }
    }
}

impl Slots {
    fn file(&self, number: usize) -> Option<&Arc<File>> {
        self.chunks.get(number / Chunk::SLOTS)?.file(number % Chunk::SLOTS)
    }

    /// The lowest number from `from` on whose bit is set in its chunk's `mask`.
    fn next(&self, from: usize, mask: fn(&Chunk) -> u64) -> Option<usize> {
        let first = from / Chunk::SLOTS;
        self.chunks.iter().enumerate().skip(first).find_map(|(i, chunk)| {
            let below = if i == first { (1 << (from % Chunk::SLOTS)) - 1 } else { 0 };
            let bits = mask(chunk) & !below;
            (bits != 0).then(|| i * Chunk::SLOTS + bits.trailing_zeros() as usize)
        })
    }

    fn find_free(&mut self, minimum: usize, limit: usize) -> Option<usize> {
        let mut number = minimum.max(self.lowest_free);
        while number < limit {
            let Some(chunk) = self.chunks.get(number / Chunk::SLOTS) else {
                if !self.reserved.contains(&number) {
                    break;
                }
                number += 1;
                continue;
            };
            let free = !chunk.open_mask() >> (number % Chunk::SLOTS);
            if free == 0 {
                number = (number / Chunk::SLOTS + 1) * Chunk::SLOTS;
                continue;
            }
            number += free.trailing_zeros() as usize;
            if !self.reserved.contains(&number) {
                break;
            }
            number += 1;
        }
        if number >= limit {
            return None;
        }
        if minimum <= self.lowest_free {
            self.lowest_free = number;
        }
        Some(number)
    }

    /// Lets the chunk of slot `number` exist.
    fn make_room(&mut self, number: usize) -> Result<()> {
        let wanted = number / Chunk::SLOTS + 1;
        let missing = wanted.saturating_sub(self.chunks.len());
        if missing == 0 {
            return Ok(());
        }
        let chunks = self.own_chunks(missing)?;
        let empty = Arc::new(Chunk::new());
        chunks.resize(wanted, empty);
        Ok(())
    }

    /// The list of chunks, shared with no other table, with room for `extra` more.
    fn own_chunks(&mut self, extra: usize) -> Result<&mut Vec<Arc<Chunk>>> {
        if Arc::get_mut(&mut self.chunks).is_none() {
            let mut copy = Vec::new();
            copy.try_reserve(self.chunks.len() + extra).map_err(|_| Errno::ENOMEM)?;
            copy.extend(self.chunks.iter().cloned());
            self.chunks = Arc::new(copy);
        }
        let chunks = Arc::get_mut(&mut self.chunks).ok_or(Errno::ENOMEM)?;
        chunks.try_reserve(extra).map_err(|_| Errno::ENOMEM)?;
        Ok(chunks)
    }

    /// The chunk of slot `number`, which exists, shared with no other table.
    fn chunk_mut(&mut self, number: usize) -> Result<&mut Chunk> {
        let chunk = self.own_chunks(0)?.get_mut(number / Chunk::SLOTS).ok_or(Errno::EBADF)?;
        Ok(Arc::make_mut(chunk))
    }

    fn take(&mut self, number: usize) -> Result<Arc<File>> {
        self.file(number).ok_or(Errno::EBADF)?;
        let file = self.chunk_mut(number)?.take(number % Chunk::SLOTS).ok_or(Errno::EBADF)?;
        self.lowest_free = self.lowest_free.min(number);
        Ok(file)
    }

    fn unreserve(&mut self, number: usize) {
        if let Some(position) = self.reserved.iter().position(|reserved| *reserved == number) {
            self.reserved.swap_remove(position);
        }
    }
}

/// A descriptor number that nobody else gets until it is installed or dropped.
#[must_use = "a reservation that is dropped frees the number"]
pub struct Reservation<'a> {
    table: &'a FileTable,
    number: usize,
}

impl Reservation<'_> {
    /// The number that the file will have.
    #[must_use]
    pub fn descriptor(&self) -> Fd {
        Fd(self.number as i32)
    }

    /// Makes the descriptor refer to `file`.
    ///
    /// # Errors
    /// `ENOMEM` if a fork has shared the table meanwhile and it cannot be copied.
    pub fn install(self, file: Arc<File>, close_on_exec: CloseOnExec) -> Result<Fd> {
        let mut slots = self.table.slots.lock();
        let chunk = slots.chunk_mut(self.number)?;
        let old = chunk.put(self.number % Chunk::SLOTS, file, close_on_exec);
        debug_assert!(old.is_none(), "a reserved descriptor is free");
        drop(slots);
        Ok(self.descriptor())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut slots = self.table.slots.lock();
        slots.unreserve(self.number);
        slots.lowest_free = slots.lowest_free.min(self.number);
    }
}

fn index(descriptor: Fd) -> Result<usize> {
    usize::try_from(descriptor.0).map_err(|_| Errno::EBADF)
}
