//! /dev/kmsg: the kernel log, record by record (Linux's `Documentation/ABI/testing/dev-kmsg`).
//!
//! A read returns one record as `priority,sequence,microseconds,-;text` and a newline. What was overwritten before it
//! could be read is reported once, by `EPIPE`. A write adds a record, whose priority it may give as `<N>`.
//!
//! The position of an open file is the sequence number of its next record, in an atomic: readers of one open file
//! that race get each record at least once.

use alloc::sync::Arc;
use core::fmt::Write;

use arch::sync::atomic::{AtomicU64, Ordering};
use arrayvec::ArrayString;

use crate::errno::{Errno, Result};
use crate::fs::device::CharacterDevice;
use crate::fs::{
    File, FileOperations, OpenFlags, Path, PollEvents, PollTable, Positioning, SeekFrom, Sink,
    Source,
};
use crate::log::{self, Level, Record};

/// The longest record as text: every byte may be escaped.
const RECORD_BYTES: usize = 64 + 4 * log::LINE_BYTES;
/// The longest record that can be written (`LOG_LINE_MAX`).
const WRITE_MAX: usize = 1024 - 32;
/// The facility of records that programs write: user-level messages.
const FACILITY_USER: u32 = 1 << 3;

/// The device.
pub(super) struct Kmsg;

impl CharacterDevice for Kmsg {
    fn open(
        &self,
        _minor: u32,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOperations>> {
        Ok(Arc::new(KmsgFile { next: AtomicU64::new(log::first_sequence()) }))
    }
}

/// An open log.
struct KmsgFile {
    /// The sequence number of the record to be read next. Relaxed: the log's lock orders records.
    next: AtomicU64,
}

impl KmsgFile {
    fn take(&self) -> Option<Result<Record>> {
        let wanted = self.next.load(Ordering::Relaxed);
        let record = log::read_from(wanted)?;
        if record.sequence > wanted {
            self.next.store(record.sequence, Ordering::Relaxed);
            return Some(Err(Errno::EPIPE));
        }
        Some(Ok(record))
    }
}

/// The text of a record as a read returns it.
fn format(record: &Record) -> ArrayString<RECORD_BYTES> {
    let mut text = ArrayString::new();
    let micros = record.time.0 / 1000;
    // The buffer is large enough for every record by construction.
    let _fits = write!(text, "{},{},{micros},-;", record.level as u8, record.sequence);
    for character in record.text.chars() {
        let _fits = if character.is_control() || character == '\\' {
            let mut bytes = [0; 4];
            character
                .encode_utf8(&mut bytes)
                .bytes()
                .try_for_each(|byte| write!(text, "\\x{byte:02x}"))
        } else {
            text.write_char(character)
        };
    }
    let _fits = text.write_char('\n');
    text
}

impl FileOperations for KmsgFile {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        let record = if file.is_nonblocking() {
            self.take().ok_or(Errno::EAGAIN)?
        } else {
            super::syslog::news().wait_until(|| self.take())?
        }?;
        let text = format(&record);
        if text.len() > sink.remaining() {
            return Err(Errno::EINVAL);
        }
        let stored = sink.put(text.as_bytes())?;
        self.next.store(record.sequence + 1, Ordering::Relaxed);
        Ok(stored)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        let count = source.remaining();
        if count > WRITE_MAX {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; WRITE_MAX];
        if source.take(&mut bytes[..count])? < count {
            return Err(Errno::EFAULT);
        }
        let (level, text) = split_priority(&bytes[..count]);
        log::record(level, format_args!("{}", text.trim_ascii_end().escape_ascii()));
        Ok(count)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn seek(&self, _file: &File, _current: u64, to: SeekFrom) -> Result<u64> {
        let next = match to {
            SeekFrom::Start(0) | SeekFrom::Data(0) => log::first_sequence(),
            SeekFrom::End(0) => log::next_sequence(),
            SeekFrom::Start(_) | SeekFrom::End(_) | SeekFrom::Current(_) => {
                return Err(Errno::ESPIPE);
            }
            SeekFrom::Data(_) | SeekFrom::Hole(_) => return Err(Errno::EINVAL),
        };
        self.next.store(next, Ordering::Relaxed);
        Ok(0)
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(super::syslog::news());
        let next = self.next.load(Ordering::Relaxed);
        if next < log::first_sequence() {
            PollEvents::READABLE | PollEvents::WRITABLE | PollEvents::ERROR | PollEvents::PRIORITY
        } else if next < log::next_sequence() {
            PollEvents::READABLE | PollEvents::WRITABLE
        } else {
            PollEvents::WRITABLE
        }
    }
}

/// The level in a leading `<N>`, and what follows it. Without one, Linux's default level.
fn split_priority(bytes: &[u8]) -> (Level, &[u8]) {
    let parsed = (|| {
        let rest = bytes.strip_prefix(b"<")?;
        let end = rest.iter().position(|&byte| byte == b'>')?;
        let number: u32 = core::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((Level::from_number((number % FACILITY_USER) as u8), &rest[end + 1..]))
    })();
    parsed.unwrap_or((Level::Warning, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arch::cpu::CpuId;
    use arch::time::Nanos;

    #[test]
    fn priorities_are_split_off() {
        assert_eq!(split_priority(b"<3>oops"), (Level::Error, &b"oops"[..]));
        assert_eq!(split_priority(b"<30>daemon"), (Level::Info, &b"daemon"[..]));
        assert_eq!(split_priority(b"plain"), (Level::Warning, &b"plain"[..]));
        assert_eq!(split_priority(b"<x>y"), (Level::Warning, &b"<x>y"[..]));
    }

    #[test]
    fn records_are_one_line_each() {
        let record = Record {
            sequence: 12,
            level: Level::Info,
            time: Nanos::from_millis(1500),
            cpu: CpuId::BOOT,
            text: ArrayString::from("a\nb\\").expect("short"),
        };
        assert_eq!(&format(&record), "6,12,1500000,-;a\\x0ab\\x5c\n");
    }
}
