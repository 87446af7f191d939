//! What a pipe holds: up to `capacity` slots of one page each, filled in order.
//!
//! Slots instead of one ring, for three reasons: memory is taken only while there are bytes, but for one page; a write of at most
//! `PIPE_BUF` (one page) goes into one slot or not at all, which makes it atomic; and packets (O_DIRECT) and tee(2)
//! need boundaries. The arithmetic is Linux's: a pipe is writable while a slot is free, and the odd bytes of a write
//! are merged into the last slot if they fit there.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use arch::addr::PAGE_SIZE;

use crate::errno::{Errno, Result};
use crate::fs::{Sink, Source};

/// How the bytes of one write are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// A stream of bytes.
    Stream,
    /// Each write (each page of it) is a packet, and a read takes one packet at most (O_DIRECT of pipe(2)).
    Packets,
}

/// The memory of a slot.
pub(super) type Page = Box<[u8; PAGE_SIZE]>;

/// A page of zeros.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn zeroed_page() -> Result<Page> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(PAGE_SIZE).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(PAGE_SIZE, 0);
    bytes.into_boxed_slice().try_into().map_err(|_| Errno::ENOMEM)
}

/// One page with the bytes `start .. end` of it in use.
#[derive(Debug)]
struct Slot {
    page: Page,
    start: usize,
    end: usize,
    framing: Framing,
}

impl Slot {
    fn bytes(&self) -> &[u8] {
        &self.page[self.start..self.end]
    }

    /// Takes as much of `source` as fits behind the bytes that are there, at most `limit`.
    fn fill(&mut self, source: &mut Source<'_>, limit: usize) -> Result<()> {
        let end = PAGE_SIZE.min(self.end + limit);
        self.end += source.take(&mut self.page[self.end..end])?;
        Ok(())
    }
}

/// The contents of a pipe.
#[derive(Debug)]
pub struct PipeBuffer {
    /// The slots in use, in order, and behind them at most one that was read empty and keeps its page for the next write:
    /// where a reader keeps up with its writer, pages stay where they are.
    slots: VecDeque<Slot>,
    /// How many slots are in use.
    occupied: usize,
    capacity: usize,
    /// Slots for which there is memory beside those in use: see [`promise_slot`](Self::promise_slot).
    promised: usize,
}

