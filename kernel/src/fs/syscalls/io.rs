//! read(2), write(2) and their positioned and vectored forms.

use alloc::vec::Vec;

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::{Fd, File, OpenFlags, Segment, Sink, Source};
use super::file;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(0, read(descriptor: Fd, buffer: UserAddr, count: usize)),
    syscall!(1, write(descriptor: Fd, buffer: UserAddr, count: usize)),
    syscall!(17, pread64(descriptor: Fd, buffer: UserAddr, count: usize, offset: i64)),
    syscall!(18, pwrite64(descriptor: Fd, buffer: UserAddr, count: usize, offset: i64)),
    syscall!(19, readv(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize)),
    syscall!(20, writev(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize)),
    syscall!(295, preadv(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize, offset: i64)),
    syscall!(296, pwritev(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize, offset: i64)),
    syscall!(327, preadv2(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize, offset: i64, high: u64, flags: u32)),
    syscall!(328, pwritev2(descriptor: Fd, segments: UserPtr<[u64; 2]>, count: usize, offset: i64, high: u64, flags: u32)),
];

/// The most segments of one call (`UIO_MAXIOV`).
pub const SEGMENTS_MAX: usize = 1024;
/// What preadv2 and pwritev2 accept. Everything is in memory, so only `RWF_APPEND` and `RWF_NOWAIT` could matter.
const FLAGS_KNOWN: u32 =
    abi::RWF_HIPRI | abi::RWF_DSYNC | abi::RWF_SYNC | abi::RWF_NOWAIT | abi::RWF_APPEND;

/// A user range that a transfer may use at all: `EFAULT` comes before anything happens.
fn check_range(address: UserAddr, count: usize) -> Result<()> {
    address.checked_add(count as u64).map(|_| ()).ok_or(Errno::EFAULT)
}

fn offset_of(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// read(2).
fn read(caller: &mut Caller<'_>, descriptor: Fd, buffer: UserAddr, count: usize) -> Result {
    let file = file(caller, descriptor)?;
    file.must_read()?;
    check_range(buffer, count)?;
    file.read(&mut Sink::user(buffer, count))
}

/// write(2).
fn write(caller: &mut Caller<'_>, descriptor: Fd, buffer: UserAddr, count: usize) -> Result {
    let file = file(caller, descriptor)?;
    file.must_write()?;
    check_range(buffer, count)?;
    file.write(&mut Source::user(buffer, count))
}

/// pread(2).
fn pread64(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> Result {
    let offset = offset_of(offset)?;
    let file = file(caller, descriptor)?;
    check_range(buffer, count)?;
    file.read_at(&mut Sink::user(buffer, count), offset)
}

/// pwrite(2).
fn pwrite64(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> Result {
    let offset = offset_of(offset)?;
    let file = file(caller, descriptor)?;
    check_range(buffer, count)?;
    file.write_at(&mut Source::user(buffer, count), offset)
}

/// The segments of an `iovec` array.
///
/// # Errors
/// `EINVAL` for too many, or lengths that add up to more than a call can return; `EFAULT`, `ENOMEM`.
pub fn read_segments(segments: UserPtr<[u64; 2]>, count: usize) -> Result<Vec<Segment>> {
    if count > SEGMENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let raw = segments.read_array(count)?;
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    let mut total: i64 = 0;
    for [base, length] in raw {
        let signed = i64::try_from(length).map_err(|_| Errno::EINVAL)?;
        total = total.checked_add(signed).ok_or(Errno::EINVAL)?;
        let address = UserAddr::try_new(base).unwrap_or(UserAddr::END);
        list.push(Segment { address, length: length as usize });
    }
    Ok(list)
}

/// readv(2).
fn readv(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
) -> Result {
    let file = file(caller, descriptor)?;
    file.must_read()?;
    let segments = read_segments(segments, count)?;
    file.read(&mut Sink::vector(&segments))
}

/// writev(2).
fn writev(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
) -> Result {
    let file = file(caller, descriptor)?;
    file.must_write()?;
    let segments = read_segments(segments, count)?;
    file.write(&mut Source::vector(&segments))
}

/// preadv(2).
fn preadv(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
    offset: i64,
) -> Result {
    let offset = offset_of(offset)?;
    let file = file(caller, descriptor)?;
    let segments = read_segments(segments, count)?;
    file.read_at(&mut Sink::vector(&segments), offset)
}

/// pwritev(2).
fn pwritev(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
    offset: i64,
) -> Result {
    let offset = offset_of(offset)?;
    let file = file(caller, descriptor)?;
    let segments = read_segments(segments, count)?;
    file.write_at(&mut Source::vector(&segments), offset)
}

/// preadv2(2): offset -1 stands for the file's own position.
fn preadv2(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result {
    check_flags(flags)?;
    if offset == -1 {
        let file = file(caller, descriptor)?;
        check_nowait(&file, flags)?;
        return readv(caller, descriptor, segments, count);
    }
    preadv(caller, descriptor, segments, count, offset)
}

/// pwritev2(2).
fn pwritev2(
    caller: &mut Caller<'_>,
    descriptor: Fd,
    segments: UserPtr<[u64; 2]>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result {
    check_flags(flags)?;
    let file = file(caller, descriptor)?;
    check_nowait(&file, flags)?;
    if flags & abi::RWF_APPEND != 0 && !file.status().contains(OpenFlags::APPEND) {
        return append(&file, segments, count, offset);
    }
    if offset == -1 {
        return writev(caller, descriptor, segments, count);
    }
    pwritev(caller, descriptor, segments, count, offset)
}

/// One write to the end of a file that is not open for appending (`RWF_APPEND`).
fn append(file: &File, segments: UserPtr<[u64; 2]>, count: usize, offset: i64) -> Result {
    let segments = read_segments(segments, count)?;
    let mut source = Source::vector(&segments);
    let mut position = file.lock_position();
    let mut end = file.operations().seek(file, *position, super::super::SeekFrom::End(0))?;
    file.must_write()?;
    let written = file.operations().write(file, &mut source, &mut end)?;
    if offset == -1 {
        *position = end;
    }
    Ok(written)
}

fn check_flags(flags: u32) -> Result<()> {
    if flags & !FLAGS_KNOWN == 0 { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// `RWF_NOWAIT` is for files that can say that they would wait without being non-blocking.
fn check_nowait(file: &File, flags: u32) -> Result<()> {
    let nowait = flags & abi::RWF_NOWAIT != 0;
    if nowait && !file.is_seekable() && !file.is_nonblocking() {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(())
}
