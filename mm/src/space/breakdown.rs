//! What one area takes, page by page, for `/proc/PID/smaps`.

use arch::addr::Frame;
use arch::paging::{Entry, EntryFlags};

use super::AddressSpace;
use crate::memory::{HUGE_FRAMES, Kind};
use crate::raw::table;
use crate::table::entry::{ROOT_LEVEL, is_empty, parts};
use crate::table::survey::{Leaves, survey};
use crate::vma::Range;

/// Entries that are looked at under one hold of the lock.
const LOOKS: u64 = 8192;

/// How the resident pages of a range are used; in pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Breakdown {
    /// All of them.
    pub resident: u64,
    /// The share of this space, in parts of [`SHARE`](Self::SHARE) pages: a page that three map counts a third.
    pub proportional: u64,
    /// Mapped by others as well, and not written.
    pub shared_clean: u64,
    /// Mapped by others as well, and written.
    pub shared_dirty: u64,
    /// Mapped here alone, and not written.
    pub private_clean: u64,
    /// Mapped here alone, and written.
    pub private_dirty: u64,
    /// Touched.
    pub referenced: u64,
    /// Private memory.
    pub anonymous: u64,
    /// Private memory in huge pages.
    pub huge: u64,
}

impl Breakdown {
    /// The unit of [`proportional`](Self::proportional) in a page.
    pub const SHARE: u64 = 1 << 12;

    fn add(&mut self, entry: Entry, kind: Kind, pages: u64, mappers: u64) {
        let dirty = entry.flags().contains(EntryFlags::DIRTY);
        self.resident += pages;
        self.proportional += pages * Self::SHARE / mappers;
        let sum = match (mappers > 1, dirty) {
            (true, false) => &mut self.shared_clean,
            (true, true) => &mut self.shared_dirty,
            (false, false) => &mut self.private_clean,
            (false, true) => &mut self.private_dirty,
        };
        *sum += pages;
        if entry.is_accessed() {
            self.referenced += pages;
        }
        if kind == Kind::Anonymous {
            self.anonymous += pages;
        }
        if entry.is_huge() {
            self.huge += pages;
        }
    }
}

impl core::ops::AddAssign for Breakdown {
    fn add_assign(&mut self, other: Self) {
        self.resident += other.resident;
        self.proportional += other.proportional;
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.referenced += other.referenced;
        self.anonymous += other.anonymous;
        self.huge += other.huge;
    }
}

impl AddressSpace {
    /// How the resident pages of `range` are used. Looks at each of them with the lock held exclusively, at some thousand at a
    /// time; what changes meanwhile may count or not.
    #[must_use]
    pub fn breakdown(&self, range: Range) -> Breakdown {
        let mut sum = Breakdown::default();
        let mut rest = Some(range);
        while let Some(range) = rest {
            let _state = self.lock();
            let part = survey(self.root, range, LOOKS, Leaves::Enter).range;
            self.break_down(self.root, ROOT_LEVEL, part, 1, &mut sum);
            rest = Range::new(part.end(), range.end());
        }
        sum
    }

    /// `mappers` says how many trees lead to `node`: the product of the counts on the way, which is right as long as each of
    /// them belongs to another space.
    fn break_down(&self, node: Frame, level: u32, range: Range, mappers: u64, sum: &mut Breakdown) {
        for part in parts(range, level) {
            let entry = table(node).load(part.index);
            if is_empty(entry) {
                continue;
            }
            let meta = self.memory.meta(entry.frame());
            let count = u64::from(self.memory.count_of(entry).get()).max(1);
            if level > 1 && !entry.is_huge() {
                self.break_down(entry.frame(), level - 1, part.range, mappers * count, sum);
                continue;
            }
            // The object itself holds a reference as well, which is no mapping.
            let own = u64::from(meta.kind() == Kind::Object);
            let mappers = mappers * count.saturating_sub(own).max(1);
            match meta.kind() {
                // The frame of zeros is nobody's.
                Kind::Kernel => {}
                kind => sum.add(entry, kind, part.range.pages().min(HUGE_FRAMES), mappers),
            }
        }
    }
}
