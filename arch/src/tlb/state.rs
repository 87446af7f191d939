//! What the machine contributes to shootdowns: per CPU a mailbox, an outbox, and a note of what is loaded.

use core::ptr;

use crossbeam_utils::CachePadded;

use super::{Context, Range};
use crate::cpu::AtomicCpuMask;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};

/// Address spaces whose translations a CPU keeps side by side when it has PCIDs. Linux keeps 6: more cost
/// longer searches at each switch than they save.
pub(super) const CONTEXTS_PER_CPU: usize = 6;

#[cfg(not(loom))]
pub(super) const CPUS: usize = crate::cpu::MAX_CPUS;
#[cfg(loom)]
pub(super) const CPUS: usize = 3;

/// A space's translations in one CPU's TLB, under one PCID.
#[derive(Debug)]
pub(super) struct Slot {
    /// Whose they are; 0 nobody's.
    pub(super) space: AtomicU64,
    /// The shootdowns of that space which they have seen.
    pub(super) generation: AtomicU64,
}

/// What one CPU contributes. All but `pending`, `outbox.waiting` and `lazy` is written by that CPU alone, with
/// interrupts off; `outbox` is read by targets between a `pending` bit and the matching `waiting` bit.
#[derive(Debug)]
pub(super) struct CpuState {
    /// The mailbox: initiators whose request this CPU has not served.
    pub(super) pending: AtomicCpuMask,
    pub(super) outbox: Outbox,
    /// The space whose root is loaded; 0 for the kernel's root.
    pub(super) loaded: AtomicU64,
    /// That space's context. Valid while this CPU is in its active set, because `retire` waits for that to end.
    pub(super) context: AtomicPtr<Context>,
    /// The root is loaded but no thread of the space runs.
    pub(super) lazy: AtomicBool,
    /// The slot of the loaded space.
    pub(super) slot: AtomicUsize,
    /// The slot to be replaced next.
    pub(super) victim: AtomicUsize,
    pub(super) slots: [Slot; CONTEXTS_PER_CPU],
}

/// A request while it is under way.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Targets that have not served it.
    pub(super) waiting: AtomicCpuMask,
    pub(super) space: AtomicU64,
    pub(super) generation: AtomicU64,
    pub(super) start: AtomicU64,
    /// Number of pages; `u64::MAX` for all.
    pub(super) count: AtomicU64,
}

#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) space: u64,
    pub(super) generation: u64,
    pub(super) range: Range,
}

/// The machine's side of the protocol.
#[derive(Debug)]
pub struct Shootdowns {
    pub(super) cpus: [CachePadded<CpuState>; CPUS],
    pub(super) last_id: AtomicU64,
    pub(super) pcids: AtomicBool,
}

macro_rules! constructors {
    ($($constness:tt)?) => {
        impl Shootdowns {
            /// A machine on which no space is active.
            #[must_use]
            pub $($constness)? fn new() -> Self {
                Self {
                    cpus: repeat!(CachePadded::new(CpuState::new())),
                    last_id: AtomicU64::new(0),
                    pcids: AtomicBool::new(false),
                }
            }
        }

        impl CpuState {
            $($constness)? fn new() -> Self {
                Self {
                    pending: AtomicCpuMask::new(),
                    outbox: Outbox::new(),
                    loaded: AtomicU64::new(0),
                    context: AtomicPtr::new(ptr::null_mut()),
                    lazy: AtomicBool::new(false),
                    slot: AtomicUsize::new(0),
                    victim: AtomicUsize::new(0),
                    slots: repeat!(Slot { space: AtomicU64::new(0), generation: AtomicU64::new(0) }),
                }
            }
        }

        impl Outbox {
            $($constness)? fn new() -> Self {
                Self {
                    waiting: AtomicCpuMask::new(),
                    space: AtomicU64::new(0),
                    generation: AtomicU64::new(0),
                    start: AtomicU64::new(0),
                    count: AtomicU64::new(0),
                }
            }
        }
    };
}

// loom's atomics cannot be made in constants.
#[cfg(not(loom))]
macro_rules! repeat {
    ($value:expr) => {
        [const { $value }; _]
    };
}
#[cfg(loom)]
macro_rules! repeat {
    ($value:expr) => {
        core::array::from_fn(|_| $value)
    };
}
#[cfg(not(loom))]
constructors!(const);
#[cfg(loom)]
constructors!();

impl Default for Shootdowns {
    fn default() -> Self {
        Self::new()
    }
}
