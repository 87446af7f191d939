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
        let wait = if flags.contains(OpenFlags::NONBLOCK) { Wait::No } else { Wait::Yes };
        match flags.access() {
            AccessMode::Read => open_reader(self.pipe(), wait),
            AccessMode::Write => open_writer(self.pipe(), wait),
            AccessMode::ReadWrite => Ok(open_at_once(self.pipe(), AccessMode::ReadWrite)),
            AccessMode::ControlOnly | AccessMode::Path => Err(Errno::EINVAL),
        }
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

/// Opens an end whatever the other side does.
fn open_at_once(pipe: Arc<Pipe>, access: AccessMode) -> Arc<dyn FileOperations> {
    let end = PipeEnd::new(pipe, access);
    end.pipe().readable.wake_all();
    end.pipe().writable.wake_all();
    Arc::new(end)
}

fn open_reader(pipe: Arc<Pipe>, wait: Wait) -> Result<Arc<dyn FileOperations>> {
    let writers = Partners::look(&pipe.writer_opens, &pipe.writers);
    let mut end = PipeEnd::new(pipe, AccessMode::Read);
    end.pipe().writable.wake_all();
    match wait {
        Wait::No if !end.pipe().has_writers() => end.ignore_absent_writers(),
        Wait::No => {}
        Wait::Yes => {
            let pipe = end.pipe();
            wait_for_partner(&end, &pipe.readable, &pipe.writer_opens, writers)?;
        }
    }
    Ok(Arc::new(end))
}

fn open_writer(pipe: Arc<Pipe>, wait: Wait) -> Result<Arc<dyn FileOperations>> {
    if wait == Wait::No && !pipe.has_readers() {
        return Err(Errno::ENXIO);
    }
    let readers = Partners::look(&pipe.reader_opens, &pipe.readers);
    let end = PipeEnd::new(pipe, AccessMode::Write);
    end.pipe().readable.wake_all();
    if wait == Wait::Yes {
        let pipe = end.pipe();
        wait_for_partner(&end, &pipe.writable, &pipe.reader_opens, readers)?;
    }
    Ok(Arc::new(end))
}

/// What an opener sees of the other side before it shows itself. A partner that waits for this very opener may return from
/// its open, do its work and close before the opener looks again, so whoever was there then counts as met.
#[derive(Clone, Copy)]
enum Partners {
    Present,
    /// There were none, after so many opens.
    AbsentAfter(usize),
}

impl Partners {
    /// The number of opens is read first: an end counts as present before its open is counted.
    fn look(opens: &AtomicUsize, present: &AtomicUsize) -> Self {
        let opens = opens.load(Ordering::Acquire);
        let present = present.load(Ordering::Acquire);
        if present > 0 { Self::Present } else { Self::AbsentAfter(opens) }
    }
}

/// A pipe without a name, opened once more through `/proc/PID/fd`. Nobody waits for a partner: if the other side is
/// gone, it is gone.
impl Reopen for Pipe {
    fn reopen(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        match flags.access() {
            AccessMode::ControlOnly | AccessMode::Path => Err(Errno::EINVAL),
            access => Ok(open_at_once(self, access)),
        }
    }
}

/// Waits until the other direction is opened, if nobody had it open `before`, even if it is closed again at once. An end whose wait is cut short was
/// never open.
fn wait_for_partner(
    end: &PipeEnd,
    queue: &WaitQueue,
    opens: &AtomicUsize,
    before: Partners,
) -> Result<()> {
    let Partners::AbsentAfter(before) = before else { return Ok(()) };
    let met = queue.wait_until(|| (opens.load(Ordering::Acquire) != before).then_some(()));
    met.inspect_err(|_| end.close())
}
