//! What the kind of an open file decides: [`FileOperations`].
//!
//! Pipes, sockets, terminals, devices, directories and regular files each implement it. The layer above has checked
//! the descriptor and its access mode; offsets of streams mean nothing. Methods may sleep unless they say otherwise.

use alloc::sync::Arc;

use mm::object::MemoryObject;

use super::asynchronous::SignalOwner;
use super::buffer::{Sink, Source};
use super::file::File;
use super::inode::EntryVisitor;
use super::poll::{PollEvents, PollTable};
use crate::errno::{Errno, Result};
use crate::event::{EventPoll, TimerFile};
use crate::pipe::PipeEnd;
use crate::signal::SignalFd;
use crate::socket::Socket;
use crate::task::Pidfd;

/// What offsets mean to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Positioning {
    /// A file of bytes with a position: seeks and positioned reads work.
    Seekable,
    /// A stream: seeks and positioned reads fail with `ESPIPE`, and reads do not serialise on the position.
    Stream,
}

/// From where a seek counts (lseek(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeekFrom {
    /// `SEEK_SET`.
    Start(i64),
    /// `SEEK_CUR`.
    Current(i64),
    /// `SEEK_END`.
    End(i64),
    /// `SEEK_DATA`: the next byte at or after here that is not in a hole.
    Data(i64),
    /// `SEEK_HOLE`: the next hole at or after here.
    Hole(i64),
}

impl SeekFrom {
    /// The position this means where there is no end to count from: directories, and texts that are made when read.
    ///
    /// # Errors
    /// `EINVAL` for a position before the start, and for what needs an end.
    pub fn without_end(self, current: u64) -> Result<u64> {
        let target = match self {
            Self::Start(offset) => Some(offset),
            Self::Current(offset) => {
                i64::try_from(current).ok().and_then(|current| current.checked_add(offset))
            }
            Self::End(_) | Self::Data(_) | Self::Hole(_) => None,
        };
        target.and_then(|target| u64::try_from(target).ok()).ok_or(Errno::EINVAL)
    }
}

/// What fallocate(2) shall do with a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocation {
    /// Have memory for it, and move the end of the file if it ends later (mode 0).
    Grow,
    /// Have memory for it (`FALLOC_FL_KEEP_SIZE`).
    Reserve,
    /// Make it a hole (`FALLOC_FL_PUNCH_HOLE`).
    PunchHole,
}

