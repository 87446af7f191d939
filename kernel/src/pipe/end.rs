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
        let wanted = sink.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let mut turn = Turn::Barging;
        // Most readers come to an empty pipe, and then need not lock it to see that.
        if self.is_empty() {
            if !self.await_bytes(file)? {
                return Ok(0);
            }
            turn = Turn::Woken;
        }
        let taken = self.take(sink, turn);
        if sink.remaining() == wanted {
            return self.read_again(sink, file, taken);
        }
        Ok(wanted - sink.remaining())
    }

    /// Goes on with a read that took nothing so far, with the outcome `taken`.
    #[cold]
    fn read_again(&self, sink: &mut Sink<'_>, file: &File, mut taken: Result<()>) -> Result {
        let wanted = sink.remaining();
        while sink.remaining() == wanted {
            taken?;
            // Another reader was faster, or the last writer has gone.
            if !self.await_bytes(file)? {
                return Ok(0);
            }
            taken = self.take(sink, Turn::Woken);
        }
        Ok(wanted - sink.remaining())
    }

    /// Waits for a reader's turn, unless `file` does not. `false` if there are no bytes and no writer will bring any.
    fn await_bytes(&self, file: &File) -> Result<bool> {
        if !self.has_writers() && self.is_empty() {
            return Ok(false);
        }
        if file.is_nonblocking() {
            return Err(Errno::EAGAIN);
        }
        self.wait_readable()?;
        Ok(true)
    }

    /// Moves what there is to `sink`.
    #[inline(always)]
    fn take(&self, sink: &mut Sink<'_>, turn: Turn) -> Result<()> {
        let wanted = sink.remaining();
        let mut buffer = self.buffer.lock();
        let taken = buffer.read(sink);
        self.publish(&buffer);
        drop(buffer);
        if sink.remaining() < wanted {
            self.writable.wake_one();
        }
        if turn == Turn::Woken && !self.is_empty() {
            self.readable.pass_on();
        }
        taken
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
        let wanted = source.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let given = self.give(source, file, Progress::First, Turn::Barging);
        if source.remaining() > 0 {
            return self.write_rest(source, file, wanted, given);
        }
        Ok(wanted)
    }

    /// Goes on with a write of `wanted` bytes, the first part of which had the outcome `given`.
    #[cold]
    fn write_rest(
        &self,
        source: &mut Source<'_>,
        file: &File,
        wanted: usize,
        mut given: Result<()>,
    ) -> Result {
        while source.remaining() > 0 {
            let is_first = source.remaining() == wanted;
            match given.and_then(|()| self.await_room(file)) {
                Err(error) if is_first => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
            let progress = if is_first { Progress::First } else { Progress::Later };
            given = self.give(source, file, progress, Turn::Woken);
        }
        Ok(wanted - source.remaining())
    }

    /// Waits for a writer's turn, unless `file` does not.
    fn await_room(&self, file: &File) -> Result<()> {
        if file.is_nonblocking() { Err(Errno::EAGAIN) } else { self.wait_writable() }
    }

    /// Moves what fits now from `source`.
    #[inline(always)]
    fn give(
        &self,
        source: &mut Source<'_>,
        file: &File,
        progress: Progress,
        turn: Turn,
    ) -> Result<()> {
        if !self.has_readers() {
            return Err(Self::broken());
        }
        let wanted = source.remaining();
        let mut buffer = self.buffer.lock();
        let given = buffer.write(source, framing(file), progress);
        self.publish(&buffer);
        drop(buffer);
        if source.remaining() < wanted {
            self.readable.wake_one();
        }
        if turn == Turn::Woken && !self.is_full() {
            self.writable.pass_on();
        }
        given
    }
}

/// How a reader or writer came to its turn. A wake-up is for one thread, which has to pass on what it leaves to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It has come just now.
    Barging,
    /// It has waited, and perhaps was woken.
    Woken,
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
