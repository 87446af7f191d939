//! The open file description: what descriptors refer to ([`File`]).
//!
//! It binds a place in the tree to the operations of its kind, with the access mode it was opened for, its status
//! flags and its position. dup(2) and fork(2) share it through `Arc`; the last reference to go calls
//! [`FileOperations::release`] and gives up locks.
//!
//! Locks: the position is under a sleeping mutex, held across a whole read or write on seekable files, so that two
//! threads that share the description do not read the same bytes. The owner of signals is under a spin lock.

use alloc::sync::Arc;

use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};

use super::asynchronous::{SignalOwner, Watching};
use super::buffer::{Sink, Source};
use super::flags::{AccessMode, OpenFlags};
use super::inode::Inode;
use super::lock;
use super::operations::{FileOperations, Positioning, SeekFrom};
use super::path::Path;
use super::poll::{PollEvents, PollTable};
use super::write_access::{Claim, WriteClaim};
use crate::errno::{Errno, Result};
use crate::scheduling::{Mutex, MutexGuard};

/// What an open file takes in any case: its record, its place in the tree and the record of its kind, roughly.
const RECORD_BYTES: usize = 512;

/// An open file.
pub struct File {
    path: Path,
    operations: Arc<dyn FileOperations>,
    /// What the operations say, which never changes: asked for by each read and write.
    positioning: Positioning,
    access: AccessMode,
    status: AtomicU32,
    position: Mutex<u64>,
    owner: SpinLock<SignalOwner>,
    /// Tells the owner, with `O_ASYNC`.
    watching: SpinLock<Option<Watching>>,
    /// Whether flock(2) or an open-file-description lock was ever taken through this file.
    has_locks: AtomicBool,
    /// Keeps the file from being executed while it is open for writing.
    _writing: Option<WriteClaim>,
}

impl File {
    /// An open file at `path` that behaves as `operations` say.
    ///
    /// # Errors
    /// `ETXTBSY` for write access to a file that is being executed.
    pub fn new(
        path: Path,
        operations: Arc<dyn FileOperations>,
        flags: OpenFlags,
    ) -> Result<Arc<Self>> {
        let access = flags.access();
        let writing = if access.can_write() {
            Some(WriteClaim::new(path.inode(), Claim::Write)?)
        } else {
            None
        };
        Ok(Arc::new(Self {
            path,
            positioning: operations.positioning(),
            operations,
            access,
            status: AtomicU32::new(flags.status().bits()),
            position: Mutex::new(0),
            owner: SpinLock::new(Rank::FILE, SignalOwner::default()),
            watching: SpinLock::new(Rank::FILE, None),
            has_locks: AtomicBool::new(false),
            _writing: writing,
        }))
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it refers to.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.path.inode()
    }

    /// How it behaves.
    #[must_use]
    pub fn operations(&self) -> &Arc<dyn FileOperations> {
        &self.operations
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> AccessMode {
        self.access
    }

    /// Its status flags: `O_APPEND`, `O_NONBLOCK` and their like, with the access mode.
    #[must_use]
    pub fn status(&self) -> OpenFlags {
        // The flags order nothing else: a change takes effect for the calls after it.
        OpenFlags::from_bits_retain(self.status.load(Ordering::Relaxed))
    }

    /// Changes the status flags in `mask` to what they are in `flags`.
    pub fn set_status(&self, flags: OpenFlags, mask: OpenFlags) {
        let change = |old: u32| Some((old & !mask.bits()) | (flags.bits() & mask.bits()));
        let changed = self.status.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        debug_assert!(changed.is_ok(), "the closure always has an answer");
        self.operations.status_changed(self);
    }

    /// Whether calls that would wait fail with `EAGAIN`.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.status().contains(OpenFlags::NONBLOCK)
    }

    /// Whether seeks and positioned reads make sense.
    #[must_use]
    pub fn is_seekable(&self) -> bool {
        self.positioning == Positioning::Seekable
    }

    /// The position, for reports: it may have moved on.
    #[must_use]
    pub fn position(&self) -> u64 {
        *self.position.lock()
    }

