//! Random bytes: one ChaCha20 generator, seeded from what the machine offers, for getrandom(2), `/dev/urandom`, program
//! start-up and layout randomisation.
//!
//! The generator makes [`BLOCK`] bytes at a time. The first of them are its next key, so what was handed out cannot
//! be computed from a later state; the others wait in a pool until they are asked for, and are erased as they are
//! handed out (Bernstein, "Fast-key-erasure random-number generators", 2017). Small requests, of which every
//! execve(2) makes several, so share the cost of a block. Every [`RESEED_BYTES`] bytes the key is mixed with the
//! machine's entropy.
//!
//! Lock: rank `LEAF`, interrupts off, held for at most [`CHUNK`] bytes at a time.

use arch::sync::{Irq, Rank, SpinLock};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How many bytes come from one seed.
const RESEED_BYTES: usize = 1 << 20;
/// How many are handed out with the lock held.
const CHUNK: usize = 256;
/// How many are made under one key: what `ChaCha20Rng` computes at once.
const BLOCK: usize = 256;
/// Bytes of a key, at the start of each block.
const KEY: usize = 32;

static GENERATOR: SpinLock<Option<Generator>, Irq> = SpinLock::new(Rank::LEAF, None);

struct Generator {
    /// The next key, then bytes that nobody has seen from `used` on. Zeros in between.
    block: [u8; BLOCK],
    used: usize,
    /// Bytes until the machine's entropy is asked again.
    left: usize,
}

impl Generator {
    fn seeded() -> Self {
        let mut block = [0; BLOCK];
        block[..KEY].copy_from_slice(&arch::random::entropy());
        Self { block, used: BLOCK, left: RESEED_BYTES }
    }

    fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.used == BLOCK {
                self.refill();
            }
            let count = bytes.len().min(BLOCK - self.used);
            let (now, later) = bytes.split_at_mut(count);
            let pool = &mut self.block[self.used..self.used + count];
            now.copy_from_slice(pool);
            pool.fill(0);
            self.used += count;
            bytes = later;
        }
    }

    fn refill(&mut self) {
        let mut key = <ChaCha20Rng as SeedableRng>::Seed::default();
        key.copy_from_slice(&self.block[..KEY]);
        if self.left == 0 {
            let fresh = arch::random::entropy();
            key.iter_mut().zip(fresh).for_each(|(old, new)| *old ^= new);
            self.left = RESEED_BYTES;
        }
        ChaCha20Rng::from_seed(key).fill_bytes(&mut self.block);
        self.used = KEY;
        self.left = self.left.saturating_sub(BLOCK - KEY);
    }
}

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(CHUNK) {
        GENERATOR.lock().get_or_insert_with(Generator::seeded).fill(chunk);
    }
}

/// A random number.
#[must_use]
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator() -> Generator {
        let mut block = [0; BLOCK];
        block[..KEY].fill(7);
        Generator { block, used: BLOCK, left: RESEED_BYTES }
    }

    #[test]
    fn the_bytes_do_not_depend_on_how_they_are_asked_for() {
        let (mut together, mut apart) = ([0; 1000], [0; 1000]);
        generator().fill(&mut together);
        let mut source = generator();
        apart.chunks_mut(7).for_each(|chunk| source.fill(chunk));
        assert_eq!(together, apart);
    }

    #[test]
    fn what_was_handed_out_is_gone() {
        let mut source = generator();
        let mut bytes = [0; 100];
        source.fill(&mut bytes);
        assert_eq!(source.block[KEY..KEY + bytes.len()], [0; 100]);
        assert_ne!(source.block[..KEY], [7; KEY]);
    }

    #[test]
    fn a_seed_lasts_for_so_many_bytes() {
        let mut source = generator();
        source.left = 1;
        source.refill();
        assert_eq!(source.left, 0);
        source.refill();
        assert_eq!(source.left, RESEED_BYTES - (BLOCK - KEY));
    }
}
