//! Simulated physical memory.
//!
//! [`SimulatedMemory`] is a block of the host's memory that plays a contiguous range of physical addresses.
//! Each block has a slot of physical address space of its own, so several tests have memory side by side.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::addr::{Frame, PAGE_SIZE, PhysAddr};
use crate::events::FrameSource;
use crate::paging::{Entry, EntryFlags, TABLE_ENTRIES, USER_ROOT_ENTRIES};

/// Each slot spans 64 GiB of physical addresses.
const SLOT_SHIFT: u32 = 36;
/// Slots for blocks. Slot 0 stays empty: physical address 0 is nobody's.
const SLOTS: usize = 1024;

static BLOCKS: [AtomicPtr<u8>; SLOTS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; SLOTS];

/// A block of simulated physical memory; its addresses are invalid once it is dropped.
#[derive(Debug)]
pub struct SimulatedMemory {
    slot: usize,
    bytes: usize,
}

impl SimulatedMemory {
    /// A block of `bytes` bytes, all zero.
    ///
    /// # Panics
    /// When the host has no memory, no slot is free, or `bytes` does not fit a slot.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        assert!(bytes > 0 && bytes as u64 <= 1 << SLOT_SHIFT, "simulated memory of {bytes} bytes");
        // SAFETY: the layout has a size above zero.
        let block = unsafe { alloc_zeroed(layout(bytes)) };
        assert!(!block.is_null(), "the host has no memory for the simulation");
        let free = |slot: &usize| {
            let null = core::ptr::null_mut();
            BLOCKS[*slot].compare_exchange(null, block, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let slot = (1..SLOTS).find(free).expect("too many blocks of simulated memory");
        Self { slot, bytes }
    }

    /// The block's first physical address.
    #[must_use]
    pub fn start(&self) -> PhysAddr {
        PhysAddr::new((self.slot as u64) << SLOT_SHIFT)
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for SimulatedMemory {
    fn drop(&mut self) {
        let block = BLOCKS[self.slot].swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `block` came from `alloc_zeroed` with this layout, and no slot points at it any more.
        unsafe { dealloc(block, layout(self.bytes)) };
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, PAGE_SIZE).expect("a size that fits a slot has a layout")
}

/// Where the byte at `address` can be reached.
///
/// # Panics
/// When no simulated memory has that address.
#[must_use]
pub fn window(address: PhysAddr) -> *mut u8 {
    let block = BLOCKS[(address.as_u64() >> SLOT_SHIFT) as usize].load(Ordering::Acquire);
    assert!(!block.is_null(), "{address:?} is no simulated memory");
    block.wrapping_add((address.as_u64() & ((1 << SLOT_SHIFT) - 1)) as usize)
}

/// The kernel's own root table. The simulation has no kernel half: frame 0 stands for a root that maps nothing.
#[must_use]
pub fn kernel_root() -> Frame {
    Frame::new(0)
}

/// Gives the machine layer frames. The simulation needs none: it has no kernel tables and no kernel stacks.
pub fn set_frame_source(_source: &'static FrameSource) {}

/// An entry of the kernel's half of a root. It leads nowhere, so whoever follows or counts it is found out.
fn kernel_entry() -> Entry {
    Entry::new(Frame::new(1 << 39), EntryFlags::PRESENT | EntryFlags::WRITABLE)
}

/// Makes `root` a root table with an empty user half.
///
/// # Safety
/// The caller owns the frame, which becomes a root table.
pub unsafe fn init_root(root: Frame) {
    for index in 0..TABLE_ENTRIES {
        let entry = if index < USER_ROOT_ENTRIES { Entry::EMPTY } else { kernel_entry() };
        super::mmu::entry(root, index).store(entry.bits(), Ordering::Relaxed);
    }
}