    /// The position, which stays put for others until the guard is dropped.
    pub fn lock_position(&self) -> MutexGuard<'_, u64> {
        self.position.lock()
    }

    /// Reads from where the file stands.
    ///
    /// # Errors
    /// `EBADF` if it is not open for reading, and the file's own.
    pub fn read(&self, sink: &mut Sink<'_>) -> Result {
        self.must_read()?;
        if self.is_seekable() {
            self.operations.read(self, sink, &mut self.position.lock())
        } else {
            self.operations.read(self, sink, &mut 0)
        }
    }

    /// Writes to where the file stands.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, and the file's own.
    pub fn write(&self, source: &mut Source<'_>) -> Result {
        self.must_write()?;
        if self.is_seekable() {
            self.operations.write(self, source, &mut self.position.lock())
        } else {
            self.operations.write(self, source, &mut 0)
        }
    }

    /// Reads from `offset` and leaves the position alone.
    ///
    /// # Errors
    /// `ESPIPE` on a stream; otherwise as [`read`](Self::read).
    pub fn read_at(&self, sink: &mut Sink<'_>, mut offset: u64) -> Result {
        self.must_be_seekable()?;
        self.must_read()?;
        self.operations.read(self, sink, &mut offset)
    }

    /// Writes to `offset` and leaves the position alone.
    ///
    /// # Errors
    /// `ESPIPE` on a stream; otherwise as [`write`](Self::write).
    pub fn write_at(&self, source: &mut Source<'_>, mut offset: u64) -> Result {
        self.must_be_seekable()?;
        self.must_write()?;
        self.operations.write(self, source, &mut offset)
    }

    /// Moves the position.
    ///
    /// # Errors
    /// `ESPIPE` on a stream; `EINVAL`, `ENXIO`, `EOVERFLOW`.
    pub fn seek(&self, to: SeekFrom) -> Result<u64> {
        self.must_be_seekable()?;
        let mut position = self.position.lock();
        *position = self.operations.seek(self, *position, to)?;
        Ok(*position)
    }

    /// What can be done now without waiting; see [`FileOperations::poll`].
    pub fn poll(&self, table: &mut PollTable) -> PollEvents {
        self.operations.poll(self, table)
    }

    /// Bytes of kernel memory that would come back if this was closed; see [`FileOperations::held_memory`].
    #[must_use]
    pub fn held_memory(&self) -> usize {
        RECORD_BYTES + self.operations.held_memory(self)
    }

    fn must_be_seekable(&self) -> Result<()> {
        if self.is_seekable() { Ok(()) } else { Err(Errno::ESPIPE) }
    }

    /// # Errors
    /// `EBADF` if the file is not open for reading.
    pub fn must_read(&self) -> Result<()> {
        if self.access.can_read() { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// # Errors
    /// `EBADF` if the file is not open for writing.
    pub fn must_write(&self) -> Result<()> {
        if self.access.can_write() { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Who gets SIGIO.
    #[must_use]
    pub fn signal_owner(&self) -> SignalOwner {
        self.owner.lock().clone()
    }

    /// Changes who gets SIGIO. `change` runs with a spin lock held.
    pub fn update_signal_owner(&self, change: impl FnOnce(&mut SignalOwner)) {
        // What is overwritten are weak references: nothing ends here.
        change(&mut self.owner.lock());
    }

    /// Replaces what tells the owner, and returns the former; see [`asynchronous`](super::asynchronous).
    #[must_use = "the former watch is given up where this is dropped"]
    pub(super) fn watch_with(&self, watching: Option<Watching>) -> Option<Watching> {
        core::mem::replace(&mut *self.watching.lock(), watching)
    }

    /// Names this open file as the owner of locks.
    #[must_use]
    pub(super) fn lock_owner(&self) -> lock::Owner {
        lock::Owner::Description(core::ptr::from_ref(self).addr())
    }

    /// Records that a lock is about to be taken in the name of this open file.
    pub(super) fn note_lock(&self) {
        // Read in `drop` only, when nobody else has the file any more.
        self.has_locks.store(true, Ordering::Relaxed);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if *self.has_locks.get_mut() {
            lock::release_description(self);
        }
        let operations = self.operations.clone();
        operations.release(self);
    }
}
