//! Reads `/proc/trace` (`docs/trace.md`) into a [`Trace`].

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use records::Event;

use crate::replay::Word;
use crate::trace::{Entry, Reason, Task, Trace, What};

const MAGIC: &[u8] = b"SKEINTR1";
const HEADER: usize = 64;
const ROW: usize = 16;
const RECORD: usize = 32;

/// A record as it is in the file.
#[derive(Clone, Copy)]
struct Record {
    ticks: u64,
    /// The event, further bytes for decisions, and the subject.
    head: u64,
    first: u64,
    second: u64,
}

/// Reads the words of a byte string in turn.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    bytes.chunks_exact(8).map(word)
}

/// Text in two words.
fn text(first: u64, second: u64) -> String {
    let bytes = [first.to_le_bytes(), second.to_le_bytes()].concat();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Record {
    /// Whom it is about.
    fn subject(&self) -> Task {
        (self.head >> 32) as Task
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = words(bytes);
        let (ticks, head) = (words.next()?, words.next()?);
        Some(Self { ticks, head, first: words.next()?, second: words.next()? })
    }
}

/// Reads the file's content.
///
/// # Errors
/// If it is no trace, or cut off.
pub fn read(bytes: &[u8]) -> anyhow::Result<Trace> {
    ensure!(bytes.starts_with(MAGIC), "this is no trace: it does not start with SKEINTR1");
    ensure!(bytes.len() >= HEADER, "the trace's header is cut off");
    let header: Vec<u64> = words(&bytes[8..HEADER]).collect();
    let (cpus, names, frequency) = (header[0] as usize, header[1] as usize, header[2]);
    ensure!(header[6] == RECORD as u64, "records of {} bytes are unknown", header[6]);
    ensure!(frequency > 0 && cpus <= 4096, "the trace's header is damaged");
    let rows = bytes.get(HEADER..HEADER + cpus * ROW).context("the table of CPUs is cut off")?;
    let rows: Vec<u64> = words(rows).collect();
    let mut rest = bytes[HEADER + cpus * ROW..].chunks_exact(RECORD);
    let mut records = Vec::new();
    for (cpu, row) in rows.chunks_exact(2).enumerate() {
        for _ in 0..row[0] {
            let Some(record) = rest.next().and_then(Record::read) else {
                bail!("the records of CPU {cpu} are cut off");
            };
            // Zeros stand for what was overwritten while it was read.
            if record.ticks != 0 {
                records.push((cpu, record));
            }
        }
    }
    let names = rest.take(names).filter_map(Record::read);
    let names = names.map(|record| (record.subject(), text(record.first, record.second)));
    Ok(Trace {
        cpus,
        entries: entries(records, frequency),
        names: names.collect::<BTreeMap<_, _>>(),
        lost: rows.chunks_exact(2).map(|row| row[1]).sum(),
    })
}

/// Puts the records in order and gives them their meaning. The first one's time is the beginning.
fn entries(mut records: Vec<(usize, Record)>, frequency: u64) -> Vec<Entry> {
    // Stable: records of one CPU with the same time stay in order.
    records.sort_by_key(|(_, record)| record.ticks);
    let origin = records.first().map_or(0, |(_, record)| record.ticks);
    let nanoseconds =
        |ticks: u64| (u128::from(ticks - origin) * 1_000_000_000 / u128::from(frequency)) as u64;
    let entry = |(cpu, record): (usize, Record)| {
        Some(Entry { time: nanoseconds(record.ticks), cpu, what: meaning(&record)? })
    };
    records.into_iter().filter_map(entry).collect()
}

/// What a record says. `None` for an event that this program does not know.
fn meaning(record: &Record) -> Option<What> {
    let &Record { head, first, second, .. } = record;
    let task = record.subject();
    let point = |name, detail| Some(What::Point { task, name, detail });
    match Event::numbered(head as u8)? {
        Event::Switch => {
            let reason = match second {
                0 => Reason::Blocked,
                1 => Reason::Preempted,
                2 => Reason::Yielded,
                _ => Reason::Ended,
            };
            Some(What::Switch { from: task, to: first as Task, reason })
        }
        Event::Wake => Some(What::Wake { task, cpu: first as usize }),
        Event::Migrate => Some(What::Migrate { task, cpu: first as usize }),
        Event::Fork => Some(What::Fork { parent: task, child: first as Task }),
        Event::Name => Some(What::Name { task, name: text(first, second) }),
        Event::Exit => Some(What::Exit { task }),
        Event::PageFault => point("page fault", format!("{first:#x}, error code {second:#x}")),
        Event::PathCopy => point("path copy", format!("level {first}")),
        Event::Shootdown => {
            let (sent, skipped) = (first as u32, first >> 32);
            let cpus = format!("{sent} CPUs interrupted, {skipped} left alone");
            match second {
                0 => point("full flush", cpus),
                pages => point("shootdown", format!("{pages} pages, {cpus}")),
            }
        }
        Event::SignalSend => point("signal sent", format!("{first}")),
        Event::SignalDeliver => point("signal handler", format!("{first}")),
        Event::Interrupt => {
            let name = match first {
                0 => "timer interrupt".into(),
                1 => "reschedule interrupt".into(),
                2 => "call interrupt".into(),
                _ => format!("device interrupt {second}"),
            };
            Some(What::Begin { task, name })
        }
        Event::SystemCall => Some(What::Begin { task, name: format!("system call {first}") }),
        Event::InterruptEnd | Event::SystemCallEnd => Some(What::End { task }),
        Event::Mark => Some(What::Mark(text(first, second))),
        Event::Policy => point("policy", text(first, second)),
        Event::Decision => Word::read(head, first, second).map(What::Decision),
        Event::FrameCopy => point("frame copy", format!("{first:#x}")),
        Event::SoleOwner => match second {
            0 => point("sole owner", format!("{first:#x}, a page")),
            tables => point("sole owner", format!("{first:#x}, {tables} tables")),
        },
        Event::SpaceFork => point("space fork", format!("{first} entries, {second} pages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(records: &[[u64; 4]]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let header = [1, 1, 2_000_000_000, 0, 0, 0, 32, records.len() as u64, 3];
        let name = [0, 5 | 9 << 32, u64::from_le_bytes(*b"sh\0\0\0\0\0\0"), 0];
        let words = header.into_iter().chain(records.concat()).chain(name);
        bytes.extend(words.flat_map(u64::to_le_bytes));
        bytes
    }

    #[test]
    fn records_are_put_in_order_and_times_become_nanoseconds() {
        let switch = [3000, 1 | 9 << 32, 12, 1];
        let wake = [1000, 2 | 12 << 32, 0, 0];
        let trace = read(&file(&[switch, wake, [0; 4]])).unwrap();
        assert_eq!(trace.lost, 3);
        assert_eq!(trace.names[&9], "sh");
        let expected = [
            Entry { time: 0, cpu: 0, what: What::Wake { task: 12, cpu: 0 } },
            Entry {
                time: 1000,
                cpu: 0,
                what: What::Switch { from: 9, to: 12, reason: Reason::Preempted },
            },
        ];
        assert_eq!(trace.entries, expected);
    }

    #[test]
    fn what_is_no_trace_or_cut_off_is_refused() {
        let whole = file(&[[1, 6 | 9 << 32, 0, 0]]);
        assert!(read(b"ELF").is_err());
        assert!((8..whole.len() - RECORD).all(|length| read(&whole[..length]).is_err()));
        assert_eq!(read(&whole).unwrap().entries[0].what, What::Exit { task: 9 });
    }
}
