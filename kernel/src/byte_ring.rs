//! A bounded queue of bytes whose storage is reserved once.
//!
//! [`ByteRing`] is what terminals, the console's transmitter and stream sockets keep their bytes in: a `VecDeque` that
//! never grows past the capacity it was made with, so that pushing allocates nothing. The owner brings the lock.

use alloc::collections::{TryReserveError, VecDeque};

/// At most `capacity` bytes, first in, first out.
#[derive(Debug, Default)]
pub struct ByteRing {
    bytes: VecDeque<u8>,
    capacity: usize,
}

impl ByteRing {
    /// An empty ring that can hold nothing: the value before [`ByteRing::with_capacity`] replaces it.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: VecDeque::new(), capacity: 0 }
    }

    /// An empty ring for `capacity` bytes.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn with_capacity(capacity: usize) -> Result<Self, TryReserveError> {
        let mut bytes = VecDeque::new();
        bytes.try_reserve_exact(capacity)?;
        Ok(Self { bytes, capacity })
    }

    /// The number of bytes queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The number of bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// Queues one byte. Returns whether it fitted.
    #[must_use = "a byte that does not fit is lost unless the caller keeps it"]
    pub fn push(&mut self, byte: u8) -> bool {
        let fits = self.room() > 0;
        if fits {
            self.bytes.push_back(byte);
        }
        fits
    }

    /// Queues as many of `bytes` as fit, and returns how many that was.
    #[must_use = "bytes past the returned count were not taken"]
    pub fn push_slice(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        count
    }

    /// The oldest byte, which leaves the queue.
    pub fn pop(&mut self) -> Option<u8> {
        self.bytes.pop_front()
    }

    /// Moves the oldest bytes to `target`, as many as there are and fit; returns how many.
    pub fn pop_slice(&mut self, target: &mut [u8]) -> usize {
        let count = target.len().min(self.bytes.len());
        for (slot, byte) in target.iter_mut().zip(self.bytes.drain(..count)) {
            *slot = byte;
        }
        count
    }

    /// Drops everything queued.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_ring_takes_no_more() {
        let mut ring = ByteRing::with_capacity(3).expect("memory");
        assert_eq!(ring.push_slice(b"abcd"), 3);
        assert!(!ring.push(b'e'));
        assert_eq!(ring.pop(), Some(b'a'));
        assert!(ring.push(b'e'));
        let mut rest = [0; 8];
        assert_eq!(ring.pop_slice(&mut rest), 3);
        assert_eq!(&rest[..3], b"bce");
        assert!(ring.is_empty());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps in prop::collection::vec((any::<bool>(), 0usize..40), 0..80)) {
            let mut ring = ByteRing::with_capacity(64).expect("memory");
            let (mut written, mut read) = (0u8, 0u8);
            for (is_write, count) in steps {
                if is_write {
                    let bytes: Vec<u8> = (0..count).map(|i| written.wrapping_add(i as u8)).collect();
                    written = written.wrapping_add(ring.push_slice(&bytes) as u8);
                } else {
                    let mut bytes = vec![0; count];
                    let taken = ring.pop_slice(&mut bytes);
                    for byte in &bytes[..taken] {
                        prop_assert_eq!(*byte, read);
                        read = read.wrapping_add(1);
                    }
                }
                prop_assert_eq!(ring.len(), usize::from(written.wrapping_sub(read)));
                prop_assert!(ring.len() <= 64);
            }
        }
    }
}
