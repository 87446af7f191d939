//! Putting a loader's memory map in order.
//!
//! Loaders report regions in any order, unaligned and overlapping. A [`MemoryMap`] is built by painting: each
//! [`paint`](MemoryMap::paint) overwrites what was there, so whoever paints free RAM first and everything that lies in it
//! afterwards gets a map that is sorted, page-aligned and free of overlaps, in which the stricter report wins.

use arrayvec::ArrayVec;

use crate::addr::{PAGE_SIZE, PhysAddr};
use crate::boot::{MemoryKind, MemoryRegion};

/// Regions that a map can hold. Firmware of large machines reports about two hundred.
pub const CAPACITY: usize = 512;

const PAGE: u64 = PAGE_SIZE as u64;
/// Past the last address that a page-table entry can hold.
const LIMIT: u64 = 1 << 52;

/// A memory map under construction: sorted, page-aligned, without overlaps.
#[derive(Clone, Debug)]
pub struct MemoryMap {
    regions: ArrayVec<MemoryRegion, CAPACITY>,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryMap {
    /// A map that reports nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { regions: ArrayVec::new_const() }
    }

    /// The regions so far.
    #[must_use]
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.regions
    }

    /// Makes `bytes` from `start` on be of `kind`, whatever they were. Free RAM is rounded inwards to whole pages, all else
    /// outwards.
    ///
    /// # Panics
    /// When the map is full and something other than free RAM does not fit.
    pub fn paint(&mut self, start: u64, bytes: u64, kind: MemoryKind) {
        let end = start.saturating_add(bytes).min(LIMIT);
        let (start, end) = if kind == MemoryKind::Usable {
            (start.next_multiple_of(PAGE), end / PAGE * PAGE)
        } else {
            (start / PAGE * PAGE, end.next_multiple_of(PAGE))
        };
        if bytes == 0 || start >= end {
            return;
        }
        if kind == MemoryKind::Usable && self.regions.remaining_capacity() < 2 {
            return;
        }
        self.cut(start, end);
        let at = self.regions.partition_point(|region| region.start.as_u64() < start);
        self.insert(at, start, end, kind);
        self.merge_around(at);
    }

    /// Takes `start .. end` out of every region.
    fn cut(&mut self, start: u64, end: u64) {
        let mut index = 0;
        while let Some(region) = self.regions.get(index).copied() {
            let (first, last) = (region.start.as_u64(), region.end());
            if last <= start || first >= end {
                index += 1;
                continue;
            }
            self.regions.remove(index);
            if first < start {
                self.insert(index, first, start, region.kind);
                index += 1;
            }
            if last > end {
                self.insert(index, end, last, region.kind);
                index += 1;
            }
        }
    }

    fn insert(&mut self, at: usize, start: u64, end: u64, kind: MemoryKind) {
        let region = MemoryRegion { start: PhysAddr::new(start), bytes: end - start, kind };
        assert!(self.regions.try_insert(at, region).is_ok(), "the memory map has too many regions");
    }

    /// Joins the region at `at` with its neighbours of the same kind.
    fn merge_around(&mut self, at: usize) {
        for index in [at, at.wrapping_sub(1)] {
            let (Some(left), Some(right)) = (
                self.regions.get(index).copied(),
                self.regions.get(index.wrapping_add(1)).copied(),
            ) else {
                continue;
            };
            if left.kind == right.kind && left.end() == right.start.as_u64() {
                self.regions[index].bytes += right.bytes;
                self.regions.remove(index + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemoryKind::{Kernel, Reserved, Usable};

    fn listed(map: &MemoryMap) -> Vec<(u64, u64, MemoryKind)> {
        map.regions().iter().map(|r| (r.start.as_u64(), r.end(), r.kind)).collect()
    }

    #[test]
    fn a_hole_splits_a_region() {
        let mut map = MemoryMap::new();
        map.paint(0x1000, 0x9000, Usable);
        map.paint(0x3000, 0x1000, Kernel);
        assert_eq!(
            listed(&map),
            [(0x1000, 0x3000, Usable), (0x3000, 0x4000, Kernel), (0x4000, 0xa000, Usable)]
        );
    }

    #[test]
    fn free_ram_is_rounded_inwards_and_the_rest_outwards() {
        let mut map = MemoryMap::new();
        map.paint(0x1001, 0x8000, Usable);
        map.paint(0x4fff, 2, Reserved);
        assert_eq!(
            listed(&map),
            [(0x2000, 0x4000, Usable), (0x4000, 0x6000, Reserved), (0x6000, 0x9000, Usable)]
        );
    }

    #[test]
    fn neighbours_of_a_kind_merge() {
        let mut map = MemoryMap::new();
        map.paint(0x1000, 0x1000, Usable);
        map.paint(0x3000, 0x1000, Usable);
        map.paint(0x2000, 0x1000, Usable);
        assert_eq!(listed(&map), [(0x1000, 0x4000, Usable)]);
    }

    #[test]
    fn later_paint_wins_and_absurd_ends_are_clipped() {
        let mut map = MemoryMap::new();
        map.paint(0x1000, 0x4000, Reserved);
        map.paint(0, u64::MAX, Usable);
        map.paint(0x2000, 0, Kernel);
        assert_eq!(listed(&map), [(0, LIMIT, Usable)]);
    }

    proptest::proptest! {
        #[test]
        fn the_map_stays_sorted_and_each_page_is_what_was_painted_last(
            strokes in proptest::collection::vec((0u64..64, 0u64..16, 0usize..3), 1..40),
        ) {
            let kinds = [Usable, Reserved, Kernel];
            let mut map = MemoryMap::new();
            let mut pages = [None; 80];
            for (start, count, kind) in strokes {
                map.paint(start * PAGE, count * PAGE, kinds[kind]);
                pages[start as usize..(start + count) as usize].fill(Some(kinds[kind]));
            }
            for pair in map.regions().windows(2) {
                assert!(pair[0].end() <= pair[1].start.as_u64());
            }
            for (page, expected) in pages.into_iter().enumerate() {
                let at = page as u64 * PAGE;
                let found = map.regions().iter().find(|r| r.start.as_u64() <= at && at < r.end());
                assert_eq!(found.map(|region| region.kind), expected);
            }
        }
    }
}
