//! splice(2) and tee(2): bytes from or to a pipe that never pass through user memory.
//!
//! What leaves a pipe for a file is written with the pipe's mutex held, as on Linux: bytes that the file does not take stay
//! where they are. What comes from a file is read without it, a page at a time, for that may take as long as it likes.
//! Two pipes are locked in the order of their addresses.

use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;

use super::buffer::{PipeBuffer, zeroed_page};
use super::{Pipe, PipeEnd};
use crate::errno::{Errno, Result};
use crate::fs::{Fd, File, OpenFlags, Sink, Source, Special, TRANSFER_MAX};
use crate::memory::user::UserPtr;
use crate::scheduling::MutexGuard;
use crate::syscall::Caller;

/// `SPLICE_F_NONBLOCK`; it is about the pipes, the files have flags of their own.
const NONBLOCK: u32 = 2;
/// `SPLICE_F_MOVE`, `SPLICE_F_MORE` and `SPLICE_F_GIFT` are hints.
const KNOWN: u32 = NONBLOCK | 1 | 4 | 8;

/// What to do when a pipe has no bytes, or no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Wait,
    Fail,
}

impl Patience {
    fn new(flags: u32, pipes: &[&File]) -> Self {
        let fails = flags & NONBLOCK != 0 || pipes.iter().any(|file| file.is_nonblocking());
        if fails { Self::Fail } else { Self::Wait }
    }
}

fn pipe_of(file: &File) -> Option<&Arc<Pipe>> {
    match file.operations().special() {
        Special::Pipe(end) => Some(PipeEnd::pipe(end)),
        _ => None,
    }
}

/// splice: moves up to `length` bytes from one descriptor to another, of which one is a pipe at least.
pub(super) fn splice(
    caller: &mut Caller<'_>,
    input: Fd,
    input_offset: UserPtr<i64>,
    output: Fd,
    output_offset: UserPtr<i64>,
    length: usize,
    flags: u32,
) -> Result {
    if length == 0 {
        return Ok(0);
    }
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let files = caller.thread.files();
    let (input, output) = (files.get(input)?, files.get(output)?);
    let (source, target) = (pipe_of(&input), pipe_of(&output));
    if source.is_some() && !input_offset.is_null() || target.is_some() && !output_offset.is_null() {
        return Err(Errno::ESPIPE);
    }
    let length = length.min(TRANSFER_MAX);
    let mut input_at = input_offset.read_if_present()?;
    let mut output_at = output_offset.read_if_present()?;
    input.must_read()?;
    output.must_write()?;
    let moved = match (source, target) {
        (Some(source), Some(target)) => {
            let patience = Patience::new(flags, &[&input, &output]);
            between(source, target, patience, |from, to| from.splice(to, length))?
        }
        (Some(source), None) => {
            if output.status().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL);
            }
            let patience = Patience::new(flags, &[&input]);
            to_file(source, &output, &mut output_at, length, patience)?
        }
        (None, Some(target)) => {
            let patience = Patience::new(flags, &[&output]);
            from_file(&input, &mut input_at, target, length, patience)?
        }
        (None, None) => return Err(Errno::EINVAL),
    };
    for (pointer, offset) in [(input_offset, input_at), (output_offset, output_at)] {
        if let Some(offset) = offset {
            pointer.write(&offset)?;
        }
    }
    Ok(moved)
}

/// tee: copies up to `length` bytes from one pipe to another and leaves them in the first.
pub(super) fn tee(
    caller: &mut Caller<'_>,
    input: Fd,
    output: Fd,
    length: usize,
    flags: u32,
) -> Result {
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Ok(0);
    }
    let files = caller.thread.files();
    let (input, output) = (files.get(input)?, files.get(output)?);
    input.must_read()?;
    output.must_write()?;
    let (Some(source), Some(target)) = (pipe_of(&input), pipe_of(&output)) else {
        return Err(Errno::EINVAL);
    };
    let patience = Patience::new(flags, &[&input, &output]);
    let length = length.min(TRANSFER_MAX);
    between(source, target, patience, |from, to| from.tee(to, length))
}

