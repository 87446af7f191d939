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
    /// Some of its pages exist nowhere else.
    pub has_anonymous_pages: bool,
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

/// How much of `area` is stored under `filter`.
#[must_use]
pub fn extent(area: Area, filter: Filter) -> Extent {
    if area.is_excluded {
        return Extent::None;
    }
    let whole = match (area.is_shared, area.has_file) {
        (true, true) => filter.contains(Filter::FILE_SHARED),
        (true, false) => filter.contains(Filter::ANONYMOUS_SHARED),
        (false, has_file) => {
            area.has_anonymous_pages && filter.contains(Filter::ANONYMOUS_PRIVATE)
                || has_file && filter.contains(Filter::FILE_PRIVATE)
        }
    };
    if whole {
        Extent::Whole
    } else if !area.is_shared && area.is_elf_start && filter.contains(Filter::ELF_HEADERS) {
        Extent::FirstPage
    } else {
        Extent::None
    }
}

/// The segments of a core file: every area of `space`.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn of_space(space: &AddressSpace, filter: Filter) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in space.maps() {
        let vma = &entry.vma;
        let stored = match extent(area(space, vma), filter) {
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
        has_anonymous_pages: has_anonymous_pages(space, vma),
        is_excluded: vma.flags.contains(VmaFlags::NO_DUMP),
        is_elf_start: maps_start && readable && starts_with_magic(space, vma.start()),
    }
}

fn starts_with_magic(space: &AddressSpace, start: UserAddr) -> bool {
    let mut magic = [0; 4];
    space.read_remote(start, &mut magic) == Ok(magic.len()) && magic == *b"\x7fELF"
}

fn has_anonymous_pages(space: &AddressSpace, vma: &Vma) -> bool {
    pages(space, vma.start(), vma.range.bytes())
        .any(|(_, content)| content == PageContent::Anonymous)
}

/// The pages of `bytes` bytes from `start` on, and what stands behind each.
pub(super) fn pages(
    space: &AddressSpace,
    start: UserAddr,
    bytes: u64,
) -> impl Iterator<Item = (UserAddr, PageContent)> {
    /// How many pages are looked at with the space locked.
    const BATCH: u64 = 512;
    let page = PAGE_SIZE as u64;
    let count = bytes / page;
    let mut contents = [PageContent::Absent; BATCH as usize];
    (0..count).filter_map(move |index| {
        let address = start.checked_add(index * page)?;
        if index % BATCH == 0 {
            let wanted = (count - index).min(BATCH) as usize;
            // The range is an area's; should it have become none, its pages count as absent.
            if space.page_contents(address, &mut contents[..wanted]).is_err() {
                contents.fill(PageContent::Absent);
            }
        }
        Some((address, contents[(index % BATCH) as usize]))
    })
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

    const AREA: Area = Area {
        is_shared: false,
        has_file: false,
        has_anonymous_pages: false,
        is_excluded: false,
        is_elf_start: false,
    };
    const DEFAULT: Filter = Filter::from_bits_retain(0x33);

    #[test]
    fn the_default_filter_keeps_what_is_nowhere_else() {
        let of = |area| extent(area, DEFAULT);
        assert_eq!(of(Area { has_anonymous_pages: true, ..AREA }), Extent::Whole);
        assert_eq!(of(AREA), Extent::None, "never touched");
        assert_eq!(of(Area { is_shared: true, ..AREA }), Extent::Whole);
        let file = Area { has_file: true, ..AREA };
        assert_eq!(of(file), Extent::None);
        assert_eq!(of(Area { is_elf_start: true, ..file }), Extent::FirstPage);
        assert_eq!(of(Area { has_anonymous_pages: true, ..file }), Extent::Whole);
        assert_eq!(of(Area { is_shared: true, ..file }), Extent::None);
    }

    #[test]
    fn each_bit_adds_its_kind_and_dontdump_takes_all_away() {
        let file = Area { has_file: true, ..AREA };
        assert_eq!(extent(file, Filter::FILE_PRIVATE), Extent::Whole);
        let shared = Area { is_shared: true, ..file };
        assert_eq!(extent(shared, Filter::FILE_SHARED), Extent::Whole);
        let excluded = Area { is_excluded: true, has_anonymous_pages: true, ..AREA };
        assert_eq!(extent(excluded, Filter::all()), Extent::None);
    }
}
