//! The input queue of a line discipline.
//!
//! One ring of bytes with a mark on each byte that ends a line. Three positions run through it, and never decrease
//! except `head` during editing: `tail` (read so far) <= `line_head` (complete lines end here) <= `head` (received).
//! In raw mode the marks mean nothing and everything up to `head` can be read.
//! An end-of-file character is queued as a marked [`DISABLED`] byte, which a read consumes but does not return.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use super::DISABLED;

/// What the queue holds (`N_TTY_BUF_SIZE`). One place stays free, so that a line has at most 4095 bytes.
pub(super) const CAPACITY: usize = 4096;

/// What [`InputQueue::take_line`] took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The number of bytes stored.
    pub count: usize,
    /// Whether that was the end of the line (or of the file).
    pub ends_line: bool,
}

/// Received bytes that nobody has read.
#[derive(Debug)]
pub struct InputQueue {
    bytes: Vec<u8>,
    ends_line: [u64; CAPACITY / 64],
    tail: usize,
    line_head: usize,
    head: usize,
}

impl InputQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new() -> Result<Self, TryReserveError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CAPACITY)?;
        bytes.resize(CAPACITY, 0);
        Ok(Self { bytes, ends_line: [0; CAPACITY / 64], tail: 0, line_head: 0, head: 0 })
    }

    /// The number of bytes that fit.
    #[must_use]
    pub fn room(&self) -> usize {
        CAPACITY - (self.head - self.tail)
    }

    /// Bytes received and not read, whatever the mode.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head - self.tail
    }

    /// Whether nothing at all is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Whether a complete line (or an end of file) is queued.
    #[must_use]
    pub fn has_line(&self) -> bool {
        self.line_head != self.tail
    }

    /// Whether the line being typed has any bytes.
    #[must_use]
    pub(super) fn has_unfinished(&self) -> bool {
        self.head != self.line_head
    }

    /// The bytes of the line being typed.
    pub(super) fn unfinished(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (self.line_head..self.head).map(|position| self.at(position))
    }

    /// What FIONREAD reports: in canonical mode the bytes of complete lines, without end-of-file marks.
    #[must_use]
    pub fn readable(&self, canonical: bool) -> usize {
        if !canonical {
            return self.len();
        }
        (self.tail..self.line_head).filter(|&position| !self.is_end_of_file(position)).count()
    }

    /// Appends a byte. If the queue is full, it replaces the last byte of the line being typed, or is lost.
    pub(super) fn push(&mut self, byte: u8) {
        if self.room() <= 1 {
            if !self.has_unfinished() {
                return;
            }
            self.head -= 1;
        }
        self.set(self.head, byte);
        self.head += 1;
    }

    /// Appends the byte that ends the line being typed, and so completes it.
    pub(super) fn push_line_end(&mut self, byte: u8) {
        // The place that `push` leaves free is for this byte.
        if self.room() == 0 {
            return;
        }
        self.set(self.head, byte);
        self.mark(self.head, true);
        self.head += 1;
        self.line_head = self.head;
    }

    /// Takes back the last `count` bytes of the line being typed.
    pub(super) fn retract(&mut self, count: usize) {
        self.head = self.head.saturating_sub(count).max(self.line_head);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.tail = self.head;
        self.line_head = self.head;
        self.ends_line = [0; CAPACITY / 64];
    }

    /// Adapts to a switch to or from canonical mode: what is queued becomes one complete line, or raw bytes.
    pub(super) fn set_canonical(&mut self, canonical: bool) {
        self.ends_line = [0; CAPACITY / 64];
        if canonical && !self.is_empty() {
            self.mark(self.head - 1, true);
            self.line_head = self.head;
        } else {
            self.line_head = self.tail;
        }
    }

    /// Takes bytes of the first complete line, up to and including its end.
    ///
    /// An end-of-file mark ends the line without being stored, also when `target` is exactly full before it: then the
    /// next read does not report a second end.
    pub fn take_line(&mut self, target: &mut [u8]) -> Taken {
        let mut count = 0;
        while self.tail != self.line_head {
            let end_of_file = self.is_end_of_file(self.tail);
            if count == target.len() && !end_of_file {
                break;
            }
            let ends = self.is_marked(self.tail);
            if !end_of_file {
                target[count] = self.at(self.tail);
                count += 1;
            }
            self.mark(self.tail, false);
            self.tail += 1;
            if ends {
                return Taken { count, ends_line: true };
            }
        }
        Taken { count, ends_line: false }
    }

    /// Takes raw bytes. Returns how many were stored.
    pub fn take_raw(&mut self, target: &mut [u8]) -> usize {
        let count = target.len().min(self.len());
        for slot in &mut target[..count] {
            *slot = self.bytes[self.tail % CAPACITY];
            self.tail += 1;
        }
        self.line_head = self.line_head.max(self.tail);
        count
    }

    fn at(&self, position: usize) -> u8 {
        self.bytes[position % CAPACITY]
    }

    fn set(&mut self, position: usize, byte: u8) {
        self.bytes[position % CAPACITY] = byte;
        self.mark(position, false);
    }

    fn is_marked(&self, position: usize) -> bool {
        let index = position % CAPACITY;
        self.ends_line[index / 64] & (1 << (index % 64)) != 0
    }

    fn is_end_of_file(&self, position: usize) -> bool {
        self.is_marked(position) && self.at(position) == DISABLED
    }

    fn mark(&mut self, position: usize, ends_line: bool) {
        let index = position % CAPACITY;
        let bit = 1 << (index % 64);
        if ends_line {
            self.ends_line[index / 64] |= bit;
        } else {
            self.ends_line[index / 64] &= !bit;
        }
    }
}
