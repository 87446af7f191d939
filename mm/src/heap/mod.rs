//! The kernel heap: size classes over frames, with per-CPU magazines.
//!
//! A request up to [`LARGEST_CLASS`] bytes is rounded up to a class (powers of two and their midpoints) and served
//! from a stack of free objects of the current CPU; stacks trade batches with the class's slabs, one frame each. Larger
//! requests are contiguous frames straight from [`Memory`].
//!
//! [`Heap`] needs nothing but frames, so it works from the moment that [`Memory`] exists. The kernel wraps it as its
//! global allocator: [`Heap::allocate`] and [`Heap::free`] fit `GlobalAlloc` one to one. Slabs are single frames, so small
//! allocations do not fail from fragmentation; they draw on the reserve that [`Memory::credit`] guards.
//!
//! Builds with debug assertions fill freed objects with [`POISON`] and look whether it is still there on reuse.
//!
//! Locks: a CPU's magazines, inside it a class (`HEAP`, nested), inside it frames. Interrupts are off: interrupt
//! handlers may free.

mod class;
mod slab;
mod stats;

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use arch::addr::{Frame, PAGE_SIZE};
use arch::sync::atomic::{AtomicU64, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use crossbeam_utils::CachePadded;

use crate::memory::{Memory, Urgency};
use crate::raw;
use class::{CLASSES, class_of};
use slab::Slabs;

pub use class::LARGEST_CLASS;
pub use stats::ClassStats;

/// What freed objects are filled with, in builds with debug assertions.
pub const POISON: u8 = 0xa5;

/// Objects that move between a magazine and the slabs at once.
const BATCH: u32 = 16;
/// A magazine gives a batch back when it holds this many.
const FULL: u32 = 3 * BATCH;

/// Free objects of one class on one CPU: a stack, linked through the objects.
#[derive(Clone, Copy, Default, Debug)]
struct Magazine {
    top: usize,
    count: u32,
}

impl Magazine {
    fn push(&mut self, object: usize) {
        raw::store_link(object, self.top);
        self.top = object;
        self.count += 1;
    }

    fn pop(&mut self) -> Option<usize> {
        if self.top == 0 {
            return None;
        }
        let object = self.top;
        self.top = raw::load_link(object);
        self.count -= 1;
        Some(object)
    }
}

type Magazines = SpinLock<[Magazine; CLASSES.len()], Irq>;

/// The allocator. Lives in memory of its own; see [`Heap::new`].
#[derive(Debug)]
pub struct Heap {
    memory: &'static Memory,
    cpus: &'static [CachePadded<Magazines>],
    classes: [CachePadded<SpinLock<Slabs, Irq>>; CLASSES.len()],
    /// Frames of requests above the classes. Relaxed: a statistic.
    large_frames: AtomicU64,
}

impl Heap {
    /// A heap over `memory` for up to `cpus` CPUs.
    ///
    /// # Panics
    /// When memory cannot even hold the per-CPU stacks.
    #[must_use]
    pub fn new(memory: &'static Memory, cpus: usize) -> Self {
        let frames = raw::frames_for::<CachePadded<Magazines>>(cpus);
        let order = frames.next_power_of_two().trailing_zeros();
        let home =
            memory.alloc_pages(order, Urgency::Kernel).expect("memory for the heap's stacks");
        let cpus = raw::carve(raw::FreeRange::taken(home, 1 << order), cpus, |_| {
            CachePadded::new(SpinLock::new(Rank::HEAP, [Magazine::default(); CLASSES.len()]))
        });
        let classes = core::array::from_fn(|class| {
            CachePadded::new(SpinLock::new(Rank::HEAP, Slabs::new(CLASSES[class])))
        });
        Self { memory, cpus, classes, large_frames: AtomicU64::new(0) }
    }

    /// Memory for a value of `layout`, or null. Content is undefined.
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> *mut u8 {
        let found = match class_of(layout) {
            Some(class) => self.allocate_small(class),
            None => self.allocate_large(layout),
        };
        found.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    /// Takes back what [`allocate`](Self::allocate) returned for the same `layout`.
    pub fn free(&self, object: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some(class) => self.free_small(class, object.expose_provenance()),
            None => {
                let start = self.memory.frame_at_window(object.expose_provenance());
                self.memory.free_pages(start, pages(layout));
                self.large_frames.fetch_sub(pages(layout), Ordering::Relaxed);
            }
        }
    }

    fn magazines(&self) -> &Magazines {
        self.cpus.get(arch::current_cpu().index()).unwrap_or(&self.cpus[0])
    }

    fn allocate_small(&self, class: usize) -> Option<NonNull<u8>> {
        let mut magazines = self.magazines().lock();
        let magazine = &mut magazines[class];
        if magazine.count == 0 {
            let mut slabs = self.classes[class].lock_nested();
            for _ in 0..BATCH {
                match slabs.take(self.memory) {
                    Some(object) => magazine.push(object),
                    None => break,
                }
            }
        }
        let object = magazine.pop()?;
        drop(magazines);
        if cfg!(debug_assertions) {
            let rest = CLASSES[class] - size_of::<usize>();
            let intact = raw::is_filled(object + size_of::<usize>(), rest, POISON);
            assert!(intact, "heap object {object:#x} was written after it was freed");
        }
        NonNull::new(ptr::with_exposed_provenance_mut(object))
    }

    fn free_small(&self, class: usize, object: usize) {
        if cfg!(debug_assertions) {
            raw::fill(object, CLASSES[class], POISON);
        }
        let mut magazines = self.magazines().lock();
        let magazine = &mut magazines[class];
        magazine.push(object);
        if magazine.count >= FULL {
            let mut slabs = self.classes[class].lock_nested();
            for _ in 0..BATCH {
                if let Some(object) = magazine.pop() {
                    slabs.give(self.memory, object);
                }
            }
        }
    }

    /// Whole frames: a block large enough, whose unused end goes back at once.
    fn allocate_large(&self, layout: Layout) -> Option<NonNull<u8>> {
        let wanted = pages(layout);
        let order = wanted.next_power_of_two().trailing_zeros();
        // A block is aligned to its size; a larger alignment needs a larger block.
        let order = order.max((layout.align() / PAGE_SIZE).max(1).trailing_zeros());
        let first = self.memory.alloc_pages(order, Urgency::Kernel).ok()?;
        self.memory.free_pages(first.offset(wanted), (1 << order) - wanted);
        self.large_frames.fetch_add(wanted, Ordering::Relaxed);
        NonNull::new(arch::memory::window(first.start()))
    }
}

fn pages(layout: Layout) -> u64 {
    layout.size().div_ceil(PAGE_SIZE).max(1) as u64
}

/// The frame that holds a heap object.
fn slab_frame(memory: &Memory, object: usize) -> Frame {
    let frame = memory.frame_at_window(object);
    debug_assert!(memory.meta(frame).kind() == crate::memory::Kind::Kernel);
    frame
}
