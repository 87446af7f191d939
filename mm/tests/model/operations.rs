//! What each operation on mappings does to a space and to its model.

use arch::addr::UserAddr;
use mm::space::{Advice, MapRequest, Remap, RemapTarget, Source};
use mm::{AddressSpace, Limits, Protection};

use super::common::PAGE;
use super::steps::{PAGES, RW, WINDOW, address, user};
use super::world::{Content, Slot, World};

/// From the pages that are watched to a place where nothing is.
const FAR_AWAY: u64 = 1 << 40;

impl World<'_> {
    /// The pages of the model from `page` on, at most to the end of the window.
    pub fn clip(page: u64, count: u64) -> u64 {
        count.min(WINDOW - page % WINDOW)
    }

    pub fn map(
        &mut self,
        process: usize,
        page: u64,
        count: u64,
        protection: Protection,
        source: Source,
        content: impl Fn(u64) -> Content,
    ) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let request = MapRequest {
            source,
            ..MapRequest::anonymous(count * PAGE, protection).fixed_at(user(page))
        };
        assert_eq!(space.map(&request, &Limits::NONE), Ok(user(page)));
        let model = self.model(process).expect("it exists");
        for index in 0..count {
            model.pages.insert(
                page + index,
                Slot { protection, content: content(index), left_out: false, wiped: false },
            );
        }
    }

    pub fn unmap(&mut self, process: usize, page: u64, count: u64) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        space.unmap(user(page), count * PAGE).expect("memory for the edges");
        let model = self.model(process).expect("it exists");
        model.pages.retain(|mapped, _| !(page..page + count).contains(mapped));
    }

    pub fn unmap_all(&mut self, process: usize) {
        let Some(space) = self.space(process) else { return };
        let end = address(PAGES - 1) + PAGE;
        space.unmap(user(0), end - address(0)).expect("memory for the edges");
        self.model(process).expect("it exists").pages.clear();
    }

    pub fn protect(&mut self, process: usize, page: u64, count: u64, protection: Protection) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let outcome = space.protect(user(page), count * PAGE, protection);
        let model = self.model(process).expect("it exists");
        for page in page..page + count {
            match model.pages.get_mut(&page) {
                Some(slot) => slot.protection = protection,
                None => {
                    assert!(outcome.is_err(), "a hole was protected");
                    return;
                }
            }
        }
        assert_eq!(outcome, Ok(()));
    }

    pub fn relocate(&mut self, process: usize, page: u64, count: u64, target: u64) {
        let count = Self::clip(page, count).min(Self::clip(target, count));
        let Some(space) = self.space(process) else { return };
        let remap = Remap {
            start: user(page),
            old_length: count * PAGE,
            new_length: count * PAGE,
            target: RemapTarget::Fixed(user(target)),
        };
        // Fails unless exactly one area covers the source; then nothing has changed.
        let whole = Self::whole_area(&space, page, count).is_some();
        let apart = page + count <= target || target + count <= page;
        let outcome = space.remap(&remap, &Limits::NONE);
        assert_eq!(outcome.is_ok(), whole && apart, "{outcome:?}");
        if outcome.is_ok() {
            let model = self.model(process).expect("it exists");
            for index in 0..count {
                let slot = model.pages.remove(&(page + index)).expect("it was mapped");
                model.pages.insert(target + index, slot);
            }
        }
    }

    pub fn discard(&mut self, process: usize, page: u64, count: u64) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        // What a private object page reads as after its copy is gone is the object's business.
        let origins: Vec<Option<u64>> = (page..page + count)
            .map(|page| {
                let area = space.find_area(user(page))?;
                area.object_at(user(page)).map(|(_, offset)| offset / PAGE)
            })
            .collect();
        let outcome = space.advise(user(page), count * PAGE, Advice::DontNeed);
        let model = self.model(process).expect("it exists");
        let mut holes = false;
        for (page, origin) in (page..page + count).zip(origins) {
            match model.pages.get_mut(&page) {
                None => holes = true,
                Some(Slot { content: Content::Shared(_), .. }) => {}
                Some(slot) => {
                    slot.content = origin.map_or(Content::Private(0), Content::Copied);
                }
            }
        }
        assert_eq!(outcome.is_err(), holes);
    }

    /// Ends at the first page that cannot be had. What pages hold does not change, but a private page of the object that is
    /// populated for writing is the process's own from then on.
    pub fn populate(&mut self, process: usize, page: u64, count: u64, advice: Advice) {
        let pages = page..page + Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let outcome = space.advise(user(page), (pages.end - page) * PAGE, advice);
        let needed = if advice == Advice::PopulateWrite { RW } else { Protection::READ };
        for page in pages {
            if !self.model(process).expect("it exists").pages.contains_key(&page) {
                return assert_eq!(outcome, Err(mm::MmError::NoMemory), "a hole was populated");
            }
            let found = self.expected(process, page);
            let Some((slot, byte)) = found.filter(|(slot, _)| slot.protection.contains(needed))
            else {
                return assert!(outcome.is_err(), "process {process} page {page} was populated");
            };
            if advice == Advice::PopulateWrite && matches!(slot.content, Content::Copied(_)) {
                let own = Slot { content: Content::Private(byte), ..slot };
                self.model(process).expect("it exists").pages.insert(page, own);
            }
        }
        assert_eq!(outcome, Ok(()));
    }

    /// The area at `page`, if it holds `count` pages from there on.
    pub fn whole_area(space: &AddressSpace, page: u64, count: u64) -> Option<mm::Vma> {
        let area = space.find_area(user(page))?;
        (area.end().as_u64() >= address(page) + count * PAGE).then(|| mm::Vma::clone(&area))
    }

    pub fn move_away(&mut self, process: usize, page: u64, count: u64) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let movable = Self::whole_area(&space, page, count).is_some();
        let bytes = count * PAGE;
        let remap = |start, target| Remap { start, old_length: bytes, new_length: bytes, target };
        let target = match user(page).checked_add(FAR_AWAY).filter(|_| page % 2 == 1) {
            Some(far) => RemapTarget::FixedLeaveOld(far),
            None => RemapTarget::LeaveOld(UserAddr::NULL),
        };
        let away = space.remap(&remap(user(page), target), &Limits::NONE);
        assert_eq!(away.is_ok(), movable, "{away:?}");
        let Ok(away) = away else { return };
        for index in 0..count {
            let Some((slot, byte)) = self.expected(process, page + index) else { continue };
            if !slot.protection.is_empty() {
                let mut found = [0];
                let place = away.checked_add(index * PAGE).expect("in range");
                assert_eq!(space.read_remote(place, &mut found), Ok(1));
                assert_eq!(found, [byte], "process {process} page {}", page + index);
            }
        }
        let home = RemapTarget::Fixed(user(page));
        assert_eq!(space.remap(&remap(away, home), &Limits::NONE), Ok(user(page)));
    }

    pub fn advise_fork(&mut self, process: usize, page: u64, count: u64, advice: Advice) {
        let count = Self::clip(page, count);
        let Some(space) = self.space(process) else { return };
        let pages = page..page + count;
        let only_anonymous = pages.clone().all(|page| {
            space.find_area(user(page)).is_none_or(|area| area.object_at(user(page)).is_none())
        });
        let outcome = space.advise(user(page), count * PAGE, advice);
        if advice == Advice::WipeOnFork && !only_anonymous {
            return assert_eq!(outcome, Err(mm::MmError::InvalidArgument));
        }
        let model = self.model(process).expect("it exists");
        let mut holes = false;
        for page in pages {
            let Some(slot) = model.pages.get_mut(&page) else {
                holes = true;
                continue;
            };
            match advice {
                Advice::DontFork => slot.left_out = true,
                Advice::DoFork => slot.left_out = false,
                Advice::WipeOnFork => slot.wiped = true,
                _ => slot.wiped = false,
            }
        }
        assert_eq!(outcome.is_err(), holes);
    }

    pub fn resize(&mut self, pages: u64) {
        let old = self.bytes.len() as u64;
        self.object.resize(pages * PAGE).expect("a valid size");
        self.bytes.resize(pages as usize, 0);
        // Private copies past the new end go, too: those pages fault with SIGBUS like the object's own.
        if pages < old {
            for (space, model) in self.spaces.iter_mut().flatten() {
                for (page, slot) in &mut model.pages {
                    let area = space.find_area(user(*page)).expect("mapped");
                    if let Some((_, offset)) = area.object_at(user(*page)) {
                        let index = offset / PAGE;
                        if index >= pages && matches!(slot.content, Content::Private(_)) {
                            slot.content = Content::Copied(index);
                        }
                    }
                }
            }
        }
    }
}
