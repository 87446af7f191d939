//! The protocol for one table: how it is copied while others use it, and how a reference to it is dropped.
//!
//! These functions know tables and counts but not where they are, so that loom can check them (`tests/loom_node.rs`).

use arch::addr::Frame;
use arch::paging::{Entry, EntryFlags};

use crate::count::{Count, Released, Saturated};
use crate::memory::{Kind, Memory};
use crate::raw::{LINE, TABLE_ENTRIES, Table, line_start};
use crate::table::entry::is_empty;
use crate::table::used::Used;

/// Gives the empty table `copy` all children of `source`, which the caller holds one of several references to, and takes a
/// reference on each (I3). On both sides the write bits are cleared (I3b): each child now has two parents.
///
/// The caller installs the copy, flushes, and only then releases `source`. That release and the acquire in
/// [`Count::is_exclusive`] carry the cleared bits to whoever is alone with `source` afterwards; clearing them later, or after
/// the release, would let that one restore W further up and write into what the copy still shares.
///
/// # Errors
/// [`Saturated`] when a child's count is full. All references taken are given back then; some write bits stay cleared,
/// which costs a fault at most.
pub fn share_children<'a>(
    source: &Table,
    copy: &Table,
    count: impl Fn(Frame) -> &'a Count,
) -> Result<(), Saturated> {
    let all = (0..TABLE_ENTRIES).filter(|&index| source.is_used(index)).count();
    share_entries(source, copy, Used::near(0, all as u32), |entry| count(entry.frame()))
}

/// As [`share_children`], of the entries that `used` finds, with the count found by the entry: a huge page has one of its own.
///
/// # Errors
/// As [`share_children`].
pub(crate) fn share_entries<'a>(
    source: &Table,
    copy: &Table,
    mut used: Used,
    count: impl Fn(Entry) -> &'a Count,
) -> Result<(), Saturated> {
    while let Some(line) = used.next_line(source) {
        let (start, mut found) = (line_start(line), LINE as u32);
        // One check instead of one for each entry; and as their number is known, the loop is unrolled.
        assert!(start + LINE <= TABLE_ENTRIES, "a line of the table");
        for offset in 0..LINE {
            let index = start + offset;
            let entry = source.load(index);
            if is_empty(entry) {
                // Counted instead of the others: most lines that are not empty are full.
                found -= 1;
                continue;
            }
            if let Err(full) = count(entry).acquire() {
                give_back(copy, count);
                return Err(full);
            }
            copy.store(index, share_entry(source, index, entry));
        }
        used.found(found);
    }
    Ok(())
}

/// Clears the write bit of the entry at `index` and returns the entry as a second parent may hold it. The child has been
/// acquired. An atomic AND: the processor may be setting marks in the same entry (I9).
pub fn share_entry(source: &Table, index: usize, entry: Entry) -> Entry {
    if !entry.is_writable() {
        return entry;
    }
    // Two steps, which take two instructions where one AND that returns the entry is a loop. Marks that come in between are
    // seen, and nobody sets W meanwhile: the source is shared.
    source.clear(index, EntryFlags::WRITABLE);
    let entry = source.load(index);
    entry.with_flags(entry.flags() - EntryFlags::WRITABLE)
}

/// Gives back the references that `copy` holds, which nobody else has seen.
fn give_back<'a>(copy: &Table, count: impl Fn(Entry) -> &'a Count) {
    let entries = (0..TABLE_ENTRIES).map(|index| copy.load(index));
    for entry in entries.filter(|entry| !is_empty(*entry)) {
        let released = count(entry).release();
        debug_assert_eq!(released, Released::Shared, "the source still holds the child");
    }
}

/// Drops one reference to the table in `frame` at `level`. If it was the last, drops the table's children and frees it,
/// and so on downwards: with a worklist as deep as the tree, without recursion, locks or allocation, so it may be preempted at
/// any point however much there is to free.
pub(crate) fn release_table(memory: &Memory, frame: Frame, level: u32) {
    use crate::raw::table;

    /// A table that nobody references any more, and its entries that still hold something.
    #[derive(Clone, Copy)]
    struct Dying {
        frame: Frame,
        used: Used,
    }

    let dying = |frame| Dying { frame, used: memory.meta(frame).used() };
    if memory.meta(frame).count.release() == Released::Shared {
        crate::counters::add(&memory.count().shared_drops, 1);
        return;
    }
    let mut work = [dying(frame); crate::table::entry::ROOT_LEVEL as usize];
    let mut depth = 0;
    loop {
        let Dying { frame, used } = &mut work[depth];
        debug_assert_eq!(memory.meta(*frame).kind(), Kind::Table);
        let Some(index) = used.next(table(*frame)) else {
            memory.free_frame(*frame);
            match depth.checked_sub(1) {
                None => return,
                Some(up) => depth = up,
            }
            continue;
        };
        let child = table(*frame).load(index);
        if level as usize - depth == 1 {
            memory.release_page(child);
        } else if child.is_huge() {
            memory.release_huge(child.frame());
        } else if memory.meta(child.frame()).count.release() == Released::Last {
            depth += 1;
            work[depth] = dying(child.frame());
        }
    }
}
