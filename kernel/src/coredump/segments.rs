//! How much of each area a core file holds, as `/proc/PID/coredump_filter` says (core(5)).
//!
//! [`extent`] is pure; [`of_space`] applies it to the areas of an address space.

use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use linux_raw_sys::elf_uapi as abi;
use mm::space::PageContent;
use mm::{AddressSpace, Backing, Protection, Vma, VmaFlags};

use super::elf::Segment;
use crate::errno::{Errno, Result};
use crate::scheduling;
use crate::task::Thread;

bitflags::bitflags! {
    /// Which kinds of memory a core file holds: the bits of `/proc/PID/coredump_filter`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Filter: u32 {
        /// Private memory that is in no file.
        const ANONYMOUS_PRIVATE = 1;
        /// Shared memory that is in no file.
        const ANONYMOUS_SHARED = 1 << 1;
        /// Files that are mapped privately.
        const FILE_PRIVATE = 1 << 2;
        /// Files that are mapped shared.
        const FILE_SHARED = 1 << 3;
        /// The first page of mapped ELF files.
        const ELF_HEADERS = 1 << 4;
    }
}

/// What decides about an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// `MAP_SHARED`
    pub is_shared: bool,
    /// It maps a file that has a name.
    pub has_file: bool,
    /// `MADV_DONTDUMP`
    pub is_excluded: bool,
    /// It is readable, maps the start of a file, and that is an ELF file.
    pub is_elf_start: bool,
}

/// How much of an area is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Nothing.
    None,
    /// Its first page.
    FirstPage,
    /// All of it.
    Whole,
}

/// How much of `area` is stored under `filter`. `has_anonymous_pages` finds out whether some of its pages exist nowhere else; it is asked where
/// that decides, for it may have far to look.
///
/// # Errors
/// Those of `has_anonymous_pages`.
pub fn extent(
    area: Area,
    filter: Filter,
    has_anonymous_pages: impl FnOnce() -> Result<bool>,
) -> Result<Extent> {
    if area.is_excluded {
        return Ok(Extent::None);
    }
    let whole = match (area.is_shared, area.has_file) {
        (true, true) => filter.contains(Filter::FILE_SHARED),
        (true, false) => filter.contains(Filter::ANONYMOUS_SHARED),
        (false, true) if filter.contains(Filter::FILE_PRIVATE) => true,
        (false, _) => filter.contains(Filter::ANONYMOUS_PRIVATE) && has_anonymous_pages()?,
    };
    Ok(if whole {
        Extent::Whole
    } else if !area.is_shared && area.is_elf_start && filter.contains(Filter::ELF_HEADERS) {
        Extent::FirstPage
    } else {
        Extent::None
    })
}

/// Lets others run, and says whether `thread`, the calling one, may go on with a dump.
///
/// # Errors
/// `EINTR` if the dump was ended.
pub(super) fn go_on(thread: &Thread) -> Result<()> {
    scheduling::preempt_if_requested();
    if thread.has_fatal_signal() { Err(Errno::EINTR) } else { Ok(()) }
}

/// The segments of a core file by `thread`, the calling one: every area of `space`.
///
/// # Errors
/// `ENOMEM`; `EINTR` if the dump was ended.
pub(super) fn of_space(
    thread: &Thread,
    space: &AddressSpace,
    filter: Filter,
) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in space.maps() {
        let vma = &entry.vma;
        let has_anonymous_pages = || has_anonymous_pages(thread, space, vma);
        let stored = match extent(area(space, vma), filter, has_anonymous_pages)? {
            Extent::None => 0,
            Extent::FirstPage => PAGE_SIZE as u64,
            Extent::Whole => vma.range.bytes(),
        };
        segments.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (start, memory) = (vma.start().as_u64(), vma.range.bytes());
        segments.push(Segment { start, memory, stored, flags: flags(vma.protection) });
    }
    Ok(segments)
}

fn area(space: &AddressSpace, vma: &Vma) -> Area {
    let maps_start = match &vma.backing {
        Backing::Anonymous => false,
        Backing::Object(range) => range.file.is_some() && range.offset == 0,
    };
    let readable = vma.protection.contains(Protection::READ);
    Area {
        is_shared: vma.is_shared(),
        has_file: matches!(&vma.backing, Backing::Object(range) if range.file.is_some()),
        is_excluded: vma.flags.contains(VmaFlags::NO_DUMP),
        is_elf_start: maps_start && readable && starts_with_magic(space, vma.start()),
    }
}

fn starts_with_magic(space: &AddressSpace, start: UserAddr) -> bool {
    let mut magic = [0; 4];
    space.read_remote(start, &mut magic) == Ok(magic.len()) && magic == *b"\x7fELF"
}

