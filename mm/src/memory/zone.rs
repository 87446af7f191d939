//! A zone: a buddy allocator over a part of physical memory.
//!
//! Free blocks of 2^order frames stand in one doubly linked list per order, linked through the records of their
//! first frames; the frames themselves are not touched. Memory has several zones, so that CPUs that refill their
//! caches at once meet on different locks.

use arch::sync::{Irq, SpinLock};

use super::meta::{FrameMeta, Kind, NIL};

/// Largest block: 2^10 frames are 4 MiB.
pub const MAX_ORDER: u32 = 10;
const ORDERS: usize = MAX_ORDER as usize + 1;

/// The lock of a zone; interrupts are off, because interrupt handlers free memory.
pub(crate) type ZoneLock = SpinLock<Zone, Irq>;

/// Free lists of one zone. Frames are numbered from the first record of [`super::Memory`].
#[derive(Debug)]
pub(crate) struct Zone {
    heads: [u32; ORDERS],
    free: u64,
}

impl Zone {
    pub(crate) const fn new() -> Self {
        Self { heads: [NIL; ORDERS], free: 0 }
    }

    /// Frames on the free lists.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Takes a block of 2^`order` frames; its records are left as [`Kind::Kernel`].
    pub(crate) fn take(&mut self, metas: &[FrameMeta], order: u32) -> Option<u32> {
        let found = (order..=MAX_ORDER).find(|order| self.heads[*order as usize] != NIL)?;
        let block = self.heads[found as usize];
        self.unlink(metas, block, found);
        for smaller in (order..found).rev() {
            self.link(metas, block + (1 << smaller), smaller);
        }
        for index in block..block + (1 << order) {
            metas[index as usize].set_kind(Kind::Kernel);
        }
        self.free -= 1 << order;
        Some(block)
    }

    /// Gives back the block of 2^`order` frames at `block`, joining it with free neighbours.
    ///
    /// A buddy outside this zone is never free in the eyes of this one: zones begin and end at multiples of the
    /// largest block.
    pub(crate) fn give(&mut self, metas: &[FrameMeta], mut block: u32, mut order: u32) {
        self.free += 1 << order;
        for index in block..block + (1 << order) {
            debug_assert!(
                !matches!(metas[index as usize].kind(), Kind::Free | Kind::FreeTail),
                "a frame freed twice"
            );
            metas[index as usize].set_kind(Kind::FreeTail);
        }
        while order < MAX_ORDER {
            let buddy = block ^ (1 << order);
            if !metas.get(buddy as usize).is_some_and(|meta| meta.is_free_block(order)) {
                break;
            }
            self.unlink(metas, buddy, order);
            metas[buddy as usize].set_kind(Kind::FreeTail);
            block = block.min(buddy);
            order += 1;
        }
        self.link(metas, block, order);
    }

    fn link(&mut self, metas: &[FrameMeta], block: u32, order: u32) {
        let meta = &metas[block as usize];
        let head = &mut self.heads[order as usize];
        meta.set_free(order);
        meta.set_next(*head);
        meta.set_previous(NIL);
        if let Some(next) = metas.get(*head as usize) {
            next.set_previous(block);
        }
        *head = block;
    }

    fn unlink(&mut self, metas: &[FrameMeta], block: u32, order: u32) {
        let meta = &metas[block as usize];
        let (next, previous) = (meta.next(), meta.previous());
        match metas.get(previous as usize) {
            Some(previous) => previous.set_next(next),
            None => self.heads[order as usize] = next,
        }
        if let Some(following) = metas.get(next as usize) {
            following.set_previous(previous);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn blocks_split_and_join_again() {
        let metas: Vec<FrameMeta> = (0..2048).map(|_| FrameMeta::absent()).collect();
        let mut zone = Zone::new();
        zone.give(&metas, 0, MAX_ORDER);
        zone.give(&metas, 1024, MAX_ORDER);
        let mut taken: Vec<(u32, u32)> =
            (0..200).map(|i| (zone.take(&metas, i % 4).expect("there is room"), i % 4)).collect();
        let mut frames: Vec<u32> =
            taken.iter().flat_map(|(block, order)| *block..*block + (1 << order)).collect();
        let count = frames.len();
        frames.sort_unstable();
        frames.dedup();
        assert_eq!(frames.len(), count, "blocks overlap");
        assert_eq!(zone.free(), 2048 - count as u64);
        taken.reverse();
        taken.iter().for_each(|(block, order)| zone.give(&metas, *block, *order));
        assert_eq!(zone.free(), 2048);
        assert!(zone.take(&metas, MAX_ORDER).is_some());
        assert!(zone.take(&metas, MAX_ORDER).is_some());
        assert!(zone.take(&metas, 0).is_none());
    }
}
