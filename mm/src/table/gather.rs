//! What a change has made invalid: translations to be flushed, and references to be dropped after that (I4).
//!
//! A [`Gather`] collects both while the tables are changed, under the space lock. [`Gather::flush`] is the one shootdown of
//! the operation. The references come out as [`Stale`], which is dropped when the lock is released: freeing a large
//! subtree takes long and needs no lock.

use arch::addr::Frame;
use arch::paging::{Entry, TABLE_ENTRIES};
use arch::tlb::{self, Sent, Tables};

use crate::counters::add;
use crate::memory::{Content, FrameRef, Kind, Memory, Urgency};
use crate::raw;
use crate::table::marks;
use crate::table::node::release_table;
use crate::vma::Range;

/// References that fit without a further frame: those of a fault (a page and three tables) and of small unmappings. A
/// fault pays for clearing and moving them, so there are few.
const INLINE: usize = 8;

/// In place of a level: a page.
const PAGE: u32 = 0;
/// In place of a level: a huge page.
const HUGE_PAGE: u32 = 7;

/// A reference that leaves the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detached {
    frame: Frame,
    /// [`PAGE`], [`HUGE_PAGE`], otherwise the table's level.
    level: u32,
}

/// References taken out of the tree whose translations are flushed. Dropping this drops them; hold no lock then.
#[must_use = "drop it after the space lock"]
pub(crate) struct Stale {
    memory: &'static Memory,
    /// As [`pack`]ed entries.
    inline: [Entry; INLINE],
    count: usize,
    /// Frames full of further references, each as an entry, linked through their records.
    spilled: Option<FrameRef>,
    spilled_count: usize,
}

/// Collects what one operation invalidates.
#[must_use = "flush it"]
pub(crate) struct Gather<'a> {
    tlb: &'a tlb::Context,
    stale: Stale,
    /// Addresses whose translations changed.
    range: Option<Range>,
    /// A table left the tree, so that lazy CPUs must stop walking it.
    tables: Tables,
    /// A level 1 table whose entries are not marked as accessed, though some are in TLBs until the flush.
    unmarked: Option<Frame>,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(memory: &'static Memory, tlb: &'a tlb::Context) -> Self {
        let stale = Stale {
            memory,
            inline: [Entry::EMPTY; INLINE],
            count: 0,
            spilled: None,
            spilled_count: 0,
        };
        Self { tlb, stale, range: None, tables: Tables::Kept, unmarked: None }
    }

    /// Translations of `range` are no longer right.
    pub(crate) fn invalidate(&mut self, range: Range) {
        self.range = Some(match self.range {
            None => range,
            Some(known) => {
                let start = known.start().min(range.start());
                let end = known.end().max(range.end());
                Range::new(start, end).unwrap_or(range)
            }
        });
    }

    /// The page of `entry`, huge or not, was mapped at `range` and is not any more.
    pub(crate) fn page(&mut self, range: Range, entry: Entry) {
        if entry.is_present() {
            self.invalidate(range);
        }
        let level = if entry.is_huge() { HUGE_PAGE } else { PAGE };
        self.detach(Detached { frame: entry.frame(), level });
    }

    /// The table in `frame` at `level` no longer translates `range`.
    pub(crate) fn table(&mut self, range: Range, frame: Frame, level: u32) {
        self.invalidate(range);
        self.tables = Tables::Freed;
        self.detach(Detached { frame, level });
    }

    /// The level 1 table in `old`, which translates `range`, has given way to `copy`, in which no entry is marked as accessed. The
    /// flush forgets all translations by `old`; after it the marks in `copy` tell what is in TLBs (I18).
    pub(crate) fn unmarked_table(&mut self, range: Range, old: Frame, copy: Frame) {
        debug_assert!(self.unmarked.is_none(), "one table at a time");
        self.unmarked = Some(copy);
        self.table(range, old, 1);
    }

    /// Whether a copy of a level 1 table is worth having [unmarked](Self::unmarked_table): other CPUs run the space,
    /// and would be interrupted for each page that is copied after it.
    pub(crate) fn wants_unmarked(&self) -> bool {
        self.unmarked.is_none() && self.tlb.runs_elsewhere()
    }

    /// The page of `entry` was mapped, and is in no TLB.
    pub(crate) fn untouched_page(&mut self, entry: Entry) {
        add(&self.stale.memory.count().shootdowns_spared, 1);
        self.detach(Detached { frame: entry.frame(), level: PAGE });
    }

    fn detach(&mut self, detached: Detached) {
        if self.stale.push(detached).is_err() {
            // No room and no frame for more: flush and free now, under the lock. Slow, but right.
            self.flush_now();
            self.stale.release();
            if self.stale.push(detached).is_err() {
                debug_assert!(false, "an emptied list has room");
            }
        }
    }

    /// Flushes what has been gathered so far, for a change that must not overlap with its successor (I6).
    pub(crate) fn flush_now(&mut self) {
        let Some(range) = self.range.take() else { return };
        let pages = tlb::Range::Pages { start: range.start().to_virt(), count: range.pages() };
        let tables = core::mem::replace(&mut self.tables, Tables::Kept);
        let memory = self.stale.memory;
        let flush = || count_shootdown(memory, self.tlb.flush(pages, tables));
        match self.unmarked.take() {
            Some(copy) => marks::complete(memory.meta(copy), flush),
            None => flush(),
        }
    }

    /// Flushes, and returns the references to be dropped after the lock.
    pub(crate) fn flush(mut self) -> Stale {
        self.flush_now();
        self.stale
    }
}

