//! Whom a page's translation can have reached: the accessed marks of a level 1 table, and when they tell (I18).
//!
//! A processor marks an entry as accessed before it caches a translation by it (Intel SDM vol. 3A, 4.8 and 4.10.2). So an entry
//! without the mark is in no TLB, unless the mark was lost. Copying a table loses marks: who has cached a page by the old
//! table, after its entry was copied, has marked it there. Therefore
//!
//! 1. the copy gets no marks at all ([`clear`]), and is installed;
//! 2. everything that may have been cached by the old table is flushed, and then the copy's marks are complete ([`complete`]);
//! 3. from then on, an entry that is taken out without a mark needs no flush ([`is_in_no_tlb`]).
//!
//! After a fork, the threads of a process that copy their pages one by one interrupt each other once for each table, and not
//! once for each page. The protocol is checked by `tests/loom_marks.rs`.

use arch::paging::{Entry, EntryFlags};

use crate::memory::FrameMeta;
use crate::raw::{TABLE_ENTRIES, Table};

/// Clears the marks of `table`, a copy that is not installed yet.
pub fn clear(table: &Table) {
    for index in 0..TABLE_ENTRIES {
        let entry = table.load(index);
        if entry.is_accessed() {
            table.store(index, entry.with_flags(entry.flags() - EntryFlags::ACCESSED));
        }
    }
}

/// Runs `flush`, which forgets all translations by the table that was copied, and notes that the marks of the copy, which `record`
/// is of, are complete.
pub fn complete<T>(record: &FrameMeta, flush: impl FnOnce() -> T) -> T {
    let flushed = flush();
    record.complete_marks();
    flushed
}

/// Whether no TLB holds a translation by `old`, which has just been taken out of the table with this record.
pub fn is_in_no_tlb(record: &FrameMeta, old: Entry) -> bool {
    !old.is_accessed() && record.has_complete_marks()
}