/// An offset that the caller supplied, as a file's operations want it.
fn checked(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// Waits until `source` has bytes. `false` if there are none and no writer will bring any.
///
/// A wake-up is for one reader, and this one may come to wait elsewhere before it takes a byte: it is passed on.
fn await_bytes(source: &Pipe, patience: Patience) -> Result<bool> {
    let mut has_waited = false;
    loop {
        if !source.is_empty() {
            if has_waited {
                source.readable.pass_on();
            }
            return Ok(true);
        }
        if !source.has_writers() {
            // The last writer may have brought bytes before it left.
            return Ok(!source.is_empty());
        }
        if patience == Patience::Fail {
            return Err(Errno::EAGAIN);
        }
        source.wait_readable()?;
        has_waited = true;
    }
}

/// Waits until `target` has a free slot. As in [`await_bytes`], a wake-up is passed on.
fn await_room(target: &Pipe, patience: Patience) -> Result<()> {
    let mut has_waited = false;
    loop {
        if !target.has_readers() {
            return Err(Pipe::broken());
        }
        if !target.is_full() {
            if has_waited {
                target.writable.pass_on();
            }
            return Ok(());
        }
        if patience == Patience::Fail {
            return Err(Errno::EAGAIN);
        }
        target.wait_writable()?;
        has_waited = true;
    }
}

/// Has `transfer` move bytes between two pipes, waiting until it can move any.
fn between(
    source: &Arc<Pipe>,
    target: &Arc<Pipe>,
    patience: Patience,
    mut transfer: impl FnMut(&mut PipeBuffer, &mut PipeBuffer) -> Result,
) -> Result {
    if Arc::ptr_eq(source, target) {
        return Err(Errno::EINVAL);
    }
    loop {
        if !await_bytes(source, patience)? {
            return Ok(0);
        }
        await_room(target, patience)?;
        let (mut from, mut to) = lock_pair(source, target);
        let moved = transfer(&mut from, &mut to);
        source.publish(&from);
        target.publish(&to);
        drop((from, to));
        let moved = moved?;
        if moved > 0 {
            source.wake_next();
            target.wake_next();
            return Ok(moved);
        }
    }
}

type BufferGuard<'a> = MutexGuard<'a, PipeBuffer>;

fn lock_pair<'a>(source: &'a Pipe, target: &'a Pipe) -> (BufferGuard<'a>, BufferGuard<'a>) {
    if core::ptr::from_ref(source) < core::ptr::from_ref(target) {
        let from = source.buffer.lock();
        (from, target.buffer.lock())
    } else {
        let to = target.buffer.lock();
        (source.buffer.lock(), to)
    }
}

/// Writes what is in `source` to a file, after waiting for the first byte.
fn to_file(
    source: &Pipe,
    output: &File,
    offset: &mut Option<i64>,
    length: usize,
    patience: Patience,
) -> Result {
    let mut at = offset.map(checked).transpose()?;
    loop {
        if !await_bytes(source, patience)? {
            return Ok(0);
        }
        let mut buffer = source.buffer.lock();
        if buffer.is_empty() {
            continue;
        }
        let moved = buffer.drain(length, |piece| {
            let mut piece = Source::kernel(piece);
            let Some(at) = &mut at else { return output.write(&mut piece) };
            let written = output.write_at(&mut piece, *at)?;
            *at += written as u64;
            Ok(written)
        });
        source.publish(&buffer);
        drop(buffer);
        source.wake_next();
        *offset = at.map(|at| at as i64);
        return moved;
    }
}

/// Reads from a file into `target`: what there is room for from a file with positions, one page's worth from others.
fn from_file(
    input: &File,
    offset: &mut Option<i64>,
    target: &Pipe,
    length: usize,
    patience: Patience,
) -> Result {
    let mut at = offset.map(checked).transpose()?;
    await_room(target, patience)?;
    let mut total = 0;
    while total < length && (total == 0 || !target.is_full()) {
        let wanted = PAGE_SIZE.min(length - total);
        let count = match page_from(input, &mut at, target, wanted) {
            Ok(count) => count,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        };
        total += count;
        if count < wanted || !input.is_seekable() {
            break;
        }
    }
    *offset = at.map(|at| at as i64);
    Ok(total)
}

/// Reads up to `wanted` bytes, a page at most, and appends them to `target`.
fn page_from(input: &File, at: &mut Option<u64>, target: &Pipe, wanted: usize) -> Result {
    let mut page = zeroed_page()?;
    // What has been read cannot be given back, so there must be a place for it.
    target.buffer.lock().promise_slot()?;
    let mut sink = Sink::kernel(&mut page[..wanted]);
    let read = match at {
        Some(at) => input.read_at(&mut sink, *at),
        None => input.read(&mut sink),
    };
    let mut buffer = target.buffer.lock();
    buffer.keep_promise(page, read.unwrap_or(0));
    target.publish(&buffer);
    drop(buffer);
    let count = read?;
    if let Some(at) = at {
        *at += count as u64;
    }
    target.wake_next();
    Ok(count)
}
