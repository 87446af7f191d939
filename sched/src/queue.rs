//! A queue ordered by a key, smallest first: a binary heap whose room is reserved ahead.
//!
//! Most queues hold one or two values at most times, so that is what the code is made for: short ways to and from an empty
//! heap, and entries that are exchanged in place.

use alloc::vec::Vec;

/// Values with keys. Equal keys come out in any order, so a key should be unique.
#[derive(Debug)]
pub struct KeyedQueue<K: Ord, V> {
    /// No entry has a smaller key than the one at half its place, counted from one.
    heap: Vec<(K, V)>,
}

impl<K: Ord, V> KeyedQueue<K, V> {
    /// An empty queue without room.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: Vec::new() }
    }

    /// Makes room for `total` values in all. Says whether there was memory.
    #[must_use]
    pub fn reserve(&mut self, total: usize) -> bool {
        self.heap.try_reserve(total.saturating_sub(self.heap.len())).is_ok()
    }

    /// Adds `value`.
    #[inline(always)]
    pub fn push(&mut self, key: K, value: V) {
        if self.heap.len() == self.heap.capacity() {
            return self.push_unreserved(key, value);
        }
        self.heap.push((key, value));
        match self.heap.as_mut_slice() {
            [_] => {}
            [first, second] if first.0 <= second.0 => {}
            heap => {
                let last = heap.len() - 1;
                self.rise(last);
            }
        }
    }

    /// As [`push`](Self::push), where no room was reserved.
    #[cold]
    #[inline(never)]
    fn push_unreserved(&mut self, key: K, value: V) {
        self.heap.push((key, value));
        self.rise(self.heap.len() - 1);
    }

    /// Takes the value with the smallest key.
    pub fn pop(&mut self) -> Option<(K, V)> {
        match self.heap.len() {
            0 | 1 => self.heap.pop(),
            2 => Some(self.heap.swap_remove(0)),
            _ => Some(self.take_at(0)),
        }
    }

    /// The smallest key and its value.
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        self.heap.first().map(|(key, value)| (key, value))
    }

    /// All values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.heap.iter().map(|(_, value)| value)
    }

    /// Takes out the value with the smallest key among those that are `wanted`. Linear in the length.
    pub fn take(&mut self, mut wanted: impl FnMut(&V) -> bool) -> Option<V> {
        let entries = self.heap.iter().enumerate().filter(|(_, (_, value))| wanted(value));
        let (place, _) = entries.min_by_key(|(_, (key, _))| key)?;
        Some(self.take_at(place).1)
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

    /// Takes out the entry at `place`; the last one takes its place and moves on to where it belongs.
    #[inline(never)]
    fn take_at(&mut self, place: usize) -> (K, V) {
        let entry = self.heap.swap_remove(place);
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
        entry
    }

    /// Moves the entry at `place` towards the front as far as its key says. Returns its new place.
    #[inline(never)]
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.heap.swap(parent, place);
            place = parent;
        }
        place
    }

    /// Moves the entry at `place` towards the end as far as its key says.
    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let Some(mut least) = self.heap.get(left).map(|_| left) else { return };
            if self.heap.get(right).is_some_and(|(key, _)| *key < self.heap[left].0) {
                least = right;
            }
            if self.heap[place].0 <= self.heap[least].0 {
                return;
            }
            self.heap.swap(place, least);
            place = least;
        }
    }
}

impl<K: Ord, V> Default for KeyedQueue<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_orders_as_a_sorted_set_does(
            steps in prop::collection::vec((any::<u8>(), any::<Option<u8>>()), 0..80),
        ) {
            let (mut queue, mut model) = (KeyedQueue::new(), BTreeSet::new());
            for (number, (key, taken)) in steps.into_iter().enumerate() {
                queue.push((key, number), (key, number));
                model.insert((key, number));
                if let Some(limit) = taken {
                    let wanted = |&&(key, _): &&(u8, usize)| key >= limit;
                    let expected = model.iter().find(wanted).copied();
                    prop_assert_eq!(queue.take(|value| wanted(&value)), expected);
                    expected.map(|value| model.remove(&value));
                }
                prop_assert_eq!(queue.first().map(|(key, _)| key), model.first());
            }
            let rest: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|(key, _)| key).collect();
            prop_assert_eq!(rest, model.into_iter().collect::<Vec<_>>());
        }
    }

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
