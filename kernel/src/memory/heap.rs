//! The kernel's memory and heap as values, and the global allocator over them.
//!
//! [`init`] makes both from the boot loader's memory map; it runs first of all, and everything else may allocate.
#![allow(
    unsafe_code,
    reason = "is the global allocator, and takes over the memory that the loader left"
)]

use core::alloc::{GlobalAlloc, Layout};

use arch::boot::{BootInfo, MemoryKind, PhysRange};
use arch::cpu::MAX_CPUS;
use arch::events::FrameSource;
use arch::sync::atomic::{AtomicU64, Ordering};
use mm::heap::Heap;
use mm::{FreeRange, Memory, Urgency};
use spin::Once;

use crate::task::try_current;

static MEMORY: Once<&'static Memory> = Once::new();
static HEAP: Once<Heap> = Once::new();

/// Physical memory.
///
/// # Panics
/// Before [`init`].
#[must_use]
pub fn memory() -> &'static Memory {
    MEMORY.get().expect("memory is initialised first of all")
}

/// Physical memory, once it is there.
pub(crate) fn try_memory() -> Option<&'static Memory> {
    MEMORY.get().copied()
}

/// The kernel heap.
///
/// # Panics
/// Before [`init`].
#[must_use]
pub fn heap() -> &'static Heap {
    HEAP.get().expect("the heap is initialised first of all")
}

/// Takes over all usable memory of the machine.
///
/// # Safety
/// Called once, on the boot CPU, before anything allocates; `boot.memory` is true.
///
/// # Panics
/// When there is less than about 1 MiB.
pub unsafe fn init(boot: &BootInfo) {
    let usable = boot.memory.iter().filter(|region| region.kind == MemoryKind::Usable);
    // SAFETY: the map says that these are RAM and free, the machine layer maps all RAM in its window, and nobody else
    // was given them.
    let ranges = usable.map(|region| unsafe { FreeRange::new(region.start, region.bytes) });
    // How many processors there are is known only after ACPI was read, which allocates: room for all that can be.
    let memory = MEMORY.call_once(|| Memory::new(ranges, MAX_CPUS));
    HEAP.call_once(|| Heap::new(memory, MAX_CPUS));
    memory.ask_for_interruption(|| try_current().is_some_and(|thread| thread.has_fatal_signal()));
}

/// Frames that the machine layer has. Relaxed: a statistic.
static MACHINE_FRAMES: AtomicU64 = AtomicU64::new(0);

/// Frames for the machine layer's own tables and stacks.
pub static MACHINE_SOURCE: FrameSource = FrameSource {
    take: || {
        let frame = memory().alloc_pages(0, Urgency::Kernel).ok()?;
        MACHINE_FRAMES.fetch_add(1, Ordering::Relaxed);
        Some(frame)
    },
    give_back: |frame| {
        MACHINE_FRAMES.fetch_sub(1, Ordering::Relaxed);
        memory().free_pages(frame, 1);
    },
};

/// How many frames the machine layer has for kernel stacks and their tables.
#[must_use]
pub fn machine_frames() -> u64 {
    MACHINE_FRAMES.load(Ordering::Relaxed)
}

/// The bytes that the boot loader left at `range`.
///
/// # Safety
/// `range` comes from the boot loader, and nothing writes to it any more.
#[must_use]
pub unsafe fn boot_module(range: PhysRange) -> &'static [u8] {
    let start = arch::memory::window(range.start);
    // SAFETY: the window maps all RAM; by this function's contract the bytes are there and never change.
    unsafe { core::slice::from_raw_parts(start, range.bytes as usize) }
}

/// The global allocator of the kernel's binary: a thin wrapper of the [`heap`].
#[derive(Debug)]
pub struct KernelAllocator;

// SAFETY: `Heap` returns memory that fits the layout and is not handed out twice, or null; it never unwinds.
unsafe impl GlobalAlloc for KernelAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        heap().allocate(layout)
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        heap().free(object, layout);
    }
}
