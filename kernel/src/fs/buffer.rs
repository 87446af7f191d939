//! Where reads put bytes and writes take them from: [`Sink`] and [`Source`].
//!
//! Either end is kernel memory or user memory, the latter in one piece or as the segments of readv(2). A user page
//! that cannot be reached ends a transfer early: what was moved counts, and only a transfer that moved nothing fails
//! with `EFAULT`. Copies touch user memory and may fault, so no spin lock is held across them.

use arch::addr::UserAddr;

use crate::errno::{Errno, Result};
use crate::memory::user;

/// The most bytes that one call transfers (`MAX_RW_COUNT`): 2 GiB less a page.
pub const TRANSFER_MAX: usize = 0x7fff_f000;

/// One piece of user memory, as an `iovec` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its first byte.
    pub address: UserAddr,
    /// Its length in bytes.
    pub length: usize,
}

/// A cursor over user segments.
#[derive(Clone, Copy, Debug)]
struct UserCursor<'a> {
    current: Segment,
    rest: &'a [Segment],
}

impl<'a> UserCursor<'a> {
    const fn single(segment: Segment) -> Self {
        Self { current: segment, rest: &[] }
    }

    const fn vector(segments: &'a [Segment]) -> Self {
        Self { current: Segment { address: UserAddr::NULL, length: 0 }, rest: segments }
    }

    /// The next non-empty piece, at most `limit` bytes of it.
    fn piece(&mut self, limit: usize) -> Option<Segment> {
        while self.current.length == 0 {
            let (first, rest) = self.rest.split_first()?;
            self.current = *first;
            self.rest = rest;
        }
        Some(Segment { address: self.current.address, length: self.current.length.min(limit) })
    }

    fn advance(&mut self, bytes: usize) {
        self.current.length -= bytes;
        // Past the end of user space every access faults; that is what the next piece shall do.
        self.current.address =
            self.current.address.checked_add(bytes as u64).unwrap_or(UserAddr::END);
    }

    /// Copies `bytes` to where the cursor stands, and returns how many arrived before a fault.
    #[inline]
    fn store(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() > self.current.length {
            return self.store_in_pieces(bytes);
        }
        let stored = user::store(self.current.address, bytes);
        self.advance(stored);
        stored
    }

    /// As [`store`](Self::store), where the current piece is too short.
    #[inline(never)]
    fn store_in_pieces(&mut self, bytes: &[u8]) -> usize {
        let mut stored = 0;
        while stored < bytes.len() {
            let Some(piece) = self.piece(bytes.len() - stored) else { break };
            let copied = user::store(piece.address, &bytes[stored..stored + piece.length]);
            self.advance(copied);
            stored += copied;
            if copied < piece.length {
                break;
            }
        }
        stored
    }

    /// Fills `buffer` from where the cursor stands, and returns how many bytes came before a fault.
    #[inline]
    fn fetch(&mut self, buffer: &mut [u8]) -> usize {
        if buffer.len() > self.current.length {
            return self.fetch_in_pieces(buffer);
        }
        let fetched = user::fetch(self.current.address, buffer);
        self.advance(fetched);
        fetched
    }

    /// As [`fetch`](Self::fetch), where the current piece is too short.
    #[inline(never)]
    fn fetch_in_pieces(&mut self, buffer: &mut [u8]) -> usize {
        let mut fetched = 0;
        while fetched < buffer.len() {
            let Some(piece) = self.piece(buffer.len() - fetched) else { break };
            let copied = user::fetch(piece.address, &mut buffer[fetched..fetched + piece.length]);
            self.advance(copied);
            fetched += copied;
            if copied < piece.length {
                break;
            }
        }
        fetched
    }

    fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some(piece) = self.piece(bytes) else { break };
            self.advance(piece.length);
            bytes -= piece.length;
        }
    }
}

enum SinkMemory<'a> {
    Kernel(&'a mut [u8]),
    User(UserCursor<'a>),
}

/// Room for bytes that are being read.
pub struct Sink<'a> {
    memory: SinkMemory<'a>,
    remaining: usize,
}

impl<'a> Sink<'a> {
    /// Room in kernel memory.
    pub fn kernel(buffer: &'a mut [u8]) -> Self {
        Self { remaining: buffer.len(), memory: SinkMemory::Kernel(buffer) }
    }

    /// `length` bytes of user memory at `address`.
    #[must_use]
    pub fn user(address: UserAddr, length: usize) -> Self {
        let memory = SinkMemory::User(UserCursor::single(Segment { address, length }));
        Self { memory, remaining: length.min(TRANSFER_MAX) }
    }

    /// The user segments of readv(2), in order. Their lengths add up without overflow.
    #[must_use]
    pub fn vector(segments: &'a [Segment]) -> Self {
        let total = segments.iter().fold(0_usize, |sum, s| sum.saturating_add(s.length));
        Self {
            memory: SinkMemory::User(UserCursor::vector(segments)),
            remaining: total.min(TRANSFER_MAX),
        }
    }

