//! Detaching an object's pages from a range, where private copies of them stay. The space lock is held exclusively.
//!
//! Unlike [`Cursor::zap`] this looks at every table that has pages of an object below it, and copies those that are shared:
//! which pages are copies only their frames' records say. Tables without such pages are told by their sums and left alone.

use arch::addr::Frame;

use crate::error::OutOfMemory;
use crate::memory::{Kind, Residency};
use crate::raw::table;
use crate::table::cursor::{Cursor, Missing};
use crate::table::entry::{Part, ROOT_LEVEL, is_empty, parts};
use crate::vma::Range;

impl Cursor<'_, '_> {
    /// Detaches the pages of objects in `range` and gathers them. On failure some are detached; call again for the rest.
    pub(crate) fn zap_objects(&mut self, range: Range) -> Result<(), OutOfMemory> {
        let mut removed = Residency::default();
        self.zap_objects_below(self.root, ROOT_LEVEL, range, &mut removed)
    }

    /// Detaches them below the exclusively owned `node`, and adds to `removed` what went.
    fn zap_objects_below(
        &mut self,
        node: Frame,
        level: u32,
        range: Range,
        removed: &mut Residency,
    ) -> Result<(), OutOfMemory> {
        let mut gone = Residency::default();
        let mut outcome = Ok(());
        for part in parts(range, level) {
            outcome = self.zap_objects_in(node, level, part, &mut gone);
            if outcome.is_err() {
                break;
            }
        }
        // Also after a failure: the sums say what is still there.
        self.memory.meta(node).add_residency(-gone);
        *removed += gone;
        outcome
    }

    fn zap_objects_in(
        &mut self,
        node: Frame,
        level: u32,
        part: Part,
        gone: &mut Residency,
    ) -> Result<(), OutOfMemory> {
        let entry = table(node).load(part.index);
        // Huge pages are never an object's.
        if is_empty(entry) || entry.is_huge() {
            return Ok(());
        }
        let meta = self.memory.meta(entry.frame());
        if level == 1 {
            if meta.kind() == Kind::Object {
                *gone += self.zap_page(node, part, level);
            }
            return Ok(());
        }
        if meta.residency().shared == 0 {
            return Ok(());
        }
        let child = self.own_child(node, level, part.range.start(), Missing::Stop)?;
        match child {
            Some(child) => self.zap_objects_below(child, level - 1, part.range, gone),
            None => Ok(()),
        }
    }
}
