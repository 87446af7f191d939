//! What the heap holds, for `/proc/slabinfo` and the tests' audits, and giving back what it only keeps.

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::Ordering;

use super::Heap;
use super::class::CLASSES;

/// One class of objects. Not one instant: other CPUs go on while this is taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClassStats {
    /// Bytes of an object.
    pub size: u64,
    /// Objects that somebody has.
    pub used: u64,
    /// Free objects in the magazines of CPUs.
    pub cached: u64,
    /// Frames that the class has as slabs.
    pub slabs: u64,
}

impl ClassStats {
    /// Objects that fit into a slab.
    #[must_use]
    pub fn objects_per_slab(&self) -> u64 {
        PAGE_SIZE as u64 / self.size
    }
}

impl Heap {
    /// What each class holds, the smallest objects first. Takes the locks of all CPUs' magazines, one after the other.
    pub fn class_stats(&self) -> impl Iterator<Item = ClassStats> {
        (0..CLASSES.len()).map(|class| {
            let cached = self.cpus.iter().map(|cpu| u64::from(cpu.lock()[class].count)).sum();
            let slabs = self.classes[class].lock();
            let used = slabs.used().saturating_sub(cached);
            ClassStats { size: CLASSES[class] as u64, used, cached, slabs: slabs.frames() }
        })
    }

    /// Frames of objects above the largest class.
    #[must_use]
    pub fn large_frames(&self) -> u64 {
        self.large_frames.load(Ordering::Relaxed)
    }

    /// Frames that the heap has in all: slabs and large objects.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.class_stats().map(|class| class.slabs).sum::<u64>() + self.large_frames()
    }

    /// Empties the magazines of all CPUs and gives back every slab without an object in use.
    pub fn shrink(&self) {
        for cpu in self.cpus {
            let mut magazines = cpu.lock();
            for (magazine, slabs) in magazines.iter_mut().zip(&self.classes) {
                let mut slabs = slabs.lock_nested();
                while let Some(object) = magazine.pop() {
                    slabs.give(self.memory, object);
                }
            }
        }
        for slabs in &self.classes {
            slabs.lock().drop_empty(self.memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use arch::memory::SimulatedMemory;

    use super::*;
    use crate::{FreeRange, Memory};

    #[test]
    fn what_is_freed_comes_back_whole() {
        let block = std::boxed::Box::leak(std::boxed::Box::new(SimulatedMemory::new(4 << 20)));
        // SAFETY: nobody else uses the block.
        #[allow(unsafe_code, reason = "gives the block to a memory manager")]
        let range = unsafe { FreeRange::new(block.start(), 4 << 20) };
        let memory = Memory::new([range], 2);
        let heap = Heap::new(memory, 2);
        let free = memory.stats().free;
        let layouts =
            [24, 100, 2000, 9000].map(|size| Layout::from_size_align(size, 8).expect("valid"));
        let objects = std::vec::Vec::from_iter((0..400).map(|number| {
            let layout = layouts[number % layouts.len()];
            (heap.allocate(layout), layout)
        }));
        assert_eq!(heap.class_stats().map(|class| class.used).sum::<u64>(), 300);
        assert_eq!(heap.large_frames(), 300, "three frames for each of 9000 bytes");
        objects.into_iter().for_each(|(object, layout)| heap.free(object, layout));
        assert_eq!(heap.class_stats().map(|class| class.used).sum::<u64>(), 0);
        assert!(memory.stats().free < free, "some is kept for the next");
        heap.shrink();
        assert_eq!((heap.frames(), memory.stats().free), (0, free));
    }
}
