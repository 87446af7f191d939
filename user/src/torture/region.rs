//! A range of memory together with what each of its bytes should be.

use libc::{
    MADV_DONTNEED, MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MREMAP_FIXED,
    MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE,
};

use super::process::fail;
use crate::random::Random;
use crate::{ok, sys};

const PAGE: usize = 4096;
const WORDS: usize = PAGE / 8;

/// Pages of a region.
const PAGES: usize = 300;
/// Address space that a slot takes: far more than a region, so that slots share no tables but the upper ones.
const SLOT: usize = 4 << 30;
/// Where slots begin, far from where the kernel puts what it places itself.
const SLOTS: usize = 0x1000_0000_0000;
/// Where in its slot a region begins: before the end of a table, so that it lies in two tables at each of two levels.
const REGION: usize = (1 << 30) - PAGES / 2 * PAGE;
/// Where in its slot pages are moved to for a while; the same place within a table, so that whole tables can move.
const AWAY: usize = REGION + (2 << 30);

/// What a page holds: words that follow from `tag` (zeros for tag 0), and perhaps one byte on top of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    tag: u32,
    byte: Option<(u16, u8)>,
}

impl Content {
    fn word(self, index: usize) -> u64 {
        let word = match self.tag {
            0 => 0,
            tag => (u64::from(tag) << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        match self.byte {
            Some((at, byte)) if usize::from(at) / 8 == index => {
                let mut bytes = word.to_ne_bytes();
                bytes[usize::from(at) % 8] = byte;
                u64::from_ne_bytes(bytes)
            }
            _ => word,
        }
    }
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    Closed,
    ReadOnly,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    rights: Rights,
    content: Content,
}

const FRESH: Page = Page { rights: Rights::Open, content: Content { tag: 0, byte: None } };

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct Region {
    slot: usize,
    /// `None`: not mapped.
    pages: Vec<Option<Page>>,
}

/// A word of memory. Wild addresses fault, and the model does not produce any.
fn load(address: usize) -> u64 {
    // SAFETY: volatile, aligned, in memory that only a region's owner uses.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

fn store<T>(address: usize, value: T) {
    // SAFETY: as in `load`.
    unsafe { std::ptr::with_exposed_provenance_mut::<T>(address).write_volatile(value) }
}

impl Region {
    /// Fresh memory in slot number `slot`, of which the process has no other region.
    pub(super) fn new(slot: usize) -> Self {
        let region = Self { slot, pages: vec![Some(FRESH); PAGES] };
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        ok!(SYS_mmap, region.address(0), PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        region
    }

    /// Takes the memory of slot number `slot` away, whoever made it: a child does not need its siblings'.
    pub(super) fn remove(slot: usize) {
        ok!(SYS_munmap, SLOTS + slot * SLOT, SLOT);
    }

    fn address(&self, page: usize) -> usize {
        SLOTS + self.slot * SLOT + REGION + page * PAGE
    }

    /// One random operation, done to the memory and to what is expected of it.
    pub(super) fn step(&mut self, random: &mut Random) {
        let first = random.below(PAGES);
        let longest = (PAGES - first).min(if random.below(8) == 0 { PAGES } else { 40 });
        let range = first..first + 1 + random.below(longest);
        match random.below(12) {
            0..3 => self.fill(random, range),
            3..5 => self.poke(random, range),
            5 => self.protect(random, range),
            6 => self.unmap(range),
            7 => self.map(range),
            8 => self.discard(range),
            9 => self.move_away_and_back(range),
            _ => range.for_each(|page| self.check_page(page)),
        }
    }

    /// Writes whole pages.
    fn fill(&mut self, random: &mut Random, range: std::ops::Range<usize>) {
        let tag = random.bits() as u32 | 1;
        for index in range {
            let start = self.address(index);
            let Some(page) = self.pages[index].as_mut().filter(|page| page.rights == Rights::Open)
            else {
                continue;
            };
            page.content = Content { tag: tag.wrapping_add(index as u32 * 2), byte: None };
            for word in 0..WORDS {
                store(start + word * 8, page.content.word(word));
            }
        }
    }

    /// Writes one byte in each page, which is what makes a copy of the rest.
    fn poke(&mut self, random: &mut Random, range: std::ops::Range<usize>) {
        let (at, byte) = (random.below(PAGE) as u16, random.bits() as u8);
        for index in range {
            let start = self.address(index);
            let Some(page) = self.pages[index].as_mut().filter(|page| page.rights == Rights::Open)
            else {
                continue;
            };
            if let Some((known, _)) = page.content.byte.filter(|(known, _)| *known != at) {
                // The byte that was there before goes back to what the words say.
                let word = Content { byte: None, ..page.content }.word(usize::from(known) / 8);
                let old = word.to_ne_bytes()[usize::from(known) % 8];
                store(start + usize::from(known), old);
            }
            page.content.byte = Some((at, byte));
            store(start + usize::from(at), byte);
        }
    }

    fn protect(&mut self, random: &mut Random, range: std::ops::Range<usize>) {
        let (protection, rights) = match random.below(4) {
            0 => (PROT_NONE, Rights::Closed),
            1 => (PROT_READ, Rights::ReadOnly),
            _ => (PROT_READ | PROT_WRITE, Rights::Open),
        };
        let whole = self.pages[range.clone()].iter().all(Option::is_some);
        let length = range.len() * PAGE;
        let result = sys!(SYS_mprotect, self.address(range.start), length, protection);
        if result.is_ok() != whole {
            fail(&format!("mprotect of {range:?}: {result:?}"));
        }
        // Up to the first hole, as mprotect does.
        for page in self.pages[range].iter_mut().map_while(Option::as_mut) {
            page.rights = rights;
        }
    }

    fn unmap(&mut self, range: std::ops::Range<usize>) {
        ok!(SYS_munmap, self.address(range.start), range.len() * PAGE);
        self.pages[range].fill(None);
    }

    fn map(&mut self, range: std::ops::Range<usize>) {
        let (address, length) = (self.address(range.start), range.len() * PAGE);
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        ok!(SYS_mmap, address, length, PROT_READ | PROT_WRITE, flags, -1, 0);
        self.pages[range].fill(Some(FRESH));
    }

    fn discard(&mut self, range: std::ops::Range<usize>) {
        let (address, length) = (self.address(range.start), range.len() * PAGE);
        let whole = self.pages[range.clone()].iter().all(Option::is_some);
        let result = sys!(SYS_madvise, address, length, MADV_DONTNEED);
        if result.is_ok() != whole {
            fail(&format!("madvise of {range:?}: {result:?}"));
        }
        // Goes on after holes.
        for page in self.pages[range].iter_mut().flatten() {
            page.content = Content::default();
        }
    }

    /// Moves pages somewhere else, checks them there, and moves them back.
    fn move_away_and_back(&mut self, range: std::ops::Range<usize>) {
        let open = |page: &Option<Page>| page.is_some_and(|page| page.rights == Rights::Open);
        if !self.pages[range.clone()].iter().all(open) {
            return;
        }
        let home = self.address(range.start);
        let (away, length) = (home - REGION + AWAY, range.len() * PAGE);
        let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
        // Neighbours with a history of their own may be separate mappings, which do not move together.
        if sys!(SYS_mremap, home, length, length, flags, away).is_ok() {
            for (offset, page) in self.pages[range].iter().flatten().enumerate() {
                Self::check_at(away + offset * PAGE, *page, offset);
            }
            ok!(SYS_mremap, away, length, length, flags, home);
        }
    }

    /// Compares every byte that can be read.
    pub(super) fn check(&self) {
        (0..PAGES).for_each(|page| self.check_page(page));
    }

    fn check_page(&self, index: usize) {
        if let Some(page) = self.pages[index] {
            Self::check_at(self.address(index), page, index);
        }
    }

    fn check_at(address: usize, page: Page, index: usize) {
        if page.rights == Rights::Closed {
            return;
        }
        for word in 0..WORDS {
            let (found, expected) = (load(address + word * 8), page.content.word(word));
            if found != expected {
                fail(&format!(
                    "page {index} at {address:#x}, word {word}: {found:#018x} and not {expected:#018x} ({page:?})"
                ));
            }
        }
    }
}
