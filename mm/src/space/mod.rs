//! Address spaces, and the operations on them: one per file.
//!
//! An [`AddressSpace`] is two things under one lock: the map of areas, which is the truth, and the tree of page
//! tables, which follows it. Faults hold the lock shared and run in parallel; every other change holds it exclusively.
//!
//! What callers must know of each operation: all take the lock `SPACE`, so no spin lock of that rank or above may be held,
//! and user memory must not be touched while one is. Those that make translations invalid wait for other CPUs to flush:
//! *interrupts must be on*. None sleeps. Memory that becomes free is freed after the lock is released, with preemption on.
//! Small allocations (areas) are covered by the caller's [`Credit`](crate::memory::Credit); frames may run out, and then the
//! operation has done nothing unless its documentation says otherwise.

mod activate;
mod advise;
mod alter;
mod barrier;
mod breakdown;
mod brk;
mod dump;
mod extent;
mod fault;
mod fault_huge;
mod fork;
mod layout;
mod lock;
mod map;
mod maps;
mod populate;
mod protect;
mod remap;
mod remote;
mod resident;
mod sync;
mod teardown;
mod unmap;
mod usage;

use alloc::sync::Arc;

use arch::addr::{Frame, UserAddr};
use arch::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use arch::sync::{Rank, RwSpinLock, WriteGuard};
use arch::tlb;

pub use advise::Advice;
pub use breakdown::Breakdown;
pub use dump::PageContent;
pub use extent::Extent;
pub use fault::Resolved;
pub use layout::{Entropy, Layout};
pub use lock::{LockMode, LockScope};
pub use map::{MapOptions, MapRequest, Placement, Source};
pub use maps::MapsEntry;
pub use remap::{Remap, RemapTarget};
pub use sync::SyncMode;
pub(crate) use unmap::Copies;
pub use usage::Usage;

use crate::error::MmError;
use crate::memory::{Content, Identity, Kind, Memory};
use crate::object::Family;
use crate::table::gather::Gather;
use crate::vma::tree::Tree;
use crate::vma::{Range, VmaFlags, page_align_up};
use usage::Totals;

/// Lowest address that may be mapped, so that a null pointer with an offset faults (`vm.mmap_min_addr`).
pub const MIN_ADDRESS: u64 = 65_536;

/// Bytes kept clear below a stack, so that it does not run into its neighbour unnoticed (`stack_guard_gap`).
pub const STACK_GUARD_GAP: u64 = 256 * 4096;