/// Counts one shootdown.
pub(crate) fn count_shootdown(memory: &Memory, sent: Sent) {
    let counters = memory.count();
    add(&counters.shootdowns, 1);
    add(&counters.shootdowns_local, u64::from(sent.targets == 0));
    add(&counters.shootdown_targets, u64::from(sent.targets));
    add(&counters.shootdown_skipped, u64::from(sent.skipped));
    add(&counters.shootdown_pages, u64::from(sent.pages));
    add(&counters.shootdown_full, u64::from(sent.full));
}

impl Stale {
    fn push(&mut self, detached: Detached) -> Result<(), ()> {
        if self.count < INLINE {
            self.inline[self.count] = pack(detached);
            self.count += 1;
            return Ok(());
        }
        if self.spilled.is_none() || self.spilled_count == TABLE_ENTRIES {
            self.add_page()?;
        }
        let page = self.spilled.as_ref().ok_or(())?;
        raw::table(page.frame()).store(self.spilled_count, pack(detached));
        self.spilled_count += 1;
        Ok(())
    }

    /// Starts another frame of references; the earlier ones hang on its record.
    fn add_page(&mut self) -> Result<(), ()> {
        let memory = self.memory;
        let page = memory.alloc_frame_for(Kind::Kernel, Content::Undefined, Urgency::Critical);
        let page = page.map_err(|_| ())?;
        let earlier = self.spilled.take().map(FrameRef::into_entry);
        page.meta().set_next(earlier.map_or(crate::memory::NIL, |frame| memory.index(frame)));
        self.spilled = Some(page);
        self.spilled_count = 0;
        Ok(())
    }

    fn release(&mut self) {
        for entry in &self.inline[..core::mem::take(&mut self.count)] {
            drop_reference(self.memory, unpack(*entry));
        }
        while let Some(page) = self.spilled.take() {
            for index in 0..self.spilled_count {
                drop_reference(self.memory, unpack(raw::table(page.frame()).load(index)));
            }
            self.spilled_count = TABLE_ENTRIES;
            let next = page.meta().next();
            if next != crate::memory::NIL {
                self.spilled = Some(FrameRef::from_owned(self.memory, self.memory.frame(next)));
            }
        }
        self.spilled_count = 0;
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        self.release();
    }
}

fn drop_reference(memory: &Memory, detached: Detached) {
    match detached.level {
        PAGE => memory.release_page(Entry::from_bits(detached.frame.start().as_u64())),
        HUGE_PAGE => memory.release_huge(detached.frame),
        level => release_table(memory, detached.frame, level),
    }
}

fn pack(detached: Detached) -> Entry {
    Entry::from_bits(detached.frame.start().as_u64() | u64::from(detached.level))
}

fn unpack(entry: Entry) -> Detached {
    Detached { frame: entry.frame(), level: (entry.bits() & 7) as u32 }
}
