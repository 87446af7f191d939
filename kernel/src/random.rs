//! Random bytes: one ChaCha20 generator, seeded from what the machine offers, for getrandom(2), `/dev/urandom`, program
//! start-up and layout randomisation.
//!
//! The generator is re-keyed from the machine's entropy every [`RESEED_BYTES`] bytes, and its own next bytes replace the
//! key after each use, so that what was handed out cannot be computed from a later state.
//!
//! Lock: rank `LEAF`, interrupts off, held for at most [`CHUNK`] bytes at a time.

use arch::sync::{Irq, Rank, SpinLock};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How many bytes come from one seed.
const RESEED_BYTES: usize = 1 << 20;
/// How many are made with the lock held.
const CHUNK: usize = 256;

static GENERATOR: SpinLock<Option<Generator>, Irq> = SpinLock::new(Rank::LEAF, None);

struct Generator {
    stream: ChaCha20Rng,
    left: usize,
}

impl Generator {
    fn seeded() -> Self {
        Self { stream: ChaCha20Rng::from_seed(arch::random::entropy()), left: RESEED_BYTES }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let mut key = <ChaCha20Rng as SeedableRng>::Seed::default();
        self.stream.fill_bytes(bytes);
        self.stream.fill_bytes(&mut key);
        self.left = self.left.saturating_sub(bytes.len());
        if self.left == 0 {
            let fresh = arch::random::entropy();
            key.iter_mut().zip(fresh).for_each(|(old, new)| *old ^= new);
            self.left = RESEED_BYTES;
        }
        self.stream = ChaCha20Rng::from_seed(key);
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
