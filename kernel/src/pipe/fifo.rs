//! FIFOs: pipes with a name (fifo(7)).
//!
//! A FIFO's inode keeps a [`Fifo`]. The pipe behind it exists while somebody has the FIFO open, and what it holds is
//! lost with the last of them.

use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicUsize, Ordering};
use arch::sync::{Rank, SpinLock};

use super::{Pipe, PipeEnd};
use crate::errno::{Errno, Result};
use crate::fs::{AccessMode, FileOperations, OpenFlags, Reopen};
use crate::scheduling::WaitQueue;

/// What the inode of a FIFO keeps.
pub struct Fifo {
    pipe: SpinLock<Weak<Pipe>>,
}

impl Default for Fifo {
    fn default() -> Self {
        Self::new()
    }
}

impl Fifo {
    /// A FIFO that nobody has open.
    #[must_use]
    pub const fn new() -> Self {
        Self { pipe: SpinLock::new(Rank::FILE, Weak::new()) }
    }

    /// Opens the FIFO: for one direction that waits for a partner, unless `O_NONBLOCK` is set.
    ///
    /// # Errors
    /// `ENXIO` for a non-blocking writer without a reader; `ERESTARTSYS`; `EINVAL` for an access mode that is none.
    pub fn open(&self, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        self.pipe().reopen(flags)
    }

    /// The pipe, made anew if nobody has the FIFO open.
    fn pipe(&self) -> Arc<Pipe> {
        let fresh = Pipe::new();
        let mut slot = self.pipe.lock();
        let pipe = slot.upgrade().unwrap_or_else(|| {
            *slot = Arc::downgrade(&fresh);
            fresh.clone()
        });
        drop(slot);
        pipe
    }
}

/// Whether an open waits for its partner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    /// `O_NONBLOCK`.
    No,
}

fn wait_of(flags: OpenFlags) -> Wait {
    if flags.contains(OpenFlags::NONBLOCK) { Wait::No } else { Wait::Yes }
}

fn open_both(pipe: Arc<Pipe>) -> Arc<dyn FileOperations> {
    let end = PipeEnd::new(pipe, AccessMode::ReadWrite);
    end.pipe().readable.wake_all();
    end.pipe().writable.wake_all();
    Arc::new(end)
}

fn open_reader(pipe: Arc<Pipe>, wait: Wait) -> Result<Arc<dyn FileOperations>> {
    let writers_before = pipe.writer_opens.load(Ordering::Acquire);
    let mut end = PipeEnd::new(pipe, AccessMode::Read);
    end.pipe().writable.wake_all();
    if !end.pipe().has_writers() {
        if wait == Wait::No {
            end.ignore_absent_writers();
        } else {
            let pipe = end.pipe();
            wait_for_partner(&end, &pipe.readable, &pipe.writer_opens, writers_before)?;
        }
    }
    Ok(Arc::new(end))
}

fn open_writer(pipe: Arc<Pipe>, wait: Wait) -> Result<Arc<dyn FileOperations>> {
    if wait == Wait::No && !pipe.has_readers() {
        return Err(Errno::ENXIO);
    }
    let readers_before = pipe.reader_opens.load(Ordering::Acquire);
    let end = PipeEnd::new(pipe, AccessMode::Write);
    end.pipe().readable.wake_all();
    if !end.pipe().has_readers() {
        let pipe = end.pipe();
        wait_for_partner(&end, &pipe.writable, &pipe.reader_opens, readers_before)?;
    }
    Ok(Arc::new(end))
}

impl Reopen for Pipe {
    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        match (flags.access(), wait_of(flags)) {
            (AccessMode::Read, wait) => open_reader(self, wait),
            (AccessMode::Write, wait) => open_writer(self, wait),
            (AccessMode::ReadWrite, _) => Ok(open_both(self)),
            (AccessMode::ControlOnly | AccessMode::Path, _) => Err(Errno::EINVAL),
        }
    }
}

/// Waits until the other direction is opened, even if it is closed again at once. An end whose wait is cut short was
/// never open.
fn wait_for_partner(
    end: &PipeEnd,
    queue: &WaitQueue,
    opens: &AtomicUsize,
    before: usize,
) -> Result<()> {
    let met = queue.wait_until(|| (opens.load(Ordering::Acquire) != before).then_some(()));
    met.inspect_err(|_| end.close())
}
