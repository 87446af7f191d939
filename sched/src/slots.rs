//! Values by small numbers: the tasks of one run queue, by numbers that policies carry around, and what a policy keeps of each.
//!
//! The queue owns its tasks here, not inside the policy: a policy that forgets a task cannot lose it. Inserting never
//! allocates, because room is [reserved](Slots::reserve) when a task is made.

use alloc::vec::Vec;

/// The number of an occupied slot.
pub(crate) struct Slot;

impl Slot {
    /// The number that no slot has.
    pub(crate) const NONE: u32 = u32::MAX;
}

/// A table of `T` with a free list.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    /// Makes room for `total` values in all. Says whether there was memory.
    #[must_use]
    pub(crate) fn reserve(&mut self, total: usize) -> bool {
        let reserve = total.saturating_sub(self.entries.len());
        let free = total.saturating_sub(self.free.len());
        self.entries.try_reserve(reserve).is_ok() && self.free.try_reserve(free).is_ok()
    }

    /// The slot that the next [`insert`](Self::insert) uses.
    pub(crate) fn next(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.entries.len() as u32)
    }

    /// Stores `value` and returns its slot.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let slot = self.next();
        if self.free.pop().is_some() {
            self.entries[slot as usize] = Some(value);
        } else {
            self.entries.push(Some(value));
        }
        slot
    }

    /// How many slots are occupied.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The value in `slot`, if there is one.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// As [`get`](Self::get), to change it.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    /// Takes the value out of `slot`.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.entries.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    /// One more than the largest number in use.
    pub(crate) fn limit(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The occupied slots among the `count` from `from` on, and their values.
    pub(crate) fn window(&self, from: u32, count: usize) -> impl Iterator<Item = (u32, &T)> {
        let slots = (from..).zip(self.entries.iter().skip(from as usize).take(count));
        slots.filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }

    /// The occupied slots and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(slot, value)| Some((slot as u32, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_and_need_no_memory_once_reserved() {
        let mut slots = Slots::new();
        assert!(slots.reserve(2));
        let capacity = slots.entries.capacity();
        let first = slots.insert('a');
        let second = slots.insert('b');
        assert_eq!((slots.len(), slots.next()), (2, 2));
        assert_eq!(slots.remove(first), Some('a'));
        assert_eq!(slots.remove(first), None);
        assert_eq!((slots.len(), slots.next()), (1, first));
        assert_eq!(slots.insert('c'), first);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(first, &'c'), (second, &'b')]);
        assert_eq!(slots.window(1, 1).collect::<Vec<_>>(), [(second, &'b')]);
        assert_eq!(slots.window(2, 1).count(), 0);
        assert_eq!(slots.entries.capacity(), capacity);
    }
}