impl PipeBuffer {
    /// An empty pipe of `capacity` slots.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { slots: VecDeque::new(), occupied: 0, capacity, promised: 0 }
    }

    /// The number of slots.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of slots in use.
    #[must_use]
    pub fn occupied(&self) -> usize {
        self.occupied
    }

    /// Whether there is nothing to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Whether no slot is free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.occupied >= self.capacity
    }

    /// The number of bytes that can be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used().map(|slot| slot.end - slot.start).sum()
    }

    /// Changes the number of slots.
    ///
    /// # Errors
    /// `EBUSY` if more are in use.
    pub fn set_capacity(&mut self, capacity: usize) -> Result<()> {
        if capacity < self.occupied {
            return Err(Errno::EBUSY);
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Moves bytes to `sink` until it is full or the pipe empty, one packet at most. What `sink` still has room for tells
    /// how many those were.
    ///
    /// # Errors
    /// `EFAULT` if not all could be stored.
    #[inline(always)]
    pub fn read(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        while sink.remaining() > 0
            && let Some(slot) = self.front()
        {
            let offered = sink.remaining().min(slot.end - slot.start);
            let stored = sink.put(slot.bytes())?;
            slot.start += stored;
            let is_packet = slot.framing == Framing::Packets;
            if slot.start == slot.end || (is_packet && stored == offered) {
                self.release_front();
            }
            if is_packet || stored < offered {
                break;
            }
        }
        Ok(())
    }

    /// Takes bytes from `source` until it is empty or no slot is free; what is left of it tells how many those were.
    /// `progress` says whether this is a later part of a write that began earlier, whose bytes are not merged into the
    /// last slot.
    ///
    /// # Errors
    /// `EFAULT` if not all could be fetched, `ENOMEM` if there is no page.
    #[inline(always)]
    pub fn write(
        &mut self,
        source: &mut Source<'_>,
        framing: Framing,
        progress: Progress,
    ) -> Result<()> {
        if progress == Progress::First && framing == Framing::Stream {
            self.merge(source)?;
        }
        while source.remaining() > 0 && !self.is_full() {
            self.append(source, framing)?;
        }
        Ok(())
    }

    /// Copies up to `limit` bytes to the end of `target`, which has room for whole slots, leaving them here (tee(2)).
    ///
    /// # Errors
    /// `ENOMEM` if there is no page for the first byte.
    pub fn tee(&self, target: &mut Self, limit: usize) -> Result {
        let mut total = 0;
        for slot in self.used() {
            let count = slot.bytes().len().min(limit - total);
            if count == 0 || target.is_full() {
                break;
            }
            let mut source = Source::kernel(&slot.bytes()[..count]);
            match target.append(&mut source, slot.framing) {
                Ok(()) => total += count,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Gives up to `limit` bytes to `take`, a piece at a time, and forgets what it took; fewer than a piece end it
    /// (splice(2)).
    ///
    /// # Errors
    /// That of `take`, if nothing was taken.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8]) -> Result) -> Result {
        let mut total = 0;
        while total < limit {
            let Some(slot) = self.front() else { break };
            let piece = slot.bytes();
            let offered = piece.len().min(limit - total);
            let taken = match take(&piece[..offered]) {
                Ok(taken) => taken,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            };
            slot.start += taken;
            total += taken;
            if slot.start == slot.end {
                self.release_front();
            }
            if taken < offered {
                break;
            }
        }
        Ok(total)
    }

    /// Moves up to `limit` bytes to the end of `target`, as far as it has free slots (splice(2)).
    ///
    /// # Errors
    /// `ENOMEM` if there is no page for the first byte.
    pub fn splice(&mut self, target: &mut Self, limit: usize) -> Result {
        let copied = self.tee(target, limit)?;
        self.drain(copied, |piece| Ok(piece.len()))
    }

    /// Promises memory for one more slot, whatever else is written until [`keep_promise`](Self::keep_promise).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn promise_slot(&mut self) -> Result<()> {
        self.reserve_slot()?;
        self.promised += 1;
        Ok(())
    }

    /// Appends the first `count` bytes of `page` in the slot that was promised, even beyond the capacity: they have been
    /// taken from elsewhere and have to go somewhere. Without any bytes the promise is taken back.
    pub(super) fn keep_promise(&mut self, page: Page, count: usize) {
        self.promised -= 1;
        if count > 0 {
            let slot = Slot { page, start: 0, end: count, framing: Framing::Stream };
            self.slots.insert(self.occupied, slot);
            self.occupied += 1;
        }
    }

    /// The slots in use.
    fn used(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(self.occupied)
    }

    /// The first slot in use.
    fn front(&mut self) -> Option<&mut Slot> {
        if self.is_empty() { None } else { self.slots.front_mut() }
    }

    /// The last slot in use.
    fn back(&mut self) -> Option<&mut Slot> {
        self.slots.get_mut(self.occupied.checked_sub(1)?)
    }

    /// Makes room for one more slot in the list, beside those that are promised.
    fn reserve_slot(&mut self) -> Result<()> {
        self.slots.try_reserve(self.promised + 1).map_err(|_| Errno::ENOMEM)
    }

    /// Appends the odd bytes of `source` (its length modulo the page size) to the last slot if they fit there whole.
    fn merge(&mut self, source: &mut Source<'_>) -> Result<()> {
        let odd = source.remaining() % PAGE_SIZE;
        match self.back() {
            Some(last)
                if odd > 0 && last.framing == Framing::Stream && last.end + odd <= PAGE_SIZE =>
            {
                last.fill(source, odd)
            }
            _ => Ok(()),
        }
    }

    /// Fills a new slot from `source`, which is not empty.
    fn append(&mut self, source: &mut Source<'_>, framing: Framing) -> Result<()> {
        if self.slots.len() == self.occupied {
            self.add_slot()?;
        }
        let slot = &mut self.slots[self.occupied];
        (slot.start, slot.end, slot.framing) = (0, 0, framing);
        slot.fill(source, PAGE_SIZE)?;
        self.occupied += 1;
        Ok(())
    }

    /// Adds a slot that is not in use, with its page.
    #[cold]
    fn add_slot(&mut self) -> Result<()> {
        self.reserve_slot()?;
        let page = zeroed_page()?;
        self.slots.push_back(Slot { page, start: 0, end: 0, framing: Framing::Stream });
        Ok(())
    }

    /// Takes the first slot, whose bytes are gone, out of use.
    fn release_front(&mut self) {
        self.occupied -= 1;
        // A slot alone stays where it is, for the next write.
        if self.slots.len() > 1 {
            self.remove_front();
        }
    }

    /// Moves the first slot, no longer in use, behind the others, or removes it if there is such a one already.
    #[inline(never)]
    fn remove_front(&mut self) {
        if self.slots.len() == self.occupied + 1 {
            self.slots.rotate_left(1);
        } else {
            self.slots.pop_front();
        }
    }
}

/// Which part of a system call a [`PipeBuffer::write`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The first: nothing of the call's bytes is in the pipe yet.
    First,
    /// A later one, after the pipe was full.
    Later,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(buffer: &mut PipeBuffer, bytes: &[u8]) -> usize {
        let mut source = Source::kernel(bytes);
        buffer.write(&mut source, Framing::Stream, Progress::First).expect("memory");
        bytes.len() - source.remaining()
    }

    fn read(buffer: &mut PipeBuffer, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut sink = Sink::kernel(&mut bytes);
        buffer.read(&mut sink).expect("kernel memory");
        let got = count - sink.remaining();
        bytes.truncate(got);
        bytes
    }

    #[test]
    fn small_writes_share_a_page() {
        let mut buffer = PipeBuffer::new(2);
        for _ in 0..4096 / 8 {
            assert_eq!(write(&mut buffer, b"01234567"), 8);
        }
        assert_eq!(buffer.occupied(), 1);
        assert_eq!(buffer.len(), 4096);
        assert!(!buffer.is_full());
    }

    #[test]
    fn a_write_of_a_page_at_most_is_taken_whole_while_a_slot_is_free() {
        let mut buffer = PipeBuffer::new(2);
        assert_eq!(write(&mut buffer, &[1; 4000]), 4000);
        assert_eq!(write(&mut buffer, &[2; 4096]), 4096);
        assert!(buffer.is_full());
        // Only a write that merges fits now; a larger one is not split.
        assert_eq!(write(&mut buffer, &[3; 97]), 0);
    }

    #[test]
    fn a_large_write_fills_the_pipe() {
        let mut buffer = PipeBuffer::new(16);
        assert_eq!(write(&mut buffer, &[0; 100_000]), 65_536);
        assert!(buffer.is_full());
        assert_eq!(read(&mut buffer, 4095).len(), 4095);
        assert!(buffer.is_full());
        assert_eq!(read(&mut buffer, 1).len(), 1);
        assert!(!buffer.is_full());
    }

    #[test]
    fn packets_are_read_one_by_one_and_the_rest_of_one_is_lost() {
        let mut buffer = PipeBuffer::new(4);
        for packet in [&b"hello"[..], b"x"] {
            let mut source = Source::kernel(packet);
            let written = buffer.write(&mut source, Framing::Packets, Progress::First);
            assert_eq!((written, source.remaining()), (Ok(()), 0));
        }
        assert_eq!(read(&mut buffer, 3), b"hel");
        assert_eq!(read(&mut buffer, 3), b"x");
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_capacity_cannot_fall_below_what_is_used() {
        let mut buffer = PipeBuffer::new(16);
        write(&mut buffer, &[0; 10_000]);
        assert_eq!(buffer.set_capacity(2), Err(Errno::EBUSY));
        assert_eq!(buffer.set_capacity(3), Ok(()));
        assert!(buffer.is_full());
    }

    #[test]
    fn tee_copies_and_leaves() {
        let (mut from, mut to) = (PipeBuffer::new(4), PipeBuffer::new(4));
        write(&mut from, b"abcdef");
        assert_eq!(from.tee(&mut to, 4), Ok(4));
        assert_eq!(read(&mut to, 10), b"abcd");
        assert_eq!(read(&mut from, 10), b"abcdef");
    }

    #[test]
    fn what_a_taker_refuses_stays() {
        let mut buffer = PipeBuffer::new(4);
        write(&mut buffer, b"abcdef");
        assert_eq!(buffer.drain(5, |piece| Ok(piece.len().min(2))), Ok(2));
        assert_eq!(buffer.drain(5, |_| Err(Errno::ENOSPC)), Err(Errno::ENOSPC));
        assert_eq!(read(&mut buffer, 10), b"cdef");
    }

    #[test]
    fn splicing_moves_what_the_target_has_slots_for() {
        let (mut from, mut to) = (PipeBuffer::new(4), PipeBuffer::new(1));
        write(&mut from, &[7; 5000]);
        assert_eq!(from.splice(&mut to, 10_000), Ok(4096));
        assert_eq!(from.splice(&mut to, 10_000), Ok(0));
        assert_eq!((from.len(), to.len()), (904, 4096));
    }

    #[test]
    fn a_promised_slot_needs_no_memory_any_more() {
        let mut buffer = PipeBuffer::new(64);
        buffer.promise_slot().expect("memory");
        buffer.promise_slot().expect("memory");
        // Writers take what room there is meanwhile.
        while !buffer.is_full() {
            write(&mut buffer, &[1; PAGE_SIZE]);
            assert!(
                buffer.slots.capacity() >= buffer.slots.len() + 2,
                "the list would have to grow"
            );
        }
        let capacity = buffer.slots.capacity();
        buffer.keep_promise(Box::new([2; PAGE_SIZE]), 7);
        buffer.keep_promise(Box::new([3; PAGE_SIZE]), 0);
        assert_eq!((buffer.occupied(), buffer.slots.capacity()), (65, capacity));
        assert_eq!(buffer.promised, 0);
    }

    proptest! {
        #[test]
        fn a_pipe_is_a_queue_of_bytes(
            steps in prop::collection::vec((any::<bool>(), 0usize..10_000), 0..60),
        ) {
            let mut buffer = PipeBuffer::new(4);
            let (mut written, mut seen) = (0u8, 0u8);
            for (is_write, count) in steps {
                if is_write {
                    let bytes: Vec<u8> = (0..count).map(|i| written.wrapping_add(i as u8)).collect();
                    let taken = write(&mut buffer, &bytes);
                    prop_assert!(taken == count || count > PAGE_SIZE || buffer.is_full());
                    written = written.wrapping_add(taken as u8);
                } else {
                    for byte in read(&mut buffer, count) {
                        prop_assert_eq!(byte, seen);
                        seen = seen.wrapping_add(1);
                    }
                }
                prop_assert!(buffer.occupied() <= 4);
            }
        }
    }
}
