//! The ring of log records: a fixed block of bytes in which new lines overwrite the oldest.
//!
//! A record is a 16-byte header (text length, level, CPU, time) followed by its text. Positions count bytes since boot
//! and are reduced modulo the capacity on access, so `head - tail` is always what is in use.

use arch::cpu::CpuId;
use arch::time::Nanos;
use arrayvec::ArrayString;

use super::{LINE_BYTES, Level};

const CAPACITY: usize = 256 * 1024;
const HEADER: usize = 16;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number: lines count up from 0 at boot.
    pub sequence: u64,
    /// How severe it is.
    pub level: Level,
    /// When it was logged.
    pub time: Nanos,
    /// Where it was logged.
    pub cpu: CpuId,
    /// The line, without its newline.
    pub text: ArrayString<LINE_BYTES>,
}

/// The ring itself. The lock around it is the caller's.
pub struct Ring {
    bytes: [u8; CAPACITY],
    tail: u64,
    head: u64,
    first_sequence: u64,
    next_sequence: u64,
}

impl Ring {
    pub const fn new() -> Self {
        Self { bytes: [0; CAPACITY], tail: 0, head: 0, first_sequence: 0, next_sequence: 0 }
    }

    pub const fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    pub const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub fn push(&mut self, level: Level, time: Nanos, cpu: CpuId, text: &str) {
        let text = &text[..text.floor_char_boundary(LINE_BYTES)];
        while self.head + (HEADER + text.len()) as u64 - self.tail > CAPACITY as u64 {
            self.tail = self.after(self.tail);
            self.first_sequence += 1;
        }
        let mut header = [0; HEADER];
        header[0..2].copy_from_slice(&(text.len() as u16).to_le_bytes());
        header[2] = level as u8;
        header[4..8].copy_from_slice(&(cpu.index() as u32).to_le_bytes());
        header[8..16].copy_from_slice(&time.0.to_le_bytes());
        self.append(&header);
        self.append(text.as_bytes());
        self.next_sequence += 1;
    }

    pub fn read_from(&self, sequence: u64) -> Option<Record> {
        let sequence = sequence.max(self.first_sequence);
        if sequence >= self.next_sequence {
            return None;
        }
        let mut position = self.tail;
        for _ in self.first_sequence..sequence {
            position = self.after(position);
        }
        Some(self.decode(position, sequence))
    }

    fn decode(&self, position: u64, sequence: u64) -> Record {
        let mut header = [0; HEADER];
        self.copy_out(position, &mut header);
        let length = usize::from(u16::from_le_bytes([header[0], header[1]]));
        let mut bytes = [0; LINE_BYTES];
        self.copy_out(position + HEADER as u64, &mut bytes[..length]);
        let cpu = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&header[8..16]);
        Record {
            sequence,
            level: Level::from_number(header[2]),
            time: Nanos(u64::from_le_bytes(nanos)),
            cpu: CpuId::new(cpu as usize),
            // What was pushed was a str of at most LINE_BYTES.
            text: core::str::from_utf8(&bytes[..length])
                .ok()
                .and_then(|text| ArrayString::from(text).ok())
                .unwrap_or_default(),
        }
    }

    /// The position of the record after the one at `position`.
    fn after(&self, position: u64) -> u64 {
        let mut length = [0; 2];
        self.copy_out(position, &mut length);
        position + (HEADER + usize::from(u16::from_le_bytes(length))) as u64
    }

    fn append(&mut self, bytes: &[u8]) {
        let start = (self.head % CAPACITY as u64) as usize;
        let first = bytes.len().min(CAPACITY - start);
        self.bytes[start..start + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.head += bytes.len() as u64;
    }

    fn copy_out(&self, position: u64, out: &mut [u8]) {
        let start = (position % CAPACITY as u64) as usize;
        let first = out.len().min(CAPACITY - start);
        let rest = out.len() - first;
        out[..first].copy_from_slice(&self.bytes[start..start + first]);
        out[first..].copy_from_slice(&self.bytes[..rest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &mut Ring, text: &str) {
        ring.push(Level::Info, Nanos(7), CpuId::new(3), text);
    }

    #[test]
    fn records_come_back_in_order_with_their_header() {
        let mut ring = Box::new(Ring::new());
        push(&mut ring, "one");
        push(&mut ring, "");
        let record = ring.read_from(0).expect("the first");
        assert_eq!((record.sequence, record.level, record.time), (0, Level::Info, Nanos(7)));
        assert_eq!((record.cpu, record.text.as_str()), (CpuId::new(3), "one"));
        assert_eq!(ring.read_from(1).expect("the second").text.as_str(), "");
        assert!(ring.read_from(2).is_none());
    }

    #[test]
    fn the_oldest_records_make_room() {
        let mut ring = Box::new(Ring::new());
        let line = "x".repeat(1000);
        for _ in 0..1000 {
            push(&mut ring, &line);
        }
        push(&mut ring, "last");
        assert_eq!(ring.next_sequence(), 1001);
        assert!(ring.first_sequence() > 700);
        let first = ring.read_from(0).expect("something is kept");
        assert_eq!(first.sequence, ring.first_sequence());
        assert_eq!(first.text.as_str(), line);
        assert_eq!(ring.read_from(1000).expect("the last").text.as_str(), "last");
    }
}
