//! An open end of a pipe or FIFO: reading, writing, polling, closing.

use alloc::sync::Arc;

use arch::sync::atomic::Ordering;

use super::Pipe;
use super::buffer::{Framing, Progress};
use crate::errno::{Errno, Result};
use crate::fs::{
    AccessMode, File, FileOperations, OpenFlags, PollEvents, PollTable, SignalOwner, Sink, Source,
    Special,
};
use crate::signal::{self, Signal};

/// An end of a pipe. A FIFO opened for both reading and writing is one end that does both.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    access: AccessMode,
    /// A reader that opened a FIFO without waiting for a writer sees no hang-up until a writer has come and gone:
    /// the count of writers ever that does not mean one. `usize::MAX` for every other end.
    unseen_writers: usize,
}

impl PipeEnd {
    /// An end of `pipe`, counted among its readers, writers or both.
    pub(super) fn new(pipe: Arc<Pipe>, access: AccessMode) -> Self {
        if access.can_read() {
            pipe.readers.fetch_add(1, Ordering::AcqRel);
            pipe.reader_opens.fetch_add(1, Ordering::AcqRel);
        }
        if access.can_write() {
            pipe.writers.fetch_add(1, Ordering::AcqRel);
            pipe.writer_opens.fetch_add(1, Ordering::AcqRel);
        }
        Self { pipe, access, unseen_writers: usize::MAX }
    }

    /// No hang-up is reported until a writer comes after those that ever were.
    pub(super) fn ignore_absent_writers(&mut self) {
        self.unseen_writers = self.pipe.writer_opens.load(Ordering::Acquire);
    }

    /// The pipe.
    pub(super) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Takes the end out of the pipe's counts and tells the other side.
    pub(super) fn close(&self) {
        if self.access.can_read() {
            self.pipe.readers.fetch_sub(1, Ordering::AcqRel);
        }
        if self.access.can_write() {
            self.pipe.writers.fetch_sub(1, Ordering::AcqRel);
        }
        self.pipe.readable.wake_all();
        self.pipe.writable.wake_all();
    }
}

impl Pipe {
    /// Waits until a read makes sense: there are bytes, or no writer will bring any.
    pub(super) fn wait_readable(&self) -> Result<()> {
        self.readable.wait_until(|| (!self.is_empty() || !self.has_writers()).then_some(()))
    }

    /// Waits until a write makes sense: a slot is free, or no reader is left.
    pub(super) fn wait_writable(&self) -> Result<()> {
        self.writable.wait_until(|| (!self.is_full() || !self.has_readers()).then_some(()))
    }

    /// Waits until nobody has the pipe open for reading any more.
    ///
    /// # Errors
    /// `ERESTARTSYS` if a signal ends the wait.
    pub(crate) fn wait_until_unread(&self) -> Result<()> {
        self.readable.wait_until(|| (!self.has_readers()).then_some(()))
    }

    /// `EPIPE`, with the signal that goes with it.
    pub(super) fn broken() -> Errno {
        signal::send_to_current(Signal::SIGPIPE);
        Errno::EPIPE
    }

    fn read(&self, sink: &mut Sink<'_>, file: &File) -> Result {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        loop {
            // Most readers come to an empty pipe, and then need not lock it to see that.
            let count = if self.is_empty() { 0 } else { self.take(sink)? };
            if count > 0 {
                self.writable.wake_one();
                if !self.is_empty() {
                    self.readable.pass_on();
                }
                return Ok(count);
            }
            if !self.has_writers() && self.is_empty() {
                return Ok(0);
            }
            if file.is_nonblocking() {
                return Err(Errno::EAGAIN);
            }
            self.wait_readable()?;
        }
    }

    /// Moves what there is to `sink`.
    fn take(&self, sink: &mut Sink<'_>) -> Result {
        let mut buffer = self.buffer.lock();
        let count = buffer.read(sink);
        self.publish(&buffer);
        count
    }

    /// Wakes one thread for what there is now: a reader for bytes, a writer for a free slot. Each wakes the next.
    pub(super) fn wake_next(&self) {
        if !self.is_empty() {
            self.readable.wake_one();
        }
        if !self.is_full() {
            self.writable.wake_one();
        }
    }

    fn write(&self, source: &mut Source<'_>, file: &File) -> Result {
        let mut total = 0;
        let mut progress = Progress::First;
        while source.remaining() > 0 {
            match self.write_some(source, file, progress) {
                Ok(count) => total += count,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
            progress = Progress::Later;
        }
        Ok(total)
    }

    /// Writes what fits now, waiting until something does.
    fn write_some(&self, source: &mut Source<'_>, file: &File, progress: Progress) -> Result {
        loop {
            if !self.has_readers() {
                return Err(Self::broken());
            }
            let count = {
                let mut buffer = self.buffer.lock();
                let count = buffer.write(source, framing(file), progress);
                self.publish(&buffer);
                count?
            };
            if count > 0 {
                self.readable.wake_one();
                if !self.is_full() {
                    self.writable.pass_on();
                }
                return Ok(count);
            }
            if file.is_nonblocking() {
                return Err(Errno::EAGAIN);
            }
            self.wait_writable()?;
        }
    }
}

/// Whether writes to `file` are packets.
fn framing(file: &File) -> Framing {
    if file.status().contains(OpenFlags::DIRECT) { Framing::Packets } else { Framing::Stream }
}

impl FileOperations for PipeEnd {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        self.pipe.read(sink, file)
    }

    fn write(&self, file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        self.pipe.write(source, file)
    }

    fn default_signal_owner(&self) -> Option<SignalOwner> {
        Some(SignalOwner::default())
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        let mut events = PollEvents::empty();
        if self.access.can_read() {
            table.watch(&self.pipe.readable);
            if !self.pipe.is_empty() {
                events |= PollEvents::READABLE;
            }
            let seen_writer = self.pipe.writer_opens.load(Ordering::Acquire) != self.unseen_writers;
            if !self.pipe.has_writers() && seen_writer {
                events |= PollEvents::HANG_UP;
            }
        }
        if self.access.can_write() {
            table.watch(&self.pipe.writable);
            if !self.pipe.is_full() {
                events |= PollEvents::WRITABLE;
            }
            if !self.pipe.has_readers() {
                events |= PollEvents::ERROR;
            }
        }
        events
    }

    fn special(&self) -> Special<'_> {
        Special::Pipe(self)
    }

    fn readable_bytes(&self, _file: &File) -> Result {
        Ok(self.pipe.buffer.lock().len())
    }

    fn pipe_capacity(&self) -> Result {
        Ok(self.pipe.capacity_bytes())
    }

    fn set_pipe_capacity(&self, bytes: usize) -> Result {
        self.pipe.set_capacity(bytes)
    }

    fn held_memory(&self, _file: &File) -> usize {
        // Each end answers for its part.
        self.pipe.held_memory() / self.pipe.ends().max(1)
    }

    fn release(&self, _file: &File) {
        self.close();
    }
}
