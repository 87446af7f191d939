//! A map in a sorted vector, whose room is reserved ahead: what changes under a spin lock must not run out of memory.

use alloc::vec::Vec;

use crate::errno::{Errno, Result};

/// Values by unique keys.
#[derive(Debug)]
pub(super) struct SortedMap<K: Ord, V>(Vec<(K, V)>);

impl<K: Ord, V> SortedMap<K, V> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes room for one value more.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn reserve(&mut self) -> Result<()> {
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    fn find(&self, key: &K) -> core::result::Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(key))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|index| &self.0[index].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|index| &mut self.0[index].1)
    }

    /// Puts `value` under `key`, instead of what is there. Allocates nothing after [`reserve`](Self::reserve).
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|index| self.0.remove(index).1)
    }

    /// The entries from `key` on, in order.
    pub(super) fn from(&self, key: K) -> impl Iterator<Item = &(K, V)> {
        self.0[self.0.partition_point(|(other, _)| *other < key)..].iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_key_and_in_order() {
        let mut map = SortedMap::new();
        for key in [3, 1, 2] {
            assert_eq!(map.reserve(), Ok(()));
            map.insert(key, key * 10);
        }
        assert_eq!((map.get(&2), map.get(&4)), (Some(&20), None));
        assert_eq!(map.remove(&2), Some(20));
        assert_eq!(map.from(2).collect::<Vec<_>>(), [&(3, 30)]);
        map.get_mut(&1).into_iter().for_each(|value| *value += 1);
        assert_eq!(map.remove(&1), Some(11));
    }
}
