//! TLB shootdown: making every CPU forget translations that an address space no longer has.
//!
//! A [`Context`] is what one address space contributes: the CPUs that have its root loaded, and a generation that
//! counts its shootdowns. [`Shootdowns`] is what the machine contributes: per CPU a mailbox, an outbox, and a note
//! of what is loaded. Neighbours: the backend's `mmu` and `ipi` (behind [`Processor`], so that loom can model the
//! protocol), and `mm`, which says what to flush and frees frames only when [`Context::flush`] has returned.
//!
//! The protocol, for an initiator that has just changed the tables of a space:
//!
//! 1. It adds one to the space's generation, then reads the set of active CPUs. Both are sequentially consistent, and
//!    so are a CPU's entry into the set and its read of the generation in [`Context::activate`]. So either the
//!    initiator sees the CPU and interrupts it, or the CPU sees the new generation (and the new tables).
//! 2. It writes its request into its own outbox, sets its bit in the mailbox of each target, sends *one* IPI, and
//!    waits until every target has cleared itself from the outbox. The outbox is free again then; preemption is off
//!    from the first to the last step, so a CPU has one request under way at most, and nothing is allocated.
//! 3. A target serves its mailbox in the interrupt, or from `relax` while it spins with interrupts off. It has seen
//!    all requests up to some generation: the next one is done page by page, a later one by a full flush, an earlier
//!    one is already covered.
//!
//! A CPU that runs a kernel thread or idles keeps the last root loaded (*lazily*). It is left alone while tables stay
//! where they are; when tables are to be freed it is told once, and moves to the kernel's root.

mod processor;
mod shootdowns;
mod state;

pub use processor::{Machine, Processor};
pub use state::Shootdowns;

use crate::addr::{Frame, VirtAddr};
use crate::cpu::AtomicCpuMask;
use crate::events::MachineEvent;
use crate::machine;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{interrupts, preempt};

/// Up to this many pages are invalidated one by one; more flush everything. An INVLPG costs about 100 ns on
/// hardware and a refill of a working TLB a few microseconds, so Linux settled on 33 as well
/// (`tlb_single_page_flush_ceiling`).
pub const FULL_FLUSH_ABOVE_PAGES: u64 = 33;

#[cfg(target_os = "none")]
fn state() -> &'static Shootdowns {
    static STATE: Shootdowns = Shootdowns::new();
    &STATE
}

#[cfg(not(target_os = "none"))]
fn state() -> &'static Shootdowns {
    machine::Machine::current().shootdowns()
}

/// Serves this CPU's mailbox. For the shootdown interrupt, and for `relax` when interrupts are off.
pub fn serve() {
    let saved = interrupts::disable();
    state().serve(&Machine);
    interrupts::restore(saved);
}

/// Says that every CPU has process-context identifiers switched on (CR4.PCIDE). Called once, before user mode.
pub fn enable_pcids() {
    state().enable_pcids();
}

/// Which translations to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// Those of `count` pages from `start` on, and all paging-structure caches.
    Pages {
        /// First address.
        start: VirtAddr,
        /// Number of 4 KiB pages.
        count: u64,
    },
    /// All of the address space.
    All,
}

/// What became of the CPUs that still have the root loaded without using it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tables {
    /// Tables stay allocated: lazy CPUs may go on walking them and flush when they come back.
    Kept,
    /// Tables are about to be freed: lazy CPUs must move to the kernel's root.
    Freed,
}

/// What a shootdown took. For the counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[must_use = "count it"]
pub struct Sent {
    /// CPUs that were interrupted.
    pub targets: u32,
    /// Lazy CPUs that were left alone.
    pub skipped: u32,
    /// Pages flushed one by one; 0 when `full`.
    pub pages: u32,
    /// Everything was flushed.
    pub full: bool,
}

/// The TLB side of one address space.
#[derive(Debug)]
pub struct Context {
    /// Never reused, never 0.
    id: u64,
    /// CPUs that have the root loaded.
    active: AtomicCpuMask,
    /// Number of shootdowns.
    generation: AtomicU64,
}

impl Context {
    /// A context that is active nowhere.
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(state())
    }

    /// As [`new`](Self::new), for the given machine.
    #[must_use]
    pub fn new_in(state: &Shootdowns) -> Self {
        Self {
            id: state.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            active: AtomicCpuMask::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Loads `root` on this CPU: from now on it runs a thread of this space. Cheap if the root is still loaded.
    ///
    /// The context stays where it is in memory until [`retire`](Self::retire) returns. Interrupts are off.
    #[inline(always)]
    pub fn activate(&self, root: Frame) {
        debug_assert!(!interrupts::enabled(), "a root is loaded while an interrupt may look at it");
        state().activate(&Machine, self, root);
    }

    /// This CPU turns to a kernel thread or idles. The root stays loaded until another space needs the CPU.
    pub fn deactivate(&self) {
        let saved = interrupts::disable();
        state().deactivate(&Machine, self);
        interrupts::restore(saved);
    }

    /// Whether this CPU has the root loaded.
    #[must_use]
    pub fn is_active_here(&self) -> bool {
        self.active.contains(machine::current_cpu(), Ordering::Relaxed)
    }

    /// Whether at most the calling CPU may hold translations of the space, so that a change needs no break before make.
    #[must_use]
    pub fn is_local(&self) -> bool {
        // Pairs with the SeqCst insertion in `activate`; the table write that follows a `false` is flushed anyway.
        let mut active = self.active.load(Ordering::SeqCst);
        active.remove(machine::current_cpu());
        active.is_empty()
    }

    /// Whether another CPU runs the space at the moment, so that a flush is likely to interrupt somebody. A hint.
    #[must_use]
    pub fn runs_elsewhere(&self) -> bool {
        let mut active = self.active.load(Ordering::Relaxed);
        active.remove(machine::current_cpu());
        !active.is_empty() && state().runs_on_any(active)
    }

    /// Makes every CPU forget `range`; returns when all have. Table writes that precede the call are covered.
    ///
    /// Sends no IPI when the space is active on this CPU alone. Does not sleep; spins for as long as the targets
    /// need to take an interrupt.
    ///
    /// # Panics
    /// In builds with debug assertions, when there are targets and interrupts are off.
    pub fn flush(&self, range: Range, tables: Tables) -> Sent {
        preempt::disable();
        let sent = state().flush(&Machine, self, range, tables);
        machine::trace(MachineEvent::Shootdown(sent));
        preempt::enable();
        sent
    }

    /// Moves every CPU that has the root loaded to the kernel's root. Afterwards the tables may be freed.
    pub fn retire(&self) -> Sent {
        preempt::disable();
        state().deactivate(&Machine, self);
        let sent = state().flush(&Machine, self, Range::All, Tables::Freed);
        machine::trace(MachineEvent::Shootdown(sent));
        preempt::enable();
        debug_assert!(
            self.active.load(Ordering::SeqCst).is_empty(),
            "a CPU runs a space that is torn down"
        );
        sent
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}
