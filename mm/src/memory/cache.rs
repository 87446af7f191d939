//! Per-CPU caches of free frames, and how they trade with the zones.
//!
//! A cache is a stack of frames linked through their records, so it costs 16 bytes per CPU and keeps the frame that was
//! freed last, whose content may still be in the processor's cache, on top.

use arch::sync::atomic::Ordering;
use arch::sync::{Irq, SpinLock};

use super::meta::{FrameMeta, Kind, NIL};
use super::{Memory, Urgency};
use crate::error::OutOfMemory;

/// Frames that move between a cache and a zone at once.
const BATCH: u32 = 32;
/// A cache gives a batch back when it holds this many.
const FULL: u32 = 3 * BATCH;

/// The lock of a cache. Uncontended unless statistics are read.
pub(crate) type CacheLock = SpinLock<Cache, Irq>;

/// Free frames of one CPU.
#[derive(Debug)]
pub(crate) struct Cache {
    top: u32,
    count: u32,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self { top: NIL, count: 0 }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn push(&mut self, metas: &[FrameMeta], index: u32) {
        let meta = &metas[index as usize];
        meta.set_kind(Kind::Cached);
        meta.set_next(self.top);
        self.top = index;
        self.count += 1;
    }

    fn pop(&mut self, metas: &[FrameMeta]) -> Option<u32> {
        let meta = metas.get(self.top as usize)?;
        let index = core::mem::replace(&mut self.top, meta.next());
        self.count -= 1;
        Some(index)
    }
}

impl Memory {
    fn cache(&self) -> &CacheLock {
        &self.caches[arch::current_cpu().index() % self.caches.len()]
    }

    /// One frame from this CPU's cache, which is filled first if it is empty.
    pub(super) fn cache_take(&self, urgency: Urgency) -> Result<u32, OutOfMemory> {
        let mut cache = self.cache().lock();
        if let Some(index) = cache.pop(self.metas) {
            return Ok(index);
        }
        let spare = self.spare(urgency);
        for _ in 0..u64::from(BATCH).min(spare) {
            match self.zone_take_any(0) {
                Some(index) => cache.push(self.metas, index),
                None => break,
            }
        }
        match cache.pop(self.metas) {
            Some(index) => Ok(index),
            None => {
                drop(cache);
                self.steal(urgency)
            }
        }
    }

    /// Puts a frame into this CPU's cache; a full cache gives a batch back.
    pub(super) fn cache_give(&self, index: u32) {
        let mut cache = self.cache().lock();
        cache.push(self.metas, index);
        if cache.count >= FULL {
            for _ in 0..BATCH {
                if let Some(index) = cache.pop(self.metas) {
                    self.zone_give(index, 0);
                }
            }
        }
    }

    /// The zones have nothing to spare: takes from other CPUs' caches, unless the reserve is at stake.
    fn steal(&self, urgency: Urgency) -> Result<u32, OutOfMemory> {
        if self.free.load(Ordering::Relaxed) < self.floor(urgency) && urgency != Urgency::Critical {
            return Err(OutOfMemory);
        }
        let stolen = self.caches.iter().find_map(|cache| cache.lock().pop(self.metas));
        stolen.ok_or(OutOfMemory)
    }

    /// Gives the frames in all caches back to the zones, so that they can join to larger blocks.
    pub fn drain_caches(&self) {
        for cache in self.caches {
            let mut cache = cache.lock();
            while let Some(index) = cache.pop(self.metas) {
                self.zone_give(index, 0);
            }
        }
    }

    /// Free frames that must remain for requests more urgent than `urgency`.
    fn floor(&self, urgency: Urgency) -> u64 {
        match urgency {
            Urgency::User => self.user_floor,
            Urgency::Kernel => self.kernel_floor,
            Urgency::Critical => 0,
        }
    }

    /// Free frames in zones above the floor of `urgency`. Approximate: others take at the same time.
    pub(super) fn spare(&self, urgency: Urgency) -> u64 {
        self.free.load(Ordering::Relaxed).saturating_sub(self.floor(urgency))
    }

    /// A block of 2^`order` frames, as urgently as `urgency` says.
    pub(super) fn zone_take(&self, order: u32, urgency: Urgency) -> Result<u32, OutOfMemory> {
        if self.spare(urgency) < 1 << order {
            return Err(OutOfMemory);
        }
        if let Some(index) = self.zone_take_any(order) {
            return Ok(index);
        }
        self.drain_caches();
        self.zone_take_any(order).ok_or(OutOfMemory)
    }

    /// A block from the zone that this CPU prefers, or else from any.
    pub(super) fn zone_take_any(&self, order: u32) -> Option<u32> {
        let count = self.zones.len();
        let preferred = arch::current_cpu().index();
        let index = (0..count).find_map(|offset| {
            self.zones[(preferred + offset) % count].lock().take(self.metas, order)
        })?;
        // Relaxed: a hint that the next batch reads.
        self.free.fetch_sub(1 << order, Ordering::Relaxed);
        Some(index)
    }

    /// Gives a block back to the zone that it lies in.
    pub(super) fn zone_give(&self, index: u32, order: u32) {
        let zone = u64::from(index) / self.zone_frames;
        self.zones[zone as usize].lock().give(self.metas, index, order);
        self.free.fetch_add(1 << order, Ordering::Relaxed);
    }
}
