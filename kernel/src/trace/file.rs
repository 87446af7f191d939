//! `/proc/trace`: all rings as one binary file, and commands to the recorder. The format is in `docs/trace.md`.
//!
//! Opening the file notes which positions of each ring it shows; records are copied as they are read. One that was
//! overwritten in between is shown as zeros, so the size of the file is fixed. Recording goes on meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use arch::clock;
use arch::sync::atomic::Ordering;

use super::{DEFAULT_EVENTS, EVENTS, Event, RINGS, Record, record_current, words_of};
use crate::errno::{Errno, Result};
use crate::fs::{
    DeviceNumber, File, FileOperations, FileType, Inode, Metadata, OpenFlags, Positioning,
    SeekFrom, Sink, Source, Timestamp,
};
use crate::task::table;

/// How the file starts.
const MAGIC: [u8; 8] = *b"SKEINTR1";
/// Bytes of the header before the table of CPUs.
const HEADER: usize = 64;
/// Bytes of a CPU's row.
const ROW: usize = 16;
/// The longest command.
const COMMAND_MAX: usize = 64;

/// The inode.
pub struct TraceInode {
    device: DeviceNumber,
    made: Timestamp,
}

impl TraceInode {
    /// The file, on the file system with number `device`.
    #[must_use]
    pub fn new(device: DeviceNumber) -> Self {
        Self { device, made: Timestamp::now() }
    }
}

impl Inode for TraceInode {
    fn metadata(&self) -> Metadata {
        Metadata {
            device: self.device,
            inode: core::ptr::from_ref(&MAGIC).addr() as u64,
            file_type: FileType::Regular,
            permissions: 0o600,
            links: 1,
            user: 0,
            group: 0,
            special: DeviceNumber::default(),
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: self.made,
            modified: self.made,
            changed: self.made,
            created: self.made,
        }
    }

    fn file_type(&self) -> FileType {
        FileType::Regular
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Ok(Arc::new(Snapshot::take()?))
    }
}

/// An open trace.
struct Snapshot {
    /// Header and rows.
    head: Vec<u8>,
    /// The positions that are shown, by CPU.
    shown: Vec<Range<u64>>,
    /// A record for each living thread, with its name.
    names: Vec<Record>,
}

impl Snapshot {
    fn take() -> Result<Self> {
        let mut shown = Vec::new();
        let mut lost = Vec::new();
        if let Some(rings) = RINGS.get() {
            let count = rings.iter().count();
            shown.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
            lost.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
            lost.extend(rings.iter().map(|(_, ring)| ring.lost()));
            shown.extend(rings.iter().map(|(_, ring)| ring.readable()));
        }
        let names = names()?;
        let head = header(&shown, &lost, names.len())?;
        Ok(Self { head, shown, names })
    }

    /// The bytes of the record with this number, counted over all CPUs and then the names. `None` at the end.
    fn record(&self, number: u64) -> Option<Record> {
        let mut left = number;
        for (cpu, shown) in self.shown.iter().enumerate() {
            let length = shown.end - shown.start;
            if left < length {
                let ring = RINGS.get()?.get(arch::cpu::CpuId::new(cpu));
                let position = shown.start + left;
                // Asked after the record was read: if it is kept still, it was then.
                let record = ring.get(position);
                let record = record.filter(|_| ring.readable().contains(&position));
                return Some(record.unwrap_or_default());
            }
            left -= length;
        }
        self.names.get(usize::try_from(left).ok()?).copied()
    }

    /// Stores what follows `position`, up to the end of a record. 0 at the end of the file.
    fn read_piece(&self, sink: &mut Sink<'_>, position: u64) -> Result {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let Some(behind) = position.checked_sub(self.head.len()) else {
            return sink.put(&self.head[position..]);
        };
        let Some(record) = self.record((behind / Record::BYTES) as u64) else { return Ok(0) };
        sink.put(&record.to_bytes()[behind % Record::BYTES..])
    }
}

fn header(shown: &[Range<u64>], lost: &[u64], names: usize) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    head.try_reserve_exact(HEADER + shown.len() * ROW).map_err(|_| Errno::ENOMEM)?;
    head.extend(MAGIC);
    let words = [
        shown.len() as u64,
        names as u64,
        clock::tsc_frequency(),
        clock::first_ticks(),
        clock::ticks(),
        u64::from(EVENTS.load(Ordering::Relaxed)),
        Record::BYTES as u64,
    ];
    head.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    for (range, lost) in shown.iter().zip(lost) {
        head.extend((range.end - range.start).to_le_bytes());
        head.extend(lost.to_le_bytes());
    }
    Ok(head)
}

/// A [`Event::Name`] record without a time for each living thread.
fn names() -> Result<Vec<Record>> {
    let mut names = Vec::new();
    let mut is_full = false;
    for process in table::processes()? {
        process.for_each_thread(|thread| {
            is_full |= names.try_reserve(1).is_err();
            if !is_full {
                let (first, second) = words_of(thread.name().as_bytes());
                let head = Event::Name as u64 | u64::from(thread.tid().as_u32()) << 32;
                names.push(Record { time: 0, head, first, second });
            }
        });
    }
    if is_full { Err(Errno::ENOMEM) } else { Ok(names) }
}

impl FileOperations for Snapshot {
    fn read(&self, _file: &File, sink: &mut Sink<'_>, position: &mut u64) -> Result {
        let mut total = 0;
        while sink.remaining() > 0 {
            match self.read_piece(sink, *position) {
                Ok(0) => break,
                Ok(count) => {
                    *position += count as u64;
                    total += count;
                }
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, position: &mut u64) -> Result {
        let length = source.remaining();
        if length > COMMAND_MAX {
            return Err(Errno::EINVAL);
        }
        let mut text = [0; COMMAND_MAX];
        if source.take(&mut text[..length])? != length {
            return Err(Errno::EFAULT);
        }
        obey(text[..length].trim_ascii_end())?;
        *position += length as u64;
        Ok(length)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn seek(&self, _file: &File, current: u64, to: SeekFrom) -> Result<u64> {
        to.without_end(current)
    }
}

/// Carries out a command: `on`, `off`, `calls` (on, with system calls), `clear`, `mark TEXT`.
///
/// # Errors
/// `EINVAL` for anything else; `ENODEV` where there are no rings.
fn obey(command: &[u8]) -> Result<()> {
    let rings = RINGS.get().ok_or(Errno::ENODEV)?;
    match command {
        b"on" => EVENTS.store(DEFAULT_EVENTS, Ordering::Relaxed),
        b"off" => EVENTS.store(0, Ordering::Relaxed),
        b"calls" => EVENTS.store(u32::MAX, Ordering::Relaxed),
        b"clear" => rings.iter().for_each(|(_, ring)| ring.clear()),
        _ => {
            let text = command.strip_prefix(b"mark ").ok_or(Errno::EINVAL)?;
            let (first, second) = words_of(text);
            record_current(Event::Mark, first, second);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_size_that_is_documented() {
        let head = header(&[3..10, 0..0], &[3, 0], 5).expect("memory");
        assert_eq!(head.len(), HEADER + 2 * ROW);
        assert_eq!(head[..8], MAGIC);
        assert_eq!(head[8..16], 2_u64.to_le_bytes());
        assert_eq!(head[HEADER..HEADER + 16], [7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_unknown_command_is_refused() {
        crate::trace::initialize(1, 1);
        assert_eq!(obey(b"sing"), Err(Errno::EINVAL));
        assert_eq!(obey(b"mark here"), Ok(()));
        assert_eq!(obey(b"clear"), Ok(()));
    }
}
