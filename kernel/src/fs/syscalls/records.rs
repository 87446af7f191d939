//! Record locks through fcntl(2): the `struct flock` and the six commands.

use core::ops::RangeInclusive;

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::lock::{self, LockKind, Owner, Patience, Record};
use super::super::{File, FileTable, SeekFrom};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Argument;

/// `struct flock`: type and whence (two `short` each in the first word), start, length, pid.
type RawLock = [u64; 4];

/// What a `struct flock` asks for; no kind means unlock.
struct Request {
    kind: Option<LockKind>,
    range: RangeInclusive<u64>,
    pid: i32,
}

/// Carries out `F_GETLK`, `F_SETLK`, `F_SETLKW` and their `F_OFD_` forms.
pub(super) fn control(files: &FileTable, file: &File, command: u32, argument: u64) -> Result {
    let pointer = UserPtr::<RawLock>::new(UserAddr::from_register(argument));
    let raw = pointer.read()?;
    let request = decode(file, &raw)?;
    let of_description = matches!(command, abi::F_OFD_GETLK | abi::F_OFD_SETLK | abi::F_OFD_SETLKW);
    if of_description && request.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = if of_description { file.lock_owner() } else { Owner::Table(files.lock_owner()) };
    match command {
        abi::F_GETLK | abi::F_OFD_GETLK => {
            let kind = request.kind.ok_or(Errno::EINVAL)?;
            let found = lock::query(file, owner, &request.range, kind);
            return pointer.write(&encode(&raw, found)).map(|()| 0);
        }
        abi::F_SETLK | abi::F_OFD_SETLK => set(files, file, owner, &request, Patience::Try)?,
        _ => set(files, file, owner, &request, Patience::Wait)?,
    }
    Ok(0)
}

fn set(
    files: &FileTable,
    file: &File,
    owner: Owner,
    request: &Request,
    patience: Patience,
) -> Result<()> {
    let Some(kind) = request.kind else { return lock::unlock(file, owner, &request.range) };
    match kind {
        LockKind::Shared => file.must_read()?,
        LockKind::Exclusive => file.must_write()?,
    }
    let pid = match owner {
        Owner::Table(_) => {
            files.note_lock();
            crate::task::current().process().pid().as_u32() as i32
        }
        Owner::Description(_) => {
            file.note_lock();
            -1
        }
    };
    let (start, end) = (*request.range.start(), *request.range.end());
    lock::lock(file, Record { start, end, kind, owner, pid }, patience)
}

fn decode(file: &File, raw: &RawLock) -> Result<Request> {
    let kind = match (raw[0] as u16).into() {
        abi::F_RDLCK => Some(LockKind::Shared),
        abi::F_WRLCK => Some(LockKind::Exclusive),
        abi::F_UNLCK => None,
        _ => return Err(Errno::EINVAL),
    };
    let base = match u32::from((raw[0] >> 16) as u16) {
        abi::SEEK_SET => 0,
        abi::SEEK_CUR => file.position(),
        abi::SEEK_END => file.operations().seek(file, 0, SeekFrom::End(0)).unwrap_or(0),
        _ => return Err(Errno::EINVAL),
    };
    let range = range_of(base, raw[1] as i64, raw[2] as i64)?;
    Ok(Request { kind, range, pid: raw[3] as i32 })
}

/// The bytes of a lock: `length` bytes from `start` on, to infinity for zero, and before `start` for a negative one.
fn range_of(base: u64, start: i64, length: i64) -> Result<RangeInclusive<u64>> {
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(start).ok_or(Errno::EOVERFLOW)?;
    let (first, last) = match length {
        0 => (start, i64::MAX),
        1.. => (start, start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
        _ => (start.checked_add(length).ok_or(Errno::EINVAL)?, start - 1),
    };
    let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let last = u64::try_from(last).map_err(|_| Errno::EINVAL)?;
    Ok(first..=last)
}

/// The answer to a query: the lock in the way, or the question with type `F_UNLCK`.
fn encode(raw: &RawLock, found: Option<Record>) -> RawLock {
    let Some(record) = found else {
        return [raw[0] & !0xffff | u64::from(abi::F_UNLCK), raw[1], raw[2], raw[3]];
    };
    let kind = match record.kind {
        LockKind::Shared => abi::F_RDLCK,
        LockKind::Exclusive => abi::F_WRLCK,
    };
    let endless = record.end == i64::MAX as u64;
    let length = if endless { 0 } else { record.end - record.start + 1 };
    [u64::from(kind), record.start, length, u64::from(record.pid as u32)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_manual() {
        assert_eq!(range_of(0, 10, 5), Ok(10..=14));
        assert_eq!(range_of(100, 10, 0), Ok(110..=i64::MAX as u64));
        assert_eq!(range_of(0, 10, -5), Ok(5..=9));
        assert_eq!(range_of(0, -1, 1), Err(Errno::EINVAL));
        assert_eq!(range_of(0, 3, -5), Err(Errno::EINVAL));
        assert_eq!(range_of(0, i64::MAX, 2), Err(Errno::EOVERFLOW));
    }
}
