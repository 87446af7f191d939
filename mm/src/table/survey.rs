//! Looking through a tree for a bounded time: [`survey`].
//!
//! What walks the tables of a range takes as long as there are tables in it, and may find nothing in a hundred terabytes. So
//! a long walk is cut where a certain number of entries have been looked at, wherever that is.

use arch::addr::Frame;
use arch::paging::TABLE_ENTRIES;

use crate::raw::table;
use crate::table::entry::{Part, ROOT_LEVEL, is_empty, parts, span};
use crate::vma::Range;

/// What is done with the tables of level 1, whose entries are pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaves {
    /// Nothing: they count as one look.
    Count,
    /// Each of their entries will be looked at, and each page of a huge page.
    Enter,
}

/// How far a walk gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survey {
    /// The part of the range that was walked.
    pub range: Range,
    /// Tables below the root that begin in this part.
    pub tables: u64,
}

/// Walks `range` in the tree under `root` until about `looks` entries have been looked at: at least as far as the first entry.
/// The space lock is held exclusively.
pub(crate) fn survey(root: Frame, range: Range, looks: u64, leaves: Leaves) -> Survey {
    let mut walk = Walk { left: looks, leaves, end: None, tables: 0 };
    walk.below(root, ROOT_LEVEL, range);
    let walked = walk.end.and_then(|end| Range::new(range.start(), end.range.start()));
    Survey { range: walked.unwrap_or(range), tables: walk.tables }
}

/// A walk under way.
struct Walk {
    /// Looks that are left.
    left: u64,
    leaves: Leaves,
    /// The first part that was not walked.
    end: Option<Part>,
    tables: u64,
}

impl Walk {
    /// Recursion is as deep as the tree: three calls.
    fn below(&mut self, node: Frame, level: u32, range: Range) {
        for part in parts(range, level) {
            if self.end.is_some() {
                return;
            }
            if self.left == 0 && part.range.start() > range.start() {
                self.end = Some(part);
                return;
            }
            self.look(1);
            let entry = table(node).load(part.index);
            if is_empty(entry) {
                continue;
            }
            let enters = self.leaves == Leaves::Enter;
            if !entry.is_huge() {
                self.tables += u64::from(part.range.start().as_u64().is_multiple_of(span(level)));
                if level > 2 {
                    self.below(entry.frame(), level - 1, part.range);
                    continue;
                }
            }
            self.look(if enters { TABLE_ENTRIES as u64 } else { 0 });
        }
    }

    fn look(&mut self, count: u64) {
        self.left = self.left.saturating_sub(count);
    }
}
