//! The pages of a regular file. (Stand-in until memory objects are there.)

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;
use arch::sync::{Rank, SpinLock};

use super::space::Space;
use crate::errno::{Errno, Result};

struct Content {
    size: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE_SIZE]>>,
}

/// The pages.
pub struct Pages {
    space: Arc<Space>,
    content: SpinLock<Content>,
}

impl Pages {
    /// No pages.
    pub fn new(space: Arc<Space>) -> Self {
        let content = Content { size: 0, pages: BTreeMap::new() };
        Self { space, content: SpinLock::new(Rank::PAGE_CACHE, content) }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.content.lock().size
    }

    /// How many pages there are.
    pub fn count(&self) -> u64 {
        self.content.lock().pages.len() as u64
    }

    /// Copies from one page; the caller stays within the size.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result {
        let content = self.content.lock();
        let start = (offset % PAGE_SIZE as u64) as usize;
        let count = into.len().min(PAGE_SIZE - start);
        match content.pages.get(&(offset / PAGE_SIZE as u64)) {
            Some(page) => into[..count].copy_from_slice(&page[start..start + count]),
            None => into[..count].fill(0),
        }
        Ok(count)
    }

    /// Copies into one page, made if need be, and moves the end of the file.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result {
        let mut content = self.content.lock();
        let start = (offset % PAGE_SIZE as u64) as usize;
        let count = from.len().min(PAGE_SIZE - start);
        let index = offset / PAGE_SIZE as u64;
        if !content.pages.contains_key(&index) {
            self.space.take_blocks(1)?;
            content.pages.insert(index, Box::new([0; PAGE_SIZE]));
        }
        let page = content.pages.get_mut(&index).ok_or(Errno::EIO)?;
        page[start..start + count].copy_from_slice(&from[..count]);
        content.size = content.size.max(offset + count as u64);
        Ok(count)
    }

    /// Sets the size.
    pub fn resize(&self, size: u64) -> Result<()> {
        let mut content = self.content.lock();
        let old = core::mem::replace(&mut content.size, size);
        if size < old {
            let gone = content.pages.split_off(&size.div_ceil(PAGE_SIZE as u64));
            self.space.return_blocks(gone.len() as u64);
            let tail = (size % PAGE_SIZE as u64) as usize;
            if let Some(page) = content.pages.get_mut(&(size / PAGE_SIZE as u64)) {
                page[tail..].fill(0);
            }
        }
        Ok(())
    }

    /// Makes a hole of `start .. end`.
    pub fn punch(&self, start: u64, end: u64) -> Result<()> {
        let mut content = self.content.lock();
        let mut at = start;
        while at < end {
            let index = at / PAGE_SIZE as u64;
            let from = (at % PAGE_SIZE as u64) as usize;
            let to = (end - index * PAGE_SIZE as u64).min(PAGE_SIZE as u64) as usize;
            if from == 0 && to == PAGE_SIZE {
                if content.pages.remove(&index).is_some() {
                    self.space.return_blocks(1);
                }
            } else if let Some(page) = content.pages.get_mut(&index) {
                page[from..to].fill(0);
            }
            at = (index + 1) * PAGE_SIZE as u64;
        }
        Ok(())
    }

    /// Makes the pages of `start .. end`.
    pub fn reserve(&self, start: u64, end: u64) -> Result<()> {
        let mut content = self.content.lock();
        for index in start / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64) {
            if !content.pages.contains_key(&index) {
                self.space.take_blocks(1)?;
                content.pages.insert(index, Box::new([0; PAGE_SIZE]));
            }
        }
        Ok(())
    }

    /// The first page at or after `index`.
    pub fn next_page(&self, index: u64) -> Option<u64> {
        self.content.lock().pages.range(index..).next().map(|(index, _)| *index)
    }

    /// The first hole at or after `index`.
    pub fn next_hole(&self, index: u64) -> u64 {
        let content = self.content.lock();
        let mut at = index;
        while content.pages.contains_key(&at) {
            at += 1;
        }
        at
    }

    /// Whether a shared mapping can write.
    pub fn is_mapped_for_writing(&self) -> bool {
        false
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.space.return_blocks(self.count());
    }
}
