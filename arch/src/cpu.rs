//! CPU numbers and sets of them.
//!
//! A [`CpuId`] is the kernel's own dense number: 0 is the boot processor. APIC ids, which may be
//! sparse and large, stay inside the machine backend.

use crate::sync::atomic::{AtomicU64, Ordering};

/// The most CPUs that Skein manages. Sets of CPUs have this many bits.
#[cfg(not(loom))]
pub const MAX_CPUS: usize = 256;
/// The most CPUs of a model: one word per set keeps models small.
#[cfg(loom)]
pub const MAX_CPUS: usize = 64;
const WORDS: usize = MAX_CPUS / 64;

/// A CPU, numbered densely from zero in the order of bring-up; below [`MAX_CPUS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CpuId(u16);

impl CpuId {
    /// The boot processor.
    pub const BOOT: Self = Self(0);

    /// CPU number `index`.
    ///
    /// # Panics
    /// When `index` is [`MAX_CPUS`] or more.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        assert!(index < MAX_CPUS, "CPU number out of range");
        Self(index as u16)
    }

    /// The CPU's number, for indexing per-CPU data.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Display for CpuId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CpuMask([u64; WORDS]);

impl CpuMask {
    /// No CPU.
    pub const EMPTY: Self = Self([0; WORDS]);
    /// Every CPU that could exist.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// The set that holds `cpu` alone.
    #[must_use]
    pub const fn only(cpu: CpuId) -> Self {
        let mut words = [0; WORDS];
        words[cpu.index() / 64] = 1 << (cpu.index() % 64);
        Self(words)
    }

    /// CPUs `0 .. count`.
    #[must_use]
    pub fn first(count: usize) -> Self {
        (0..count).map(CpuId::new).collect()
    }

    /// The set whose 64-bit words, lowest CPUs first, are `words`.
    #[must_use]
    pub const fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// The set as 64-bit words, lowest CPUs first.
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// Whether `cpu` is in the set.
    #[must_use]
    pub const fn contains(&self, cpu: CpuId) -> bool {
        self.0[cpu.index() / 64] & 1 << (cpu.index() % 64) != 0
    }

    /// Adds `cpu`.
    pub const fn insert(&mut self, cpu: CpuId) {
        self.0[cpu.index() / 64] |= 1 << (cpu.index() % 64);
    }

    /// Removes `cpu`.
    pub const fn remove(&mut self, cpu: CpuId) {
        self.0[cpu.index() / 64] &= !(1 << (cpu.index() % 64));
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// Whether `cpu` is in the set, and no other.
    #[must_use]
    pub fn is_only(&self, cpu: CpuId) -> bool {
        let alone = Self::only(cpu);
        self.0.iter().zip(alone.0).fold(0, |difference, (word, bit)| difference | word ^ bit) == 0
    }

    /// The CPUs that are in this set or in `other`.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// How many CPUs are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        // Most words are empty, and without POPCNT counting takes longer than looking.
        self.0.iter().filter(|&&word| word != 0).map(|word| word.count_ones() as usize).sum()
    }

    /// The CPUs in both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// The lowest CPU of the set.
    #[must_use]
    pub fn lowest(&self) -> Option<CpuId> {
        self.lowest_from(0)
    }

    /// The lowest CPU of the set above `cpu`.
    #[must_use]
    pub fn next_above(&self, cpu: CpuId) -> Option<CpuId> {
        let word = cpu.index() / 64;
        let above = self.0[word] & !1 << (cpu.index() % 64);
        match above {
            0 => self.lowest_from(word + 1),
            _ => Some(CpuId::new(word * 64 + above.trailing_zeros() as usize)),
        }
    }

    /// The lowest CPU of the set in word number `first` and those behind it.
    fn lowest_from(&self, first: usize) -> Option<CpuId> {
        let word = (first..WORDS).find(|&word| self.0[word] != 0)?;
        Some(CpuId::new(word * 64 + self.0[word].trailing_zeros() as usize))
    }

    /// The CPUs of the set in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + use<> {
        let words = self.0;
        (0..WORDS).flat_map(move |i| {
            let mut word = words[i];
            core::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(CpuId::new(i * 64 + bit))
            })
        })
    }
}

impl FromIterator<CpuId> for CpuMask {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut mask = Self::EMPTY;
        cpus.into_iter().for_each(|cpu| mask.insert(cpu));
        mask
    }
}

