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

use core::ptr;

use crossbeam_utils::CachePadded;

use crate::addr::{Frame, PAGE_SIZE, VirtAddr};
use crate::cpu::{AtomicCpuMask, CpuId, CpuMask};
use crate::machine;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use crate::{interrupts, preempt};

/// Up to this many pages are invalidated one by one; more flush everything. An INVLPG costs about 100 ns on
/// hardware and a refill of a working TLB a few microseconds, so Linux settled on 33 as well
/// (`tlb_single_page_flush_ceiling`).
pub const FULL_FLUSH_ABOVE_PAGES: u64 = 33;

/// Address spaces whose translations a CPU keeps side by side when it has PCIDs. Linux keeps 6: more cost
/// longer searches at each switch than they save.
const CONTEXTS_PER_CPU: usize = 6;

#[cfg(not(loom))]
const CPUS: usize = crate::cpu::MAX_CPUS;
#[cfg(loom)]
const CPUS: usize = 3;

/// What the protocol needs of the CPU that it runs on. The backends implement it in [`Machine`].
pub trait Processor {
    /// The CPU that this runs on.
    fn current(&self) -> CpuId;
    /// Loads the root table `root` under `pcid`; without `keep`, drops what is cached under it.
    fn load_root(&self, root: Frame, pcid: Option<u16>, keep: bool);
    /// Loads the kernel's own root table.
    fn load_kernel_root(&self);
    /// Drops one page and all paging-structure caches under the current identifier.
    fn invalidate_page(&self, address: VirtAddr);
    /// Drops everything under the current identifier.
    fn invalidate_all(&self);
    /// Sends the shootdown IPI.
    fn interrupt(&self, targets: &CpuMask);
    /// Pauses between two looks at the outbox.
    fn relax(&self);
}

