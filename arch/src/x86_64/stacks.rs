//! Kernel stacks: 32 KiB each, with an unmapped guard page below, in an area of their own.
//!
//! Stacks are cached for reuse and never unmapped, so a freed stack needs no TLB shootdown. The first word of
//! a cached stack links to the next. The boot processor's first stacks are statics, because they are needed
//! before there is memory to map.

use arrayvec::ArrayVec;

use crate::context::StackUsage;
use crate::error::OutOfMemory;
use crate::sync::{Irq, Rank, SpinLock};

use super::memory;

const PAGE: usize = crate::addr::PAGE_SIZE;
const STACK_PAGES: usize = 8;
/// A guard page and the stack above it.
const SLOT_BYTES: usize = (1 + STACK_PAGES) * PAGE;
/// The most stacks there can be: the area is half a terabyte.
const SLOTS: usize = (1 << 39) / SLOT_BYTES;

/// Size of an interrupt-table stack of the boot processor; the others use whole kernel stacks.
pub(super) const IST_BYTES: usize = KernelStack::SIZE;

/// Slots whose mapping failed half-way that are remembered; as many calls would have to fail at once to lose one.
const UNFINISHED: usize = 64;

/// The cache of free stacks and the slots never used so far.
struct Cache {
    /// Bottom of the first free stack, or zero.
    free: usize,
    /// Slots that are mapped in part, because memory ran out: the next call goes on there.
    unfinished: ArrayVec<usize, UNFINISHED>,
    /// The first slot that was never given out.
    next_slot: usize,
    /// Stacks that are mapped, and how many of them are free.
    usage: StackUsage,
}

static CACHE: SpinLock<Cache, Irq> = SpinLock::new(
    Rank::LEAF,
    Cache {
        free: 0,
        unfinished: ArrayVec::new_const(),
        next_slot: 0,
        usage: StackUsage { mapped: 0, cached: 0 },
    },
);

/// A mapped kernel stack, owned. Dropping it makes it available to the next.
#[derive(Debug)]
pub struct KernelStack {
    bottom: usize,
}

impl KernelStack {
    /// Size in bytes, without the guard page.
    pub const SIZE: usize = STACK_PAGES * PAGE;

    /// A stack, from the cache or newly mapped.
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none cached and no frame to map one.
    pub fn new() -> Result<Self, OutOfMemory> {
        if let Some(stack) = Self::cached() {
            return Ok(stack);
        }
        let slot = Self::unmapped_slot()?;
        let bottom = memory::STACKS as usize + slot * SLOT_BYTES + PAGE;
        if let Err(OutOfMemory) = memory::map_data(bottom as u64, STACK_PAGES) {
            // A slot that does not fit the list is lost: some addresses, and fewer frames than a stack has.
            let _ = CACHE.lock().unfinished.try_push(slot);
            return Err(OutOfMemory);
        }
        CACHE.lock().usage.mapped += 1;
        Ok(Self { bottom })
    }

    /// How many there are. They are never unmapped, so there are as many as were in use at one time.
    #[must_use]
    pub fn usage() -> StackUsage {
        CACHE.lock().usage
    }

    /// A slot that is not mapped, or not all of it.
    fn unmapped_slot() -> Result<usize, OutOfMemory> {
        let mut cache = CACHE.lock();
        if let Some(slot) = cache.unfinished.pop() {
            return Ok(slot);
        }
        let slot = cache.next_slot;
        if slot == SLOTS {
            return Err(OutOfMemory);
        }
        cache.next_slot += 1;
        Ok(slot)
    }

    fn cached() -> Option<Self> {
        let mut cache = CACHE.lock();
        let bottom = cache.free;
        if bottom == 0 {
            return None;
        }
        // SAFETY: a cached stack is mapped and used by nobody; its first word is the link.
        cache.free = unsafe { (bottom as *const usize).read() };
        cache.usage.cached -= 1;
        Some(Self { bottom })
    }

    /// Its lowest usable address.
    #[must_use]
    pub fn bottom(&self) -> usize {
        self.bottom
    }

    /// The address just past it: where a stack pointer starts.
    #[must_use]
    pub fn top(&self) -> usize {
        self.bottom + Self::SIZE
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let mut cache = CACHE.lock();
        // SAFETY: the stack is mapped and, being dropped, used by nobody.
        unsafe { (self.bottom as *mut usize).write(cache.free) };
        cache.free = self.bottom;
        cache.usage.cached += 1;
    }
}

/// A stack in the kernel's image, with room for a guard page that boot leaves unmapped.
#[repr(C, align(4096))]
pub(super) struct GuardedStack<const BYTES: usize> {
    guard: [u8; PAGE],
    stack: core::cell::UnsafeCell<[u8; BYTES]>,
}

// SAFETY: only its address is ever shared; the processor that runs on it is its sole user.
unsafe impl<const BYTES: usize> Sync for GuardedStack<BYTES> {}

impl<const BYTES: usize> GuardedStack<BYTES> {
    pub const fn new() -> Self {
        Self { guard: [0; PAGE], stack: core::cell::UnsafeCell::new([0; BYTES]) }
    }

    /// The page that must not be mapped.
    pub fn guard(&self) -> usize {
        &raw const self.guard as usize
    }

    /// The lowest usable address.
    pub fn bottom(&self) -> usize {
        self.stack.get() as usize
    }

    /// The address just past the stack.
    pub fn top(&self) -> usize {
        self.bottom() + BYTES
    }
}

/// Size of the stack that `kernel_main` starts on.
pub(super) const BOOT_STACK_BYTES: usize = 64 * 1024;

/// The stack that `kernel_main` starts on.
#[unsafe(no_mangle)]
pub(super) static SKEIN_BOOT_STACK: GuardedStack<BOOT_STACK_BYTES> = GuardedStack::new();
/// The boot processor's interrupt-table stacks.
pub(super) static BOOT_IST: [GuardedStack<IST_BYTES>; 3] = [const { GuardedStack::new() }; 3];

/// The guard pages inside the kernel's image.
pub(super) fn boot_guards() -> [usize; 4] {
    let [a, b, c] = &BOOT_IST;
    [SKEIN_BOOT_STACK.guard(), a.guard(), b.guard(), c.guard()]
}

/// The bounds of the running CPU's interrupt-table stacks.
pub(super) fn ist_bounds() -> [(usize, usize); 3] {
    // SAFETY: the running CPU's area; the bounds are atomics and do not change.
    let area = unsafe { &*super::percpu::area() };
    core::array::from_fn(|slot| {
        let bottom = area.ist_bottoms[slot].load(core::sync::atomic::Ordering::Relaxed);
        (bottom, bottom + IST_BYTES)
    })
}
