//! Copies between two descriptors inside the kernel: sendfile(2), copy_file_range(2).

use core::cell::Cell;

use super::super::{Fd, File, FileType, OpenFlags, Sink, Source};
use super::file;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(40, sendfile(output: Fd, input: Fd, offset: UserPtr<i64>, count: usize)),
    syscall!(326, copy_file_range(input: Fd, input_offset: UserPtr<i64>, output: Fd, output_offset: UserPtr<i64>, count: usize, flags: u32)),
];

/// Bytes that travel at a time.
const CHUNK: usize = 16 * 1024;

/// One side of a copy: a file with a position of its own, or with one that the caller supplied.
struct Side<'a> {
    file: &'a File,
    offset: Option<Cell<u64>>,
}

impl<'a> Side<'a> {
    fn new(file: &'a File, pointer: UserPtr<i64>) -> Result<Self> {
        let offset = match pointer.read_if_present()? {
            None => None,
            Some(_) if !file.is_seekable() => return Err(Errno::ESPIPE),
            Some(offset) => Some(Cell::new(u64::try_from(offset).map_err(|_| Errno::EINVAL)?)),
        };
        Ok(Self { file, offset })
    }

    fn read(&self, buffer: &mut [u8]) -> Result {
        let mut sink = Sink::kernel(buffer);
        let Some(offset) = &self.offset else { return self.file.read(&mut sink) };
        let count = self.file.read_at(&mut sink, offset.get())?;
        offset.set(offset.get() + count as u64);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> Result {
        let mut source = Source::kernel(bytes);
        let Some(offset) = &self.offset else { return self.file.write(&mut source) };
        let count = self.file.write_at(&mut source, offset.get())?;
        offset.set(offset.get() + count as u64);
        Ok(count)
    }

    /// Takes back the last `bytes` bytes read, which found no taker.
    fn unread(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        match &self.offset {
            Some(offset) => offset.set(offset.get() - bytes as u64),
            None => *self.file.lock_position() -= bytes as u64,
        }
    }

    fn store(&self, pointer: UserPtr<i64>) -> Result<()> {
        match &self.offset {
            Some(offset) => pointer.write(&(offset.get() as i64)),
            None => Ok(()),
        }
    }
}

/// Copies up to `count` bytes; an error counts only if nothing was copied before.
fn copy(input: &Side<'_>, output: &Side<'_>, count: usize) -> Result {
    let mut buffer = super::try_zeroed(CHUNK.min(count))?;
    let mut total = 0;
    while total < count {
        let step = buffer.len().min(count - total);
        let moved = input.read(&mut buffer[..step]).and_then(|fetched| {
            let written = match output.write(&buffer[..fetched]) {
                Ok(written) => written,
                Err(error) => {
                    input.unread(fetched);
                    return Err(error);
                }
            };
            input.unread(fetched - written);
            Ok((fetched, written))
        });
        match moved {
            Ok((fetched, written)) => {
                total += written;
                if fetched == 0 || written < fetched {
                    break;
                }
            }
            Err(error) if total == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// sendfile(2): from something with positions to anything.
fn sendfile(
    caller: &mut Caller<'_>,
    output: Fd,
    input: Fd,
    offset: UserPtr<i64>,
    count: usize,
) -> Result {
    let input = file(caller, input)?;
    input.must_read()?;
    if !input.is_seekable() {
        return Err(if offset.is_null() { Errno::EINVAL } else { Errno::ESPIPE });
    }
    let output = file(caller, output)?;
    output.must_write()?;
    if output.status().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let from = Side::new(&input, offset)?;
    let to = Side { file: &output, offset: None };
    let moved = copy(&from, &to, count.min(super::super::TRANSFER_MAX))?;
    from.store(offset)?;
    Ok(moved)
}

/// copy_file_range(2): between regular files.
fn copy_file_range(
    caller: &mut Caller<'_>,
    input: Fd,
    input_offset: UserPtr<i64>,
    output: Fd,
    output_offset: UserPtr<i64>,
    count: usize,
    flags: u32,
) -> Result {
    let input = file(caller, input)?;
    let output = file(caller, output)?;
    let from = Side::new(&input, input_offset)?;
    let to = Side::new(&output, output_offset)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    for file in [&input, &output] {
        match file.inode().file_type() {
            FileType::Directory => return Err(Errno::EISDIR),
            FileType::Regular => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    let readable = input.access().can_read();
    let appends = output.status().contains(OpenFlags::APPEND);
    if !readable || !output.access().can_write() || appends {
        return Err(Errno::EBADF);
    }
    let count = count.min(super::super::TRANSFER_MAX);
    if overlaps(&from, &to, count) {
        return Err(Errno::EINVAL);
    }
    let moved = copy(&from, &to, count)?;
    from.store(input_offset)?;
    to.store(output_offset)?;
    Ok(moved)
}

/// Whether the two ranges lie in one file and share a byte.
fn overlaps(from: &Side<'_>, to: &Side<'_>, count: usize) -> bool {
    if !alloc::sync::Arc::ptr_eq(from.file.inode(), to.file.inode()) {
        return false;
    }
    let start =
        |side: &Side<'_>| side.offset.as_ref().map_or_else(|| side.file.position(), Cell::get);
    start(from).abs_diff(start(to)) < count as u64
}