/// The processor of the backend.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Processor for Machine {
    fn current(&self) -> CpuId {
        machine::current_cpu()
    }
    fn load_root(&self, root: Frame, pcid: Option<u16>, keep: bool) {
        machine::mmu::load_root(root, pcid, keep);
    }
    fn load_kernel_root(&self) {
        machine::mmu::load_root(machine::memory::kernel_root(), None, false);
    }
    fn invalidate_page(&self, address: VirtAddr) {
        machine::mmu::invalidate_page(address);
    }
    fn invalidate_all(&self) {
        machine::mmu::invalidate_all();
    }
    fn interrupt(&self, targets: &CpuMask) {
        machine::ipi::send(targets, machine::ipi::Ipi::TlbShootdown);
    }
    fn relax(&self) {
        machine::relax();
    }
}

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
    /// The context stays where it is in memory until [`retire`](Self::retire) returns.
    pub fn activate(&self, root: Frame) {
        let saved = interrupts::disable();
        state().activate(&Machine, self, root);
        interrupts::restore(saved);
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
        preempt::enable();
        sent
    }

    /// Moves every CPU that has the root loaded to the kernel's root. Afterwards the tables may be freed.
    pub fn retire(&self) -> Sent {
        preempt::disable();
        state().deactivate(&Machine, self);
        let sent = state().flush(&Machine, self, Range::All, Tables::Freed);
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

/// A space's translations in one CPU's TLB, under one PCID.
#[derive(Debug)]
struct Slot {
    /// Whose they are; 0 nobody's.
    space: AtomicU64,
    /// The shootdowns of that space which they have seen.
    generation: AtomicU64,
}

/// What one CPU contributes. All but `pending`, `outbox.waiting` and `lazy` is written by that CPU alone, with
/// interrupts off; `outbox` is read by targets between a `pending` bit and the matching `waiting` bit.
#[derive(Debug)]
struct CpuState {
    /// The mailbox: initiators whose request this CPU has not served.
    pending: AtomicCpuMask,
    outbox: Outbox,
    /// The space whose root is loaded; 0 for the kernel's root.
    loaded: AtomicU64,
    /// That space's context. Valid while this CPU is in its active set, because `retire` waits for that to end.
    context: AtomicPtr<Context>,
    /// The root is loaded but no thread of the space runs.
    lazy: AtomicBool,
    /// The slot of the loaded space.
    slot: AtomicUsize,
    /// The slot to be replaced next.
    victim: AtomicUsize,
    slots: [Slot; CONTEXTS_PER_CPU],
}

/// A request while it is under way.
#[derive(Debug)]
struct Outbox {
    /// Targets that have not served it.
    waiting: AtomicCpuMask,
    space: AtomicU64,
    generation: AtomicU64,
    start: AtomicU64,
    /// Number of pages; `u64::MAX` for all.
    count: AtomicU64,
}

#[derive(Clone, Copy)]
struct Request {
    space: u64,
    generation: u64,
    range: Range,
}

/// The machine's side of the protocol.
#[derive(Debug)]
pub struct Shootdowns {
    cpus: [CachePadded<CpuState>; CPUS],
    last_id: AtomicU64,
    pcids: AtomicBool,
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

impl Shootdowns {
    fn cpu(&self, cpu: CpuId) -> &CpuState {
        &self.cpus[cpu.index()]
    }

    /// See [`Context::activate`]. Interrupts are off.
    pub fn activate(&self, processor: &impl Processor, context: &Context, root: Frame) {
        let id = processor.current();
        let cpu = self.cpu(id);
        if cpu.loaded.load(Ordering::Relaxed) == context.id {
            return self.resume(processor, cpu, context);
        }
        // The set first, then the generation and the tables: see step 1 of the protocol.
        context.active.insert(id, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let generation = context.generation.load(Ordering::SeqCst);
        let (index, pcid, keep) = self.choose_slot(cpu, context.id, generation);
        processor.load_root(root, pcid, keep);
        let slot = &cpu.slots[index];
        slot.space.store(context.id, Ordering::Relaxed);
        slot.generation.store(generation, Ordering::Relaxed);
        cpu.slot.store(index, Ordering::Relaxed);
        // Only now is the previous root out of use.
        self.leave(id);
        cpu.lazy.store(false, Ordering::SeqCst);
        cpu.context.store(ptr::from_ref(context).cast_mut(), Ordering::Relaxed);
        cpu.loaded.store(context.id, Ordering::Relaxed);
    }

    /// See [`Context::deactivate`]. Interrupts are off, or preemption is and the CPU runs no thread of the space.
    pub fn deactivate(&self, processor: &impl Processor, context: &Context) {
        let cpu = self.cpu(processor.current());
        if cpu.loaded.load(Ordering::Relaxed) == context.id {
            cpu.lazy.store(true, Ordering::SeqCst);
        }
    }

    /// See [`enable_pcids`].
    pub fn enable_pcids(&self) {
        self.pcids.store(true, Ordering::Relaxed);
    }

    /// The root is loaded already, perhaps lazily: catches up with the shootdowns that skipped this CPU.
    fn resume(&self, processor: &impl Processor, cpu: &CpuState, context: &Context) {
        // Pairs with step 1 in `targets`: the initiator sees that this CPU is not lazy, or this CPU sees its generation.
        cpu.lazy.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let generation = context.generation.load(Ordering::SeqCst);
        let slot = &cpu.slots[cpu.slot.load(Ordering::Relaxed)];
        if slot.generation.load(Ordering::Relaxed) != generation {
            processor.invalidate_all();
            slot.generation.store(generation, Ordering::Relaxed);
        }
    }

    /// The slot for a space, its PCID, and whether what is cached under that is still right.
    fn choose_slot(
        &self,
        cpu: &CpuState,
        space: u64,
        generation: u64,
    ) -> (usize, Option<u16>, bool) {
        if !self.pcids.load(Ordering::Relaxed) {
            return (0, None, false);
        }
        let own = cpu.slots.iter().position(|slot| slot.space.load(Ordering::Relaxed) == space);
        let index = own.unwrap_or_else(|| {
            let next = cpu.victim.load(Ordering::Relaxed);
            cpu.victim.store((next + 1) % CONTEXTS_PER_CPU, Ordering::Relaxed);
            next
        });
        let seen = cpu.slots[index].generation.load(Ordering::Relaxed);
        // PCID 0 is the kernel root's.
        (index, Some(index as u16 + 1), own.is_some() && seen == generation)
    }

    /// Takes this CPU out of the loaded space's active set; another root is loaded by now.
    fn leave(&self, id: CpuId) {
        let cpu = self.cpu(id);
        let context = cpu.context.swap(ptr::null_mut(), Ordering::Relaxed);
        cpu.loaded.store(0, Ordering::Relaxed);
        if !context.is_null() {
            // SAFETY: this CPU is still in the active set of `context`, so `retire` has not returned and the
            // context is alive; after the removal it is not touched again.
            unsafe { &*context }.active.remove(id, Ordering::SeqCst);
        }
    }

    /// See [`Context::flush`]. Preemption is off.
    pub fn flush(
        &self,
        processor: &impl Processor,
        context: &Context,
        range: Range,
        tables: Tables,
    ) -> Sent {
        let generation = context.generation.fetch_add(1, Ordering::SeqCst) + 1;
        fence(Ordering::SeqCst);
        let range = match range {
            Range::Pages { count, .. } if count > FULL_FLUSH_ABOVE_PAGES => Range::All,
            range => range,
        };
        let request = Request { space: context.id, generation, range };
        let mut sent = match range {
            Range::Pages { count, .. } => Sent { pages: count as u32, ..Sent::default() },
            Range::All => Sent { full: true, ..Sent::default() },
        };
        let mut active = context.active.load(Ordering::SeqCst);
        let here = processor.current();
        if active.contains(here) {
            let saved = interrupts::disable();
            self.apply(processor, here, request);
            interrupts::restore(saved);
            active.remove(here);
        }
        let targets = self.targets(active, tables);
        sent.targets = targets.len() as u32;
        sent.skipped = active.len() as u32 - sent.targets;
        if !targets.is_empty() {
            self.send(processor, request, &targets);
        }
        sent
    }

    /// The CPUs among `active` that must be told now.
    fn targets(&self, active: CpuMask, tables: Tables) -> CpuMask {
        match tables {
            Tables::Freed => active,
            // Pairs with `resume`.
            Tables::Kept => {
                active.iter().filter(|cpu| !self.cpu(*cpu).lazy.load(Ordering::SeqCst)).collect()
            }
        }
    }

    /// Posts `request` to `targets` and waits until each has served it.
    fn send(&self, processor: &impl Processor, request: Request, targets: &CpuMask) {
        debug_assert!(interrupts::enabled(), "waiting for a shootdown with interrupts off");
        let here = processor.current();
        let outbox = &self.cpu(here).outbox;
        outbox.space.store(request.space, Ordering::Relaxed);
        outbox.generation.store(request.generation, Ordering::Relaxed);
        let (start, count) = match request.range {
            Range::Pages { start, count } => (start.as_u64(), count),
            Range::All => (0, u64::MAX),
        };
        outbox.start.store(start, Ordering::Relaxed);
        outbox.count.store(count, Ordering::Relaxed);
        for target in targets.iter() {
            outbox.waiting.insert(target, Ordering::Relaxed);
        }
        for target in targets.iter() {
            // Release publishes the outbox; pairs with the Acquire in `serve`.
            self.cpu(target).pending.insert(here, Ordering::Release);
        }
        processor.interrupt(targets);
        // Acquire pairs with the Release in `serve`: the target's flush happens before what the caller frees next.
        while !outbox.waiting.load(Ordering::Acquire).is_empty() {
            processor.relax();
        }
    }

    /// Serves the current CPU's mailbox. Interrupts are off.
    pub fn serve(&self, processor: &impl Processor) {
        let here = processor.current();
        let mailbox = &self.cpu(here).pending;
        for initiator in mailbox.load(Ordering::Relaxed).iter() {
            mailbox.remove(initiator, Ordering::Acquire);
            let outbox = &self.cpu(initiator).outbox;
            let start = VirtAddr::new_truncate(outbox.start.load(Ordering::Relaxed));
            let range = match outbox.count.load(Ordering::Relaxed) {
                u64::MAX => Range::All,
                count => Range::Pages { start, count },
            };
            let space = outbox.space.load(Ordering::Relaxed);
            let generation = outbox.generation.load(Ordering::Relaxed);
            self.apply(processor, here, Request { space, generation, range });
            // Release: the flush is done, and the outbox is not read again.
            outbox.waiting.remove(here, Ordering::Release);
        }
    }

    /// Does `request` on this CPU. Interrupts are off.
    fn apply(&self, processor: &impl Processor, here: CpuId, request: Request) {
        let cpu = self.cpu(here);
        if cpu.loaded.load(Ordering::Relaxed) != request.space {
            // Translations kept under a PCID are found stale by their generation when the space comes back.
            return;
        }
        if cpu.lazy.load(Ordering::Relaxed) {
            processor.load_kernel_root();
            self.leave(here);
            return;
        }
        let slot = &cpu.slots[cpu.slot.load(Ordering::Relaxed)];
        let seen = slot.generation.load(Ordering::Relaxed);
        if request.generation <= seen {
            return;
        }
        match request.range {
            Range::Pages { start, count } if request.generation == seen + 1 => {
                for page in 0..count {
                    let offset = page * PAGE_SIZE as u64;
                    processor.invalidate_page(VirtAddr::new_truncate(start.as_u64() + offset));
                }
            }
            _ => processor.invalidate_all(),
        }
        slot.generation.store(request.generation, Ordering::Relaxed);
    }
}
