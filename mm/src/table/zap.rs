//! Detaching ranges from the tree. The space lock is held exclusively.
//!
//! A subtree that the range covers whole is dropped with one decrement, whoever shares it (I12). Only the tables on the two
//! edges are changed inside; [`Cursor::own_edges`] makes these exclusive first, and nothing can fail after that.

use arch::addr::Frame;
use arch::paging::Entry;

use crate::error::OutOfMemory;
use crate::memory::Residency;
use crate::raw::table;
use crate::table::cursor::{Cursor, Missing};
use crate::table::entry::{Part, ROOT_LEVEL, is_empty, parts, residency_below};
use crate::vma::Range;

/// Which tables inside a range to make exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Own {
    /// Those that the range covers in part: at most three on each edge.
    Edges,
    /// All of them: their entries will be changed one by one.
    All,
}

impl Cursor<'_, '_> {
    /// Makes the tables exclusive that removing `range` changes inside. Does not change what is mapped.
    pub(crate) fn own_edges(&mut self, range: Range) -> Result<(), OutOfMemory> {
        self.own_tables(self.root, ROOT_LEVEL, range, Own::Edges)
    }

    /// Makes every table exclusive that has entries for pages in `range`. Does not change what is mapped.
    pub(crate) fn own_all(&mut self, range: Range) -> Result<(), OutOfMemory> {
        self.own_tables(self.root, ROOT_LEVEL, range, Own::All)
    }

    /// Recursion is as deep as the tree: three calls.
    fn own_tables(
        &mut self,
        node: Frame,
        level: u32,
        range: Range,
        own: Own,
    ) -> Result<(), OutOfMemory> {
        if level == 1 {
            return Ok(());
        }
        for part in parts(range, level).filter(|part| own == Own::All || !part.whole) {
            let entry = table(node).load(part.index);
            // The entry of a huge page that the range covers is in a table which is owned already.
            if is_empty(entry) || (part.whole && entry.is_huge()) {
                continue;
            }
            let child = self.own_child(node, level, part.range.start(), Missing::Stop)?;
            if let Some(child) = child {
                self.own_tables(child, level - 1, part.range, own)?;
            }
        }
        Ok(())
    }

    /// Detaches everything in `range` and gathers it. The edges are owned already.
    pub(crate) fn zap(&mut self, range: Range) {
        self.zap_below(self.root, ROOT_LEVEL, range);
    }

    /// Detaches `range` below `node`; returns how many pages went.
    fn zap_below(&mut self, node: Frame, level: u32, range: Range) -> Residency {
        let mut removed = Residency::default();
        for part in parts(range, level) {
            let entry = table(node).load(part.index);
            if is_empty(entry) {
                continue;
            }
            if level == 1 || entry.is_huge() {
                debug_assert!(part.whole, "a huge page on the edge is not split");
                removed += self.zap_page(node, part, level);
            } else if part.whole {
                removed += self.memory.meta(entry.frame()).residency();
                self.detach_table(node, level, part, entry.frame());
            } else {
                let child = entry.frame();
                let meta = self.memory.meta(child);
                debug_assert!(meta.count.is_exclusive(), "an edge is not owned");
                removed += self.zap_below(child, level - 1, part.range);
                if meta.present() == 0 {
                    self.detach_table(node, level, part, child);
                }
            }
        }
        self.memory.meta(node).add_residency(-removed);
        removed
    }

    pub(super) fn zap_page(&mut self, node: Frame, part: Part, level: u32) -> Residency {
        // A swap: the processor may set marks until the very last moment (I9).
        let entry = table(node).swap(part.index, Entry::EMPTY);
        self.memory.meta(node).add_present(-1);
        let residency = residency_below(self.memory, entry, level);
        self.gather.page(part.range, entry);
        residency
    }

    fn detach_table(&mut self, node: Frame, level: u32, part: Part, child: Frame) {
        table(node).swap(part.index, Entry::EMPTY);
        self.memory.meta(node).add_present(-1);
        self.gather.table(part.range, child, level - 1);
    }

    /// Calls `visit` with the page range, the table and the index of every entry for pages in `range` that is not empty. The
    /// tables need not be exclusive unless the visitor changes them. Of a huge page, whose entry is in a table of level 2,
    /// the range is the part inside `range`; after [`own_all`](Self::own_all) that is all of it.
    pub(crate) fn for_each_page(
        &mut self,
        range: Range,
        visit: &mut impl FnMut(&mut Self, Range, Frame, usize),
    ) {
        self.visit_below(self.root, ROOT_LEVEL, range, visit);
    }

    /// The first of the pages in `range` whose entry is not empty; all of a huge page that is inside.
    pub(crate) fn first_page(&self, range: Range) -> Option<Range> {
        first_below(self.root, ROOT_LEVEL, range)
    }

    fn visit_below(
        &mut self,
        node: Frame,
        level: u32,
        range: Range,
        visit: &mut impl FnMut(&mut Self, Range, Frame, usize),
    ) {
        for part in parts(range, level) {
            let entry = table(node).load(part.index);
            if is_empty(entry) {
                continue;
            }
            match level {
                _ if level == 1 || entry.is_huge() => visit(self, part.range, node, part.index),
                _ => self.visit_below(entry.frame(), level - 1, part.range, visit),
            }
        }
    }
}

fn first_below(node: Frame, level: u32, range: Range) -> Option<Range> {
    parts(range, level).find_map(|part| {
        let entry = table(node).load(part.index);
        match level {
            _ if is_empty(entry) => None,
            _ if level == 1 || entry.is_huge() => Some(part.range),
            _ => first_below(entry.frame(), level - 1, part.range),
        }
    })
}
