//! Checking whole trees against their counts, at moments when nothing else runs. For tests and for debugging.

use alloc::collections::BTreeMap;

use arch::addr::Frame;
use arch::paging::{Entry, USER_ROOT_ENTRIES};

use crate::memory::{HUGE_FRAMES, Kind, Memory, Residency};
use crate::raw::{TABLE_ENTRIES, table};
use crate::space::AddressSpace;
use crate::table::entry::{ROOT_LEVEL, is_empty, residency_of};
use crate::table::huge::HUGE_LEVEL;

/// References found by walking.
#[derive(Debug, Default)]
pub struct References {
    /// For each frame, how many entries point at it. A shared table's entries count once.
    found: BTreeMap<Frame, u32>,
    /// For the first frame of each huge page, how many entries map all of it.
    huge: BTreeMap<Frame, u32>,
}

impl References {
    /// Walks the tree of `space`, checking each table's own sums.
    ///
    /// # Panics
    /// When a table's record contradicts its content, or a write bit stands over something shared.
    pub fn add(&mut self, space: &AddressSpace) {
        let memory = space.memory();
        let root = space.root_table();
        let sum = self.walk(memory, root, ROOT_LEVEL);
        assert_eq!(memory.meta(root).residency(), sum, "resident set of the root");
    }

    /// Adds `count` references that something else holds on `frame`, such as an object's page cache.
    pub fn add_external(&mut self, frame: Frame, count: u32) {
        *self.found.entry(frame).or_default() += count;
    }

    /// The references found on `frame`.
    #[must_use]
    pub fn of(&self, frame: Frame) -> u32 {
        self.found.get(&frame).copied().unwrap_or(0)
    }

    /// How many different frames were found.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.found.len()
    }

    /// Checks every frame found against its count.
    ///
    /// # Panics
    /// When a count differs from the references found.
    pub fn check(&self, memory: &Memory) {
        for (first, references) in &self.huge {
            let count = memory.meta(*first).huge_count().get();
            assert_eq!(count, *references, "entries for the huge page {first:?}");
        }
        assert_eq!(memory.huge_pages(), self.huge.len() as u64, "huge pages");
        for (frame, references) in &self.found {
            let count = &memory.meta(*frame).count;
            if !count.is_immortal() {
                let kind = memory.meta(*frame).kind();
                assert_eq!(count.get(), *references, "references to {frame:?} ({kind:?})");
            }
        }
    }

    fn walk(&mut self, memory: &Memory, node: Frame, level: u32) -> Residency {
        assert_eq!(memory.meta(node).kind(), Kind::Table, "{node:?} at level {level}");
        let entries = if level == ROOT_LEVEL { USER_ROOT_ENTRIES } else { TABLE_ENTRIES };
        let mut present = 0;
        let mut sum = Residency::default();
        for index in 0..entries {
            let entry = table(node).load(index);
            if !is_empty(entry) {
                present += 1;
                sum += self.child(memory, entry, level);
            }
        }
        let meta = memory.meta(node);
        assert_eq!(meta.present(), present, "entries of {node:?} at level {level}");
        assert_eq!(meta.residency(), sum, "pages below {node:?} at level {level}");
        sum
    }

    /// A huge page holds one reference on each of its frames, however many entries map it.
    fn huge(&mut self, memory: &Memory, entry: Entry) -> Residency {
        let first = entry.frame();
        let entries = self.huge.entry(first).or_default();
        *entries += 1;
        if *entries == 1 {
            (0..HUGE_FRAMES).for_each(|number| self.add_external(first.offset(number), 1));
        }
        if entry.is_writable() {
            assert!(memory.owns_huge(first), "W over the huge page {first:?}, which is shared");
        }
        Residency::HUGE
    }

    fn child(&mut self, memory: &Memory, entry: Entry, level: u32) -> Residency {
        if level == HUGE_LEVEL && entry.is_huge() {
            return self.huge(memory, entry);
        }
        let child = entry.frame();
        let references = self.found.entry(child).or_default();
        *references += 1;
        let first = *references == 1;
        let meta = memory.meta(child);
        if entry.is_writable() && meta.kind() != Kind::Object {
            // I2, and the reason for I3b: W stands only over what has one parent.
            assert!(
                meta.count.is_exclusive(),
                "W over {child:?}, which is shared, at level {level}"
            );
        }
        match level {
            1 => residency_of(meta),
            _ if first => self.walk(memory, child, level - 1),
            _ => meta.residency(),
        }
    }
}
