//! Values by small numbers: the tasks of one run queue, by numbers that policies carry around, and what a policy keeps of each.
//!
//! The queue owns its tasks here, not inside the policy: a policy that forgets a task cannot lose it. Inserting never
//! allocates, because room is [reserved](Slots::reserve) when a task is made.

use alloc::vec::Vec;
use core::mem;

/// The number of an occupied slot.
pub(crate) struct Slot;

impl Slot {
    /// The number that no slot has.
    pub(crate) const NONE: u32 = u32::MAX;
}

/// A slot of the table.
#[derive(Debug)]
enum Entry<T> {
    Used(T),
    /// The free slot after this one in the list of them.
    Free(u32),
}

/// A table of `T` with a list of its free slots.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<Entry<T>>,
    /// The first free slot, or [`Slot::NONE`].
    free: u32,
    used: usize,
}

impl<T> Entry<T> {
    fn value(&self) -> Option<&T> {
        match self {
            Self::Used(value) => Some(value),
            Self::Free(_) => None,
        }
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Slot::NONE, used: 0 }
    }

    /// Makes room for `total` values in all. Says whether there was memory.
    #[must_use]
    pub(crate) fn reserve(&mut self, total: usize) -> bool {
        self.entries.try_reserve(total.saturating_sub(self.entries.len())).is_ok()
    }

    /// The slot that the next [`insert`](Self::insert) uses.
    #[inline]
    pub(crate) fn next(&self) -> u32 {
        if self.free == Slot::NONE { self.entries.len() as u32 } else { self.free }
    }

    /// Stores `value` and returns its slot.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let slot = self.next();
        self.used += 1;
        match self.entries.get_mut(slot as usize) {
            None => self.entries.push(Entry::Used(value)),
            Some(entry) => {
                if let Entry::Free(next) = entry {
                    self.free = *next;
                }
                *entry = Entry::Used(value);
            }
        }
        slot
    }

    /// How many slots are occupied.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// The value in `slot`, if there is one.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.entries.get(slot as usize)?.value()
    }

    /// As [`get`](Self::get), to change it.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.entries.get_mut(slot as usize)? {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// Takes the value out of `slot`.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let entry = self.entries.get_mut(slot as usize)?;
        entry.value()?;
        let Entry::Used(value) = mem::replace(entry, Entry::Free(self.free)) else { return None };
        self.free = slot;
        self.used -= 1;
        Some(value)
    }

    /// Empties `slot`. Says whether there was something in it.
    pub(crate) fn clear(&mut self, slot: u32) -> bool {
        let Some(entry @ Entry::Used(_)) = self.entries.get_mut(slot as usize) else {
            return false;
        };
        *entry = Entry::Free(self.free);
        self.free = slot;
        self.used -= 1;
        true
    }

    /// One more than the largest number in use.
    pub(crate) fn limit(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The occupied slots among the `count` from `from` on, and their values.
    pub(crate) fn window(&self, from: u32, count: usize) -> impl Iterator<Item = (u32, &T)> {
        let slots = (from..).zip(self.entries.iter().skip(from as usize).take(count));
        slots.filter_map(|(slot, entry)| Some((slot, entry.value()?)))
    }

    /// The occupied slots and their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| Some((slot as u32, entry.value()?)))
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