/// The kinds of files that some system calls work on exclusively.
#[derive(Clone, Copy)]
pub enum Special<'a> {
    /// None of them.
    None,
    /// An end of a pipe: splice(2), tee(2).
    Pipe(&'a PipeEnd),
    /// A socket: sendmsg(2) and all the others.
    Socket(&'a Arc<Socket>),
    /// An event poll instance: epoll_ctl(2), epoll_wait(2).
    EventPoll(&'a Arc<EventPoll>),
    /// A timer: timerfd_settime(2), timerfd_gettime(2).
    Timer(&'a TimerFile),
}

/// The behaviour of an open file.
pub trait FileOperations: Send + Sync {
    /// Reads up to `sink.remaining()` bytes and advances `position`. Zero means end of file.
    ///
    /// # Errors
    /// `EAGAIN` on a non-blocking file that would wait, `ERESTARTSYS` when a signal ends the wait, `EFAULT` when not
    /// even the first byte could be stored, `EISDIR`, `EIO`.
    fn read(&self, _file: &File, _sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        Err(Errno::EINVAL)
    }

    /// Writes up to `source.remaining()` bytes and advances `position`. With `O_APPEND` a seekable file sets the
    /// position to its end first.
    ///
    /// # Errors
    /// As [`read`](Self::read); `EPIPE`, `ENOSPC`, `EFBIG`.
    fn write(&self, _file: &File, _source: &mut Source<'_>, _position: &mut u64) -> Result {
        Err(Errno::EINVAL)
    }

    /// What offsets mean here. Asked once, when the file is opened.
    fn positioning(&self) -> Positioning {
        Positioning::Stream
    }

    /// The new position for a seek from `current`. Called only on seekable files.
    ///
    /// # Errors
    /// `EINVAL` for a negative result, `EOVERFLOW`, `ENXIO` (no data or hole there).
    fn seek(&self, _file: &File, _current: u64, _to: SeekFrom) -> Result<u64> {
        Err(Errno::ESPIPE)
    }

    /// What the file is to the system calls that work on one kind of file.
    fn special(&self) -> Special<'_> {
        Special::None
    }

    /// What can be done now without waiting; `table` remembers the wait queues whose wake-up may change the answer.
    /// Registers before it looks. Does not sleep.
    fn poll(&self, _file: &File, _table: &mut PollTable) -> PollEvents {
        PollEvents::always_ready()
    }

    /// Device control (ioctl(2)); `argument` is usually a user address.
    ///
    /// # Errors
    /// `ENOTTY` for a command that this file does not know.
    fn ioctl(&self, _file: &File, _command: u32, _argument: u64) -> Result {
        Err(Errno::ENOTTY)
    }

    /// Calls `visit` for the entries of a directory from `cursor` on, `.` and `..` included.
    ///
    /// # Errors
    /// `ENOTDIR` on anything else.
    fn entries(&self, _file: &File, _cursor: u64, _visit: &mut EntryVisitor<'_>) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// How many bytes FIONREAD reports.
    ///
    /// # Errors
    /// `ENOTTY` where the question has no answer.
    fn readable_bytes(&self, _file: &File) -> Result {
        Err(Errno::ENOTTY)
    }

    /// Prepares or frees the bytes `offset .. offset + length` (fallocate(2)).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where there is nothing to prepare; `ENOSPC`, `EFBIG`, `EPERM` (sealed).
    fn allocate(&self, _file: &File, _mode: Allocation, _offset: u64, _length: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What a mapping of the file shows.
    ///
    /// # Errors
    /// `ENODEV` where there is nothing to map.
    fn memory_object(&self, _file: &File) -> Result<Arc<dyn MemoryObject>> {
        Err(Errno::ENODEV)
    }

    /// Whether a mapping shows fresh zeros instead of anything that the file holds (/dev/zero). Then there is no memory
    /// object.
    fn maps_zeros(&self) -> bool {
        false
    }

    /// The seals of a memfd (`F_GET_SEALS`).
    ///
    /// # Errors
    /// `EINVAL` on anything else.
    fn seals(&self) -> Result<u32> {
        Err(Errno::EINVAL)
    }

    /// Lets a new memfd be sealed later (`MFD_ALLOW_SEALING`).
    fn allow_seals(&self) {}

    /// Adds seals (`F_ADD_SEALS`).
    ///
    /// # Errors
    /// `EINVAL` on what cannot be sealed; `EPERM`, `EBUSY`.
    fn add_seals(&self, _seals: u32) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// The capacity of a pipe in bytes (`F_GETPIPE_SZ`).
    ///
    /// # Errors
    /// `EBADF` on what is no pipe.
    fn pipe_capacity(&self) -> Result {
        Err(Errno::EBADF)
    }

    /// Changes the capacity of a pipe and returns the new one (`F_SETPIPE_SZ`).
    ///
    /// # Errors
    /// `EBADF` on what is no pipe, `EBUSY` when the contents do not fit, `EPERM`, `ENOMEM`.
    fn set_pipe_capacity(&self, _bytes: usize) -> Result {
        Err(Errno::EBADF)
    }

    /// The pidfd, if this is one.
    fn as_pidfd(&self) -> Option<&Pidfd> {
        None
    }

    /// The signalfd, if this is one.
    fn as_signalfd(&self) -> Option<&SignalFd> {
        None
    }

    /// Bytes of kernel memory that the open file keeps beside its own record, and that come back when it is closed. For
    /// choosing whom to end when memory has run out: called with the descriptor table locked, so it takes no lock below
    /// `FILE`, does not sleep and allocates nothing.
    fn held_memory(&self, _file: &File) -> usize {
        0
    }

    /// Whom `O_ASYNC` tells that the file is ready, until `F_SETOWN` names somebody. `None` for files that have nothing to tell.
    fn default_signal_owner(&self) -> Option<SignalOwner> {
        None
    }

    /// The file's status flags changed (`F_SETFL`, `FIONBIO`).
    fn status_changed(&self, _file: &File) {}

    /// The last reference to the open file is gone. Does not sleep and does not fail.
    fn release(&self, _file: &File) {}
}
