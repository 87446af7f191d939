//! Numbers by chance, from a seed: [`Random`], for policies that need no secrets.

/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that begins at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Self::mix(self.0)
    }

    /// The next number below `bound`, which is not zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: uniform up to one part in 2^64 / bound.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// Whether an event that happens once in `times` happens now.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Scatters `value` over all 64 bits.
    #[must_use]
    pub const fn mix(value: u64) -> u64 {
        let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_sequence_and_all_of_the_range() {
        let (mut first, mut second) = (Random::new(7), Random::new(7));
        let mut seen = [0; 10];
        for _ in 0..1000 {
            let value = first.below(10);
            assert_eq!(value, second.below(10));
            seen[value as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }
}
