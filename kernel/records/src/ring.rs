//! One CPU's ring of records. Key types: [`Ring`], [`Record`].
//!
//! Writers are the CPU that owns the ring, with preemption off, and its interrupt handlers: a slot is taken by one
//! `fetch_add` on the position, so a handler that interrupts a writer takes another slot. Readers are anyone, at any
//! time, and hold nobody up: each slot is a sequence lock whose sequence is the record's time. A writer stores 0 there,
//! then the words, then the time; a reader that finds the same time before and after has read one record.
//!
//! No lock, and nothing allocates after [`Ring::new`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicU64, Ordering, fence};

/// Records in one allocation: 128 KiB, so that large rings need no large contiguous pieces of memory. The smallest ring has one
/// chunk, and a model of every interleaving none that is larger than it must be.
const CHUNK: usize = if cfg!(loom) { 2 } else { 4096 };

/// One record as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The time-stamp counter; 0 in a slot that holds no record (yet).
    pub time: u64,
    /// The event in the low byte, the subject in the high half.
    pub head: u64,
    /// The first word.
    pub first: u64,
    /// The second word.
    pub second: u64,
}

impl Record {
    /// How long a record is in `/proc/trace`.
    pub const BYTES: usize = 32;

    /// The record as its bytes in `/proc/trace`.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let words = [self.time, self.head, self.first, self.second];
        let mut bytes = [0; Self::BYTES];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

#[derive(Default)]
struct Slot {
    time: AtomicU64,
    head: AtomicU64,
    first: AtomicU64,
    second: AtomicU64,
}

/// A ring. Positions count records since boot; the slot of a position is its remainder.
pub struct Ring {
    next: AtomicU64,
    /// Where readers begin: positions before were dropped on request.
    start: AtomicU64,
    /// The number of slots, a power of two, less one.
    mask: u64,
    chunks: Vec<Box<[Slot; CHUNK]>>,
}

impl Ring {
    /// A ring of at least `records` slots. `None` without memory, or for none.
    #[must_use]
    pub fn new(records: usize) -> Option<Self> {
        if records == 0 {
            return None;
        }
        let slots = records.checked_next_power_of_two()?.max(CHUNK);
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(slots / CHUNK).ok()?;
        for _ in 0..slots / CHUNK {
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(CHUNK).ok()?;
            chunk.resize_with(CHUNK, Slot::default);
            chunks.push(chunk.into_boxed_slice().try_into().ok()?);
        }
        let mask = slots as u64 - 1;
        Some(Self { next: AtomicU64::new(0), start: AtomicU64::new(0), mask, chunks })
    }

    #[inline]
    fn slot(&self, position: u64) -> &Slot {
        let index = (position & self.mask) as usize;
        &self.chunks[index / CHUNK][index % CHUNK]
    }

    /// How many records fit.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Writes a record. On the ring's own CPU, with preemption off.
    #[inline]
    pub fn push(&self, record: Record) {
        // Relaxed: only this CPU takes positions; its own accesses are in order.
        let slot = self.slot(self.next.fetch_add(1, Ordering::Relaxed));
        slot.time.store(0, Ordering::Relaxed);
        // Pairs with the fence in `get`: who sees a word below sees the zero.
        fence(Ordering::Release);
        slot.head.store(record.head, Ordering::Relaxed);
        slot.first.store(record.first, Ordering::Relaxed);
        slot.second.store(record.second, Ordering::Relaxed);
        // Pairs with the acquire in `get`: who sees the time sees the words.
        slot.time.store(record.time, Ordering::Release);
    }

    /// The positions that can be read now: what is there, from the oldest on.
    #[must_use]
    pub fn readable(&self) -> core::ops::Range<u64> {
        let end = self.next.load(Ordering::Acquire);
        let oldest = end.saturating_sub(self.capacity());
        oldest.max(self.start.load(Ordering::Relaxed)).min(end)..end
    }

    /// How many records were overwritten before anybody dropped them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.readable().start.saturating_sub(self.start.load(Ordering::Relaxed))
    }

    /// Makes readers begin with what is written from now on.
    pub fn clear(&self) {
        self.start.store(self.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The record at `position`, unless it is being written or was overwritten by one that is.
    #[must_use]
    pub fn get(&self, position: u64) -> Option<Record> {
        let slot = self.slot(position);
        let time = slot.time.load(Ordering::Acquire);
        let record = Record {
            time,
            head: slot.head.load(Ordering::Relaxed),
            first: slot.first.load(Ordering::Relaxed),
            second: slot.second.load(Ordering::Relaxed),
        };
        // Pairs with the fence in `push`.
        fence(Ordering::Acquire);
        (time != 0 && slot.time.load(Ordering::Relaxed) == time).then_some(record)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    fn record(number: u64) -> Record {
        Record { time: number + 1, head: number, first: number * 3, second: !number }
    }

    #[test]
    fn the_newest_records_are_kept() {
        let ring = Ring::new(1).expect("memory");
        let total = ring.capacity() + 10;
        (0..total).for_each(|number| ring.push(record(number)));
        assert_eq!(ring.readable(), 10..total);
        assert_eq!(ring.lost(), 10);
        assert!(ring.readable().all(|position| ring.get(position) == Some(record(position))));
        ring.clear();
        assert!(ring.readable().is_empty());
        ring.push(record(total));
        assert_eq!((ring.readable(), ring.lost()), (total..total + 1, 0));
    }

    #[test]
    fn there_is_no_ring_of_no_records() {
        assert!(Ring::new(0).is_none());
        assert!(Ring::new(usize::MAX).is_none());
    }

    #[test]
    fn a_reader_beside_the_writer_never_sees_half_a_record() {
        let ring = Ring::new(1).expect("memory");
        thread::scope(|scope| {
            scope.spawn(|| (0..200_000).for_each(|number| ring.push(record(number))));
            let mut seen = 0_u64;
            while seen < 100_000 && ring.readable().end < 200_000 {
                for position in ring.readable().step_by(37) {
                    let Some(found) = ring.get(position) else { continue };
                    assert_eq!(found, record(found.time - 1));
                    seen += 1;
                }
            }
        });
    }
}