fn has_anonymous_pages(thread: &Thread, space: &AddressSpace, vma: &Vma) -> Result<bool> {
    for (_, content) in pages(space, vma.start(), vma.range.bytes(), Absent::PassedOver) {
        go_on(thread)?;
        if content == PageContent::Anonymous {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What [`pages`] does with pages that have no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absent {
    /// They are shown as well, one by one.
    Shown,
    /// They are passed over, however many there are.
    PassedOver,
}

/// How many pages are looked at with the space locked.
const BATCH: u64 = 512;

/// The pages of an area, a batch at a time.
struct Pages<'a> {
    space: &'a AddressSpace,
    absent: Absent,
    /// Where the batch begins, its pages, and the next of them.
    start: UserAddr,
    contents: [PageContent; BATCH as usize],
    length: usize,
    next: usize,
    /// The pages behind the batch.
    left: u64,
}

/// The pages of `bytes` bytes from `start` on, and what stands behind each.
pub(super) fn pages(
    space: &AddressSpace,
    start: UserAddr,
    bytes: u64,
    absent: Absent,
) -> impl Iterator<Item = (UserAddr, PageContent)> {
    let contents = [PageContent::Absent; BATCH as usize];
    let left = bytes / PAGE_SIZE as u64;
    Pages { space, absent, start, contents, length: 0, next: 0, left }
}

impl Pages<'_> {
    /// Looks at the next batch. `None` if there is none.
    fn fetch(&mut self) -> Option<()> {
        let page = PAGE_SIZE as u64;
        let mut start = self.start.checked_add(self.length as u64 * page)?;
        if self.absent == Absent::PassedOver && self.left > 0 {
            let first = self.space.first_page(start, self.left * page)?;
            self.left -= (first.as_u64() - start.as_u64()) / page;
            start = first;
        }
        let wanted = self.left.min(BATCH) as usize;
        (self.start, self.length, self.next) = (start, wanted, 0);
        self.left -= wanted as u64;
        // The range is an area's; should it have become none, its pages count as absent.
        if self.space.page_contents(start, &mut self.contents[..wanted]).is_err() {
            self.contents.fill(PageContent::Absent);
        }
        (wanted > 0).then_some(())
    }
}

impl Iterator for Pages<'_> {
    type Item = (UserAddr, PageContent);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.next == self.length {
                self.fetch()?;
            }
            let index = self.next;
            self.next += 1;
            let content = self.contents[index];
            if self.absent == Absent::Shown || content != PageContent::Absent {
                let address = self.start.checked_add(index as u64 * PAGE_SIZE as u64)?;
                return Some((address, content));
            }
        }
    }
}

fn flags(protection: Protection) -> u32 {
    let pairs = [
        (Protection::READ, abi::PF_R),
        (Protection::WRITE, abi::PF_W),
        (Protection::EXECUTE, abi::PF_X),
    ];
    let granted = pairs.iter().filter(|(permission, _)| protection.contains(*permission));
    granted.fold(0, |flags, (_, flag)| flags | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Area =
        Area { is_shared: false, has_file: false, is_excluded: false, is_elf_start: false };
    const DEFAULT: Filter = Filter::from_bits_retain(0x33);

    /// The extent of an area that has anonymous pages.
    fn touched(area: Area, filter: Filter) -> Extent {
        extent(area, filter, || Ok(true)).expect("an answer")
    }

    fn untouched(area: Area, filter: Filter) -> Extent {
        extent(area, filter, || Ok(false)).expect("an answer")
    }

    /// The extent of an area whose pages are not looked at.
    fn unseen(area: Area, filter: Filter) -> Extent {
        extent(area, filter, || panic!("looked at {area:?} under {filter:?}")).expect("an answer")
    }

    #[test]
    fn the_default_filter_keeps_what_is_nowhere_else() {
        assert_eq!(touched(AREA, DEFAULT), Extent::Whole);
        assert_eq!(untouched(AREA, DEFAULT), Extent::None, "never touched");
        assert_eq!(unseen(Area { is_shared: true, ..AREA }, DEFAULT), Extent::Whole);
        let file = Area { has_file: true, ..AREA };
        assert_eq!(untouched(file, DEFAULT), Extent::None);
        let elf = Area { is_elf_start: true, ..file };
        assert_eq!(untouched(elf, DEFAULT), Extent::FirstPage);
        assert_eq!(touched(file, DEFAULT), Extent::Whole);
        assert_eq!(unseen(Area { is_shared: true, ..file }, DEFAULT), Extent::None);
    }

    #[test]
    fn each_bit_adds_its_kind_and_dontdump_takes_all_away() {
        let file = Area { has_file: true, ..AREA };
        assert_eq!(unseen(file, Filter::FILE_PRIVATE), Extent::Whole);
        let shared = Area { is_shared: true, ..file };
        assert_eq!(unseen(shared, Filter::FILE_SHARED), Extent::Whole);
        let excluded = Area { is_excluded: true, ..AREA };
        assert_eq!(unseen(excluded, Filter::all()), Extent::None);
    }

    #[test]
    fn pages_are_looked_at_only_where_they_decide() {
        assert_eq!(unseen(AREA, Filter::ANONYMOUS_SHARED), Extent::None);
        assert_eq!(extent(AREA, DEFAULT, || Err(Errno::EINTR)), Err(Errno::EINTR));
    }
}
