//! A queue ordered by a key, smallest first: a binary heap whose room is reserved ahead.

use alloc::collections::BinaryHeap;
use core::cmp::{Ordering, Reverse};

/// Values with keys. Equal keys come out in any order, so a key should be unique.
#[derive(Debug)]
pub struct KeyedQueue<K: Ord, V> {
    heap: BinaryHeap<Reverse<Entry<K, V>>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
}

impl<K: Ord, V> KeyedQueue<K, V> {
    /// An empty queue without room.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Makes room for `total` values in all. Says whether there was memory.
    #[must_use]
    pub fn reserve(&mut self, total: usize) -> bool {
        self.heap.try_reserve(total.saturating_sub(self.heap.len())).is_ok()
    }

    /// Adds `value`.
    pub fn push(&mut self, key: K, value: V) {
        self.heap.push(Reverse(Entry { key, value }));
    }

    /// Takes the value with the smallest key.
    pub fn pop(&mut self) -> Option<(K, V)> {
        if self.heap.is_empty() {
            // Most queues are, at most switches.
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.key, entry.value))
    }

    /// The smallest key and its value.
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        self.heap.peek().map(|Reverse(entry)| (&entry.key, &entry.value))
    }

    /// All values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.heap.iter().map(|Reverse(entry)| &entry.value)
    }

    /// Takes out the value with the smallest key among those that are `wanted`. Linear in the length.
    pub fn take(&mut self, mut wanted: impl FnMut(&V) -> bool) -> Option<V>
    where
        K: Clone,
    {
        let entries = self.heap.iter().filter(|Reverse(entry)| wanted(&entry.value));
        let key = entries.map(|Reverse(entry)| &entry.key).min()?.clone();
        let mut entries = core::mem::take(&mut self.heap).into_vec();
        let position = entries.iter().position(|Reverse(entry)| entry.key == key);
        let found = position.map(|position| entries.swap_remove(position).0.value);
        self.heap = BinaryHeap::from(entries);
        found
    }

    /// How many values are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<K: Ord, V> Default for KeyedQueue<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> PartialEq for Entry<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<K: Ord, V> Eq for Entry<K, V> {}
impl<K: Ord, V> PartialOrd for Entry<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Ord, V> Ord for Entry<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_order_of_their_keys_and_any_can_be_taken() {
        let mut queue = KeyedQueue::new();
        assert!(queue.reserve(4));
        for (key, value) in [(3, 'c'), (1, 'a'), (2, 'b'), (4, 'd')] {
            queue.push(key, value);
        }
        assert_eq!(queue.take(|&value| value >= 'b'), Some('b'));
        assert_eq!(queue.take(|&value| value == 'x'), None);
        assert_eq!(queue.first(), Some((&1, &'a')));
        let rest: Vec<_> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [(1, 'a'), (3, 'c'), (4, 'd')]);
    }
}
