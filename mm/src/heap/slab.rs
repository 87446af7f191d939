//! Slabs: frames cut into objects of one size.
//!
//! A slab's state is in its frame's record: word 0 holds the index of the first free object (low half; objects are linked
//! through themselves) and the number of objects in use (high half), the links chain the slabs that have free objects.
//! The class's lock guards all of it. A slab whose objects are all free goes back to memory, but for one.

use arch::addr::{Frame, PAGE_SIZE};
use arch::sync::atomic::Ordering;

use super::{POISON, slab_frame};
use crate::memory::{FrameMeta, Kind, Memory, NIL, Urgency};
use crate::raw;

/// "No free object" in the low half of word 0.
const NONE: u16 = u16::MAX;

/// The slabs of one class.
#[derive(Debug)]
pub(super) struct Slabs {
    /// Bytes per object.
    size: usize,
    /// First of the slabs with free objects, by number of the frame's record.
    partial: u32,
    /// Slabs without any object in use.
    empty: u32,
    frames: u64,
    used: u64,
}

/// Word 0 of a slab's record.
#[derive(Clone, Copy)]
struct Word {
    free: u16,
    used: u16,
}

impl Word {
    fn load(meta: &FrameMeta) -> Self {
        let bits = meta.count.word().load(Ordering::Relaxed);
        Self { free: bits as u16, used: (bits >> 16) as u16 }
    }

    fn store(self, meta: &FrameMeta) {
        let bits = u32::from(self.used) << 16 | u32::from(self.free);
        meta.count.word().store(bits, Ordering::Relaxed);
    }
}

impl Slabs {
    pub(super) const fn new(size: usize) -> Self {
        Self { size, partial: NIL, empty: 0, frames: 0, used: 0 }
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Objects that are handed out or in magazines.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// One object, from a slab that has one or from a new slab.
    pub(super) fn take(&mut self, memory: &Memory) -> Option<usize> {
        if self.partial == NIL {
            self.grow(memory)?;
        }
        let frame = memory.frame(self.partial);
        let meta = memory.meta(frame);
        let mut word = Word::load(meta);
        let object = raw::address(frame) + usize::from(word.free) * self.size;
        self.empty -= u32::from(word.used == 0);
        word.free = raw::load_link(object) as u16;
        word.used += 1;
        word.store(meta);
        if word.free == NONE {
            self.unlink(memory, frame);
        }
        self.used += 1;
        Some(object)
    }

    /// Takes back one object.
    pub(super) fn give(&mut self, memory: &Memory, object: usize) {
        let frame = slab_frame(memory, object);
        let meta = memory.meta(frame);
        let mut word = Word::load(meta);
        if word.free == NONE {
            self.link(memory, frame);
        }
        raw::store_link(object, usize::from(word.free));
        word.free = ((object - raw::address(frame)) / self.size) as u16;
        word.used -= 1;
        word.store(meta);
        self.used -= 1;
        if word.used == 0 {
            self.empty += 1;
            if self.empty > 1 {
                self.shrink(memory, frame);
            }
        }
    }

    fn grow(&mut self, memory: &Memory) -> Option<()> {
        let frame = memory.alloc_pages(0, Urgency::Kernel).ok()?;
        let objects = PAGE_SIZE / self.size;
        let base = raw::address(frame);
        if cfg!(debug_assertions) {
            raw::fill(base, PAGE_SIZE, POISON);
        }
        for index in 0..objects {
            let next = if index + 1 == objects { usize::from(NONE) } else { index + 1 };
            raw::store_link(base + index * self.size, next);
        }
        Word { free: 0, used: 0 }.store(memory.meta(frame));
        self.link(memory, frame);
        self.empty += 1;
        self.frames += 1;
        Some(())
    }

    /// Gives back the slab that is kept although no object of it is in use.
    pub(super) fn drop_empty(&mut self, memory: &Memory) {
        let mut next = self.partial;
        while next != NIL {
            let frame = memory.frame(next);
            let meta = memory.meta(frame);
            next = meta.next();
            if Word::load(meta).used == 0 {
                self.shrink(memory, frame);
            }
        }
    }

    fn shrink(&mut self, memory: &Memory, frame: Frame) {
        self.unlink(memory, frame);
        self.empty -= 1;
        self.frames -= 1;
        memory.free_frame(frame);
    }

    fn link(&mut self, memory: &Memory, frame: Frame) {
        let meta = memory.meta(frame);
        debug_assert!(meta.kind() == Kind::Kernel);
        meta.set_next(self.partial);
        meta.set_previous(NIL);
        let index = memory.index(frame);
        if self.partial != NIL {
            memory.meta(memory.frame(self.partial)).set_previous(index);
        }
        self.partial = index;
    }

    fn unlink(&mut self, memory: &Memory, frame: Frame) {
        let meta = memory.meta(frame);
        let (next, previous) = (meta.next(), meta.previous());
        if previous == NIL {
            self.partial = next;
        } else {
            memory.meta(memory.frame(previous)).set_next(next);
        }
        if next != NIL {
            memory.meta(memory.frame(next)).set_previous(previous);
        }
    }
}
