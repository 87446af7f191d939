//! The forms of an entry, and the arithmetic of levels.
//!
//! ```text
//!   empty     all bits zero
//!   table     P, W if the child is exclusive, U; levels 2 to 4
//!   page      P, U, W if it may be written in place, XD unless executable
//!   huge      as a page, with PS: 512 frames, in a table of level 2
//!   held      P clear, software bit 9 set: a page under PROT_NONE. The processor sees nothing; the reference stays.
//! ```
//! W is derived (I8): clear is always right, set is a permission that somebody checked.

use arch::addr::{Frame, PAGE_SHIFT, UserAddr};
use arch::paging::{Entry, EntryFlags};

use crate::memory::{FrameMeta, Kind, Memory, Residency};
use crate::vma::{Protection, Range};

/// The level of the root table; level 1 tables point at pages.
pub(crate) const ROOT_LEVEL: u32 = arch::paging::LEVELS;

/// A page that is mapped but must not be touched.
const HELD: EntryFlags = EntryFlags::SOFTWARE_0;

/// An entry that points at the table in `frame`, which this entry's owner holds alone.
pub(crate) fn table_entry(frame: Frame) -> Entry {
    Entry::new(frame, EntryFlags::PRESENT | EntryFlags::WRITABLE | EntryFlags::USER)
}

/// Whether a write may go straight through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writes {
    /// The page is the process's own, or shared on purpose and noted as dirty.
    Direct,
    /// The first write faults.
    Fault,
}

/// An entry for a page under `protection`.
pub(crate) fn page_entry(frame: Frame, protection: Protection, writes: Writes) -> Entry {
    if protection.is_empty() {
        return Entry::new(frame, HELD);
    }
    let mut flags = EntryFlags::PRESENT | EntryFlags::USER;
    let writable = protection.contains(Protection::WRITE) && writes == Writes::Direct;
    flags.set(EntryFlags::WRITABLE, writable);
    flags.set(EntryFlags::NO_EXECUTE, !protection.contains(Protection::EXECUTE));
    Entry::new(frame, flags)
}

/// Whether the entry points at nothing.
pub(crate) fn is_empty(entry: Entry) -> bool {
    entry == Entry::EMPTY
}

/// An entry for the huge page from `first` on.
pub(crate) fn huge_entry(first: Frame, protection: Protection, writes: Writes) -> Entry {
    let entry = page_entry(first, protection, writes);
    entry.with_flags(entry.flags() | EntryFlags::HUGE)
}

/// The entry for the frame `number` of the huge page that `entry` maps, as writable as that is.
pub(crate) fn part_of_huge(entry: Entry, number: u64) -> Entry {
    Entry::new(entry.frame().offset(number), entry.flags() - EntryFlags::HUGE)
}

/// Whether nobody else has the page of `entry`, whose table is exclusively owned, and nobody else ever sees writes to it.
pub(crate) fn is_own(memory: &Memory, entry: Entry) -> bool {
    let meta = memory.meta(entry.frame());
    match entry.is_huge() {
        true => memory.owns_huge(entry.frame()),
        false => meta.kind() == Kind::Anonymous && meta.count.is_exclusive(),
    }
}

/// The entry of the same page under another protection. Its table is exclusively owned. W stays, or comes at once to a page
/// that nobody else has; to all others it comes by a fault.
pub(crate) fn reprotected(entry: Entry, memory: &Memory, protection: Protection) -> Entry {
    let own = is_own(memory, entry);
    let writes = if own || entry.is_writable() { Writes::Direct } else { Writes::Fault };
    let marks = entry.flags() & (EntryFlags::ACCESSED | EntryFlags::DIRTY | EntryFlags::HUGE);
    let new = page_entry(entry.frame(), protection, writes);
    new.with_flags(new.flags() | marks)
}

/// Whether the processor may hold a translation through `old` that `new` forbids.
pub(crate) fn needs_flush(old: Entry, new: Entry) -> bool {
    let lost = |flag| old.flags().contains(flag) && !new.flags().contains(flag);
    old.is_present()
        && (lost(EntryFlags::PRESENT)
            || lost(EntryFlags::WRITABLE)
            || old.frame() != new.frame()
            || (new.flags() - old.flags()).contains(EntryFlags::NO_EXECUTE))
}

/// What a page with this record adds to the resident set.
pub(crate) fn residency_of(meta: &FrameMeta) -> Residency {
    match meta.kind() {
        Kind::Anonymous => Residency::ANONYMOUS,
        Kind::Object => Residency::OBJECT,
        // The frame of zeros.
        _ => Residency::default(),
    }
}

/// What `entry` of a table at `level` adds to the resident set above.
pub(crate) fn residency_below(memory: &Memory, entry: Entry, level: u32) -> Residency {
    let meta = memory.meta(entry.frame());
    match level {
        1 => residency_of(meta),
        _ if entry.is_huge() => Residency::HUGE,
        _ => meta.residency(),
    }
}

/// Bytes that one entry of a table at `level` spans.
pub(crate) const fn span(level: u32) -> u64 {
    1 << (PAGE_SHIFT + 9 * (level - 1))
}

/// The index in a table at `level` of the entry for `address`.
pub(crate) fn index(address: UserAddr, level: u32) -> usize {
    (address.as_u64() / span(level)) as usize % arch::paging::TABLE_ENTRIES
}

/// A part of a range that falls under one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The entry's index.
    pub index: usize,
    /// The part.
    pub range: Range,
    /// Whether it is all that the entry spans.
    pub whole: bool,
}

/// `range`, which one table at `level` spans, cut along that table's entries.
pub(crate) fn parts(range: Range, level: u32) -> impl Iterator<Item = Part> {
    let mut from = range.start();
    core::iter::from_fn(move || {
        let boundary = (from.as_u64() / span(level) + 1) * span(level);
        let end = UserAddr::try_new(boundary).map_or(range.end(), |end| end.min(range.end()));
        let part = Range::new(from, end)?;
        let found =
            Part { index: index(from, level), range: part, whole: part.bytes() == span(level) };
        from = end;
        Some(found)
    })
}