/// A set of CPUs that several CPUs change at once, one bit at a time.
///
/// A snapshot ([`load`](Self::load)) reads word by word: it is not one instant of the whole set, but each bit
/// is a value that it had during the call.
#[derive(Debug)]
pub struct AtomicCpuMask([AtomicU64; WORDS]);

impl Default for AtomicCpuMask {
    fn default() -> Self {
        Self::new()
    }
}

impl AtomicCpuMask {
    /// The empty set.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// The empty set.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds `cpu` and says whether it was absent.
    pub fn insert(&self, cpu: CpuId, order: Ordering) -> bool {
        let bit = 1 << (cpu.index() % 64);
        self.0[cpu.index() / 64].fetch_or(bit, order) & bit == 0
    }

    /// Removes `cpu` and says whether it was present.
    pub fn remove(&self, cpu: CpuId, order: Ordering) -> bool {
        let bit = 1 << (cpu.index() % 64);
        self.0[cpu.index() / 64].fetch_and(!bit, order) & bit != 0
    }

    /// Whether `cpu` is in the set.
    pub fn contains(&self, cpu: CpuId, order: Ordering) -> bool {
        self.0[cpu.index() / 64].load(order) & 1 << (cpu.index() % 64) != 0
    }

    /// Whether a CPU is in both sets. Word by word, as a [`load`](Self::load) of each.
    pub fn intersects(&self, other: &Self, order: Ordering) -> bool {
        let both = self.0.iter().zip(&other.0).map(|(one, two)| one.load(order) & two.load(order));
        both.fold(0, |all, word| all | word) != 0
    }

    /// Replaces the set, word by word: a concurrent [`load`](Self::load) may see parts of both sets.
    pub fn store(&self, mask: &CpuMask, order: Ordering) {
        for (word, value) in self.0.iter().zip(mask.words()) {
            word.store(*value, order);
        }
    }

    /// A snapshot of the set.
    pub fn load(&self, order: Ordering) -> CpuMask {
        CpuMask(core::array::from_fn(|i| self.0[i].load(order)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_lists_its_cpus_in_order() {
        let cpus = [CpuId::new(200), CpuId::new(3), CpuId::new(64)];
        let mask: CpuMask = cpus.into_iter().collect();
        let listed: Vec<usize> = mask.iter().map(CpuId::index).collect();
        assert_eq!(listed, [3, 64, 200]);
        assert_eq!(mask.len(), 3);
        assert_eq!(mask.lowest(), Some(CpuId::new(3)));
    }

    #[test]
    fn the_next_cpu_is_found_across_words() {
        let mask: CpuMask = [3, 63, 64, 200].into_iter().map(CpuId::new).collect();
        let next = |cpu| mask.next_above(CpuId::new(cpu)).map(CpuId::index);
        assert_eq!([0, 3, 63, 64, 200].map(next), [Some(3), Some(63), Some(64), Some(200), None]);
        assert_eq!(next(MAX_CPUS - 1), None);
    }

    #[test]
    fn a_set_of_one_is_that_one_only() {
        let one = CpuMask::only(CpuId::new(65));
        assert!(one.is_only(CpuId::new(65)) && !one.is_only(CpuId::new(1)));
        assert!(!CpuMask::first(2).is_only(CpuId::new(1)) && !CpuMask::EMPTY.is_only(CpuId::BOOT));
    }

    #[test]
    fn sets_intersect_where_they_share_a_cpu() {
        let set = |cpus: &[usize]| {
            let mask = AtomicCpuMask::default();
            mask.store(&cpus.iter().copied().map(CpuId::new).collect(), Ordering::Relaxed);
            mask
        };
        assert!(set(&[1, 130]).intersects(&set(&[2, 130]), Ordering::Relaxed));
        assert!(!set(&[1, 130]).intersects(&set(&[2, 131]), Ordering::Relaxed));
    }

    #[test]
    fn insert_and_remove_report_the_change() {
        let mask = AtomicCpuMask::default();
        assert!(mask.insert(CpuId::new(70), Ordering::Relaxed));
        assert!(!mask.insert(CpuId::new(70), Ordering::Relaxed));
        assert!(mask.remove(CpuId::new(70), Ordering::Relaxed));
        assert!(mask.load(Ordering::Relaxed).is_empty());
    }
}