/// Resource limits of the caller that bear on memory, in bytes; `u64::MAX` is `RLIM_INFINITY`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `RLIMIT_AS`
    pub address_space: u64,
    /// `RLIMIT_DATA`
    pub data: u64,
    /// `RLIMIT_STACK`
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`; `u64::MAX` for a caller with `CAP_IPC_LOCK`.
    pub locked: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self =
        Self { address_space: u64::MAX, data: u64::MAX, stack: u64::MAX, locked: u64::MAX };

    /// For faults on behalf of somebody who has no stack here: none grows, and a hole below one is a hole.
    pub(crate) const NO_GROWTH: Self = Self { stack: 0, ..Self::NONE };
}

/// What the space lock guards. The tables below the root are guarded by it as well.
#[derive(Clone, Debug)]
struct State {
    areas: Tree,
    totals: Totals,
    layout: Layout,
    /// Start and current end of the heap.
    heap: (UserAddr, UserAddr),
    /// `mlockall(MCL_FUTURE)`: flags for new areas.
    future_lock: VmaFlags,
}

/// The user half of a virtual address space. Always in an [`Arc`].
///
/// Dropping the last reference takes the space down: hold no spin lock then, with interrupts on.
#[derive(Debug)]
pub struct AddressSpace {
    memory: &'static Memory,
    identity: Identity,
    tlb: tlb::Context,
    /// The root table. Its entries 256 to 511 are the kernel's, the same in every space, and not counted (I16).
    root: Frame,
    /// Which user entries of the root may be in use, so that fork need not look at all.
    used: RootUse,
    family: Arc<Family>,
    /// Place in the family; `u64::MAX` before joining.
    place: AtomicU64,
    /// See [`registrations`](Self::registrations).
    registrations: AtomicU32,
    /// See [`generation`](Self::generation).
    generation: AtomicU64,
    state: RwSpinLock<State>,
}

/// A bit per user entry of the root. Bits are set before the entry is, and cleared never: a hint.
#[derive(Default, Debug)]
pub(crate) struct RootUse([AtomicU64; 4]);

impl RootUse {
    /// The entry at `index` will be used.
    pub(crate) fn mark(&self, index: usize) {
        let bit = 1 << (index % 64);
        // Relaxed: read under the exclusive space lock, which orders it.
        if self.0[index / 64].load(Ordering::Relaxed) & bit == 0 {
            self.0[index / 64].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Indices that may be in use.
    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = bits.load(Ordering::Relaxed);
            core::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

impl AddressSpace {
    /// An empty space, the first of a new family: for `exec` and for the first process.
    ///
    /// # Errors
    /// [`MmError::NoMemory`] when there is no frame for the root table.
    pub fn new(memory: &'static Memory, layout: Layout) -> Result<Arc<Self>, MmError> {
        let heap = (layout.heap_start, layout.heap_start);
        let state = State {
            areas: Tree::default(),
            totals: Totals::default(),
            layout,
            heap,
            future_lock: VmaFlags::empty(),
        };
        let space = Self::with_state(memory, Family::new(), state)?;
        Ok(space.join_family())
    }

    fn with_state(
        memory: &'static Memory,
        family: Arc<Family>,
        state: State,
    ) -> Result<Self, MmError> {
        let root = memory.alloc_frame(Kind::Table, Content::Undefined)?;
        crate::raw::init_root(root.frame());
        Ok(Self {
            memory,
            identity: memory.new_identity(),
            tlb: tlb::Context::new(),
            root: root.into_entry(),
            used: RootUse::default(),
            family,
            place: AtomicU64::new(u64::MAX),
            registrations: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            state: RwSpinLock::new(Rank::SPACE, state),
        })
    }

    fn join_family(self) -> Arc<Self> {
        let space = Arc::new(self);
        let place = space.family.join(&space);
        space.place.store(place, Ordering::Relaxed);
        space
    }

    /// The memory that this space draws on.
    #[must_use]
    pub fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// The layout that was chosen for this space.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.state.read().layout
    }

    /// Changes the layout; `exec` does while it builds the space.
    pub fn set_layout(&self, layout: Layout) {
        let mut state = self.lock();
        state.layout = layout;
        state.heap = (layout.heap_start, layout.heap_start);
    }

    /// The root table, for audits.
    pub(crate) fn root_table(&self) -> Frame {
        self.root
    }

    fn gather(&self) -> Gather<'_> {
        Gather::new(self.memory, &self.tlb)
    }

    /// The areas as of now. Costs nothing, and walking through them keeps nobody waiting.
    fn areas(&self) -> Tree {
        self.state.read().areas.clone()
    }

    /// Exclusive access, for changes.
    fn lock(&self) -> WriteGuard<'_, State> {
        let state = self.state.write();
        // Relaxed, and not added in one step: only who has the lock writes it.
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation.store(generation + 1, Ordering::Relaxed);
        state
    }
}

/// Whole pages of `length` bytes from a page-aligned `start` on, as most calls want them.
fn range_argument(start: UserAddr, length: u64) -> Result<Range, MmError> {
    if !start.is_page_aligned() || length == 0 {
        return Err(MmError::InvalidArgument);
    }
    Range::of_length(start, length).ok_or(MmError::NoMemory)
}

/// Whether `length` bytes from `start` on, rounded up to pages, run past the last number: never right, whereas a range that
/// only leaves user space has a hole.
fn wraps(start: UserAddr, length: u64) -> bool {
    page_align_up(length).and_then(|length| start.as_u64().checked_add(length)).is_none()
}
