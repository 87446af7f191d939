//! Descending the tree of one space, and the one place where a shared table is copied before it is written.
//!
//! A [`Cursor`] exists while the space lock is held. Shared (in faults): tables may be added, copied and made writable,
//! each under its parent's shard lock, one at a time from the top down (I14); a table found exclusive stays so until the
//! space lock is released. Held exclusively: entries may be removed as well.

use arch::addr::{Frame, UserAddr};
use arch::events::MachineEvent;
use arch::paging::EntryFlags;

use crate::count::Saturated;
use crate::counters::add;
use crate::error::OutOfMemory;
use crate::memory::{Content, FrameRef, Kind, Memory, Residency, Urgency};
use crate::raw::table;
use crate::space::RootUse;
use crate::table::entry::{ROOT_LEVEL, index, is_empty, span, table_entry};
use crate::table::gather::Gather;
use crate::table::marks;
use crate::table::node::share_entries;
use crate::table::used::Used;
use crate::vma::Range;

/// The tables from the root down to the one whose entries are pages, all exclusively owned (I1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// By level, level 1 first.
    tables: [Frame; ROOT_LEVEL as usize],
}

impl Path {
    /// The level 1 table.
    pub(crate) fn leaf(&self) -> Frame {
        self.tables[0]
    }

    /// The table at `level`.
    pub(crate) fn at(&self, level: u32) -> Frame {
        self.tables[level as usize - 1]
    }
}

/// What to do where a table is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    /// Add an empty one.
    Create,
    /// Stop.
    Stop,
}

/// Access to the tables of a space whose lock is held.
pub(crate) struct Cursor<'a, 'g> {
    pub(crate) memory: &'static Memory,
    pub(crate) root: Frame,
    pub(crate) gather: &'a mut Gather<'g>,
    /// For new tables.
    urgency: Urgency,
    /// Tells the space which entries of the root come into use.
    used: Option<&'a RootUse>,
    /// The write bit of a table came back.
    pub(crate) restored: u32,
}

impl<'a, 'g> Cursor<'a, 'g> {
    pub(crate) fn new(memory: &'static Memory, root: Frame, gather: &'a mut Gather<'g>) -> Self {
        Self { memory, root, gather, urgency: Urgency::User, used: None, restored: 0 }
    }

    /// The same, marking in `used` which entries of the root come into use. Needed to create tables.
    pub(crate) fn marking(self, used: &'a RootUse) -> Self {
        Self { used: Some(used), ..self }
    }

    /// The same, drawing on the kernel's reserve for tables.
    pub(crate) fn critical(self) -> Self {
        Self { urgency: Urgency::Critical, ..self }
    }

    /// The path to the level 1 table for `address`, exclusively owned and writable down to there. `None` where a table is
    /// missing and `missing` says to stop.
    pub(crate) fn own_path(
        &mut self,
        address: UserAddr,
        missing: Missing,
    ) -> Result<Option<Path>, OutOfMemory> {
        self.own_down_to(1, address, missing)
    }

    /// The same path down to `lowest` only; what is below in the result means nothing.
    #[inline]
    pub(crate) fn own_down_to(
        &mut self,
        lowest: u32,
        address: UserAddr,
        missing: Missing,
    ) -> Result<Option<Path>, OutOfMemory> {
        let mut tables = [self.root; ROOT_LEVEL as usize];
        for level in (lowest + 1..=ROOT_LEVEL).rev() {
            let parent = tables[level as usize - 1];
            match self.own_child(parent, level, address, missing)? {
                Some(child) => tables[level as usize - 2] = child,
                None => return Ok(None),
            }
        }
        Ok(Some(Path { tables }))
    }

    /// The child of the exclusively owned table `parent` at `level` towards `address`, exclusively owned as well.
    ///
    /// Inlined: each fault descends three times, and nearly always by the first return.
    #[inline(always)]
    pub(crate) fn own_child(
        &mut self,
        parent: Frame,
        level: u32,
        address: UserAddr,
        missing: Missing,
    ) -> Result<Option<Frame>, OutOfMemory> {
        let entry = table(parent).load(index(address, level));
        if entry.is_writable() && !entry.is_huge() {
            // On an exclusive path W says that the child is exclusive (I2), and only fork, which waits for the space lock,
            // could change that: no lock is taken.
            debug_assert!(self.memory.meta(entry.frame()).count.is_exclusive());
            return Ok(Some(entry.frame()));
        }
        self.make_own_child(parent, level, address, missing)
    }