    /// How many bytes still fit.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lowers what fits to at most `limit` bytes.
    pub fn limit(&mut self, limit: usize) {
        self.remaining = self.remaining.min(limit);
    }

    /// Stores as much of `bytes` as fits and returns how much that was.
    ///
    /// # Errors
    /// `EFAULT` if there is room but not one byte could be stored.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result {
        let bytes = &bytes[..bytes.len().min(self.remaining)];
        let stored = match &mut self.memory {
            SinkMemory::Kernel(buffer) => {
                let (head, tail) = core::mem::take(buffer).split_at_mut(bytes.len());
                head.copy_from_slice(bytes);
                *buffer = tail;
                bytes.len()
            }
            SinkMemory::User(cursor) => cursor.store(bytes),
        };
        self.remaining -= stored;
        if stored == 0 && !bytes.is_empty() { Err(Errno::EFAULT) } else { Ok(stored) }
    }
}

enum SourceMemory<'a> {
    Kernel(&'a [u8]),
    User(UserCursor<'a>),
}

/// Bytes that are being written.
pub struct Source<'a> {
    memory: SourceMemory<'a>,
    remaining: usize,
}

impl<'a> Source<'a> {
    /// Bytes in kernel memory.
    #[must_use]
    pub fn kernel(bytes: &'a [u8]) -> Self {
        Self { remaining: bytes.len(), memory: SourceMemory::Kernel(bytes) }
    }

    /// `length` bytes of user memory at `address`.
    #[must_use]
    pub fn user(address: UserAddr, length: usize) -> Self {
        let memory = SourceMemory::User(UserCursor::single(Segment { address, length }));
        Self { memory, remaining: length.min(TRANSFER_MAX) }
    }

    /// The user segments of writev(2), in order.
    #[must_use]
    pub fn vector(segments: &'a [Segment]) -> Self {
        let total = segments.iter().fold(0_usize, |sum, s| sum.saturating_add(s.length));
        let memory = SourceMemory::User(UserCursor::vector(segments));
        Self { memory, remaining: total.min(TRANSFER_MAX) }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lowers what is left to at most `limit` bytes.
    pub fn limit(&mut self, limit: usize) {
        self.remaining = self.remaining.min(limit);
    }

    /// Fills `buffer` from the front with as much as is left and returns how much that was.
    ///
    /// # Errors
    /// `EFAULT` if bytes are left but not one could be fetched.
    #[inline]
    pub fn take(&mut self, buffer: &mut [u8]) -> Result {
        let wanted = buffer.len().min(self.remaining);
        let buffer = &mut buffer[..wanted];
        let fetched = match &mut self.memory {
            SourceMemory::Kernel(bytes) => {
                let (head, tail) = bytes.split_at(wanted);
                buffer.copy_from_slice(head);
                *bytes = tail;
                wanted
            }
            SourceMemory::User(cursor) => cursor.fetch(buffer),
        };
        self.remaining -= fetched;
        if fetched == 0 && wanted != 0 { Err(Errno::EFAULT) } else { Ok(fetched) }
    }

    /// Drops the next `bytes` bytes, as `/dev/null` does, without looking at them.
    pub fn skip(&mut self, bytes: usize) -> usize {
        let skipped = bytes.min(self.remaining);
        self.remaining -= skipped;
        match &mut self.memory {
            SourceMemory::Kernel(left) => *left = &left[skipped..],
            SourceMemory::User(cursor) => cursor.skip(skipped),
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_sink_fills_up() {
        let mut buffer = [0_u8; 5];
        let mut sink = Sink::kernel(&mut buffer);
        assert_eq!(sink.put(b"abc"), Ok(3));
        assert_eq!(sink.put(b"defg"), Ok(2));
        assert_eq!(sink.put(b"h"), Ok(0));
        assert_eq!(&buffer, b"abcde");
    }

    #[test]
    fn a_kernel_source_runs_dry() {
        let mut source = Source::kernel(b"abcdef");
        let mut buffer = [0_u8; 4];
        source.limit(5);
        assert_eq!(source.take(&mut buffer), Ok(4));
        assert_eq!(&buffer, b"abcd");
        assert_eq!(source.skip(9), 1);
        assert_eq!(source.take(&mut buffer), Ok(0));
    }

    #[test]
    fn vectors_add_up_and_skip_across_segments() {
        let address = UserAddr::try_new(0x1000).expect("user address");
        let segments = [
            Segment { address, length: 3 },
            Segment { address, length: 0 },
            Segment { address, length: 4 },
        ];
        let mut source = Source::vector(&segments);
        assert_eq!(source.remaining(), 7);
        assert_eq!(source.skip(5), 5);
        assert_eq!(source.remaining(), 2);
    }
}