    /// As [`own_child`](Self::own_child), for a child that is missing, shared, or was until now.
    fn make_own_child(
        &mut self,
        parent: Frame,
        level: u32,
        address: UserAddr,
        missing: Missing,
    ) -> Result<Option<Frame>, OutOfMemory> {
        let at = index(address, level);
        let memory = self.memory;
        let _node = memory.lock_node(parent);
        let parent_table = table(parent);
        let entry = parent_table.load(at);
        if is_empty(entry) {
            return match missing {
                Missing::Stop => Ok(None),
                Missing::Create => self.add_table(parent, level, address).map(Some),
            };
        }
        if entry.is_huge() {
            return self.split_huge(parent, address).map(Some);
        }
        debug_assert!(entry.is_present());
        let child = entry.frame();
        if memory.meta(child).count.is_exclusive() {
            // I1 holds down to here, so W may come back; nobody else needs to know (I7).
            if !entry.is_writable() {
                parent_table.set(at, EntryFlags::WRITABLE);
                self.restored += 1;
            }
            return Ok(Some(child));
        }
        let copy = self.copy_table(child, level - 1, address)?;
        let unmarked = level == 2 && self.gather.wants_unmarked();
        if unmarked {
            marks::clear(table(copy));
        }
        parent_table.store(at, table_entry(copy));
        // Others may walk the old table until the flush, and find the same there; its reference is kept until then (I4).
        if unmarked {
            self.gather.unmarked_table(spanned(address, level), child, copy);
        } else {
            // Pages are translated as before, so one page's flush will do: it takes the paging-structure caches along.
            self.gather.table(page_range(address), child, level - 1);
        }
        Ok(Some(copy))
    }

    /// Adds a table below `parent` at `level`, for `address`.
    fn add_table(
        &mut self,
        parent: Frame,
        level: u32,
        address: UserAddr,
    ) -> Result<Frame, OutOfMemory> {
        let at = index(address, level);
        let fresh = self.alloc_table(Content::Zeroed)?.into_entry();
        if level == ROOT_LEVEL {
            debug_assert!(self.used.is_some(), "a root entry comes into use unseen");
            self.used.inspect(|used| used.mark(at));
        }
        self.memory.meta(fresh).set_present(0, index(address, level - 1));
        table(parent).store(at, table_entry(fresh));
        self.memory.meta(parent).add_present(1);
        Ok(fresh)
    }

    /// A frame for a table.
    pub(super) fn alloc_table(&self, content: Content) -> Result<FrameRef, OutOfMemory> {
        self.memory.alloc_frame_for(Kind::Table, content, self.urgency)
    }

    /// A copy of the shared table `source` at `level`, with references to all of its children. It is copied because
    /// of `address`.
    fn copy_table(
        &mut self,
        source: Frame,
        level: u32,
        address: UserAddr,
    ) -> Result<Frame, OutOfMemory> {
        let memory = self.memory;
        let copy: FrameRef = memory.alloc_frame_for(Kind::Table, Content::Zeroed, self.urgency)?;
        let (from, to) = (table(source), table(copy.frame()));
        // The source is shared and we hold a reference to it, so what its record says does not change.
        let (present, near) = (memory.meta(source).present(), index(address, level));
        let (used, meta) = (Used::near(near, present), memory.metas());
        let shared = match level {
            // Only tables of level 2 have entries with a count of another sort.
            2 => share_entries(from, to, used, |entry| memory.count_of(entry)),
            _ => share_entries(from, to, used, |entry| &meta(entry.frame()).count),
        };
        shared.map_err(|Saturated| OutOfMemory)?;
        copy.meta().set_present(present, near);
        copy.meta().set_residency(memory.meta(source).residency());
        arch::trace(MachineEvent::PathCopy { level });
        let counters = memory.count();
        add(
            match level {
                1 => &counters.path_copies_level_1,
                2 => &counters.path_copies_level_2,
                _ => &counters.path_copies_level_3,
            },
            1,
        );
        Ok(copy.into_entry())
    }

    /// Adds `delta` to the resident pages of the tables on `path` from `lowest` up, and `entries` to the entries of the lowest.
    pub(crate) fn account_above(&self, lowest: u32, path: &Path, delta: Residency, entries: i32) {
        for table in &path.tables[lowest as usize - 1..] {
            self.memory.meta(*table).add_residency(delta);
        }
        self.memory.meta(path.at(lowest)).add_present(entries);
    }

    /// Adds `delta` to the resident pages of every table on `path`.
    pub(crate) fn account(&self, path: &Path, delta: Residency) {
        if delta != Residency::default() {
            path.tables.iter().for_each(|table| self.memory.meta(*table).add_residency(delta));
        }
    }
}

/// The page that holds `address`.
pub(crate) fn page_range(address: UserAddr) -> Range {
    Range::of_length(address.page_start(), 1)
        .expect("a mapped address lies in a page of user space")
}

/// What the entry for `address` of a table at `level` spans.
fn spanned(address: UserAddr, level: u32) -> Range {
    let start = address.as_u64() / span(level) * span(level);
    let end = UserAddr::try_new(start + span(level)).unwrap_or(UserAddr::END);
    UserAddr::try_new(start)
        .and_then(|start| Range::new(start, end))
        .expect("a mapped address lies below the end of user space")
}
