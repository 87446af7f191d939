//! The steps of the protocol that [`super`] describes: loading and leaving a space, flushing, serving.

use core::ptr;

use super::processor::Processor;
use super::state::{CONTEXTS_PER_CPU, CpuState, Request, Shootdowns};
use super::{Context, FULL_FLUSH_ABOVE_PAGES, Range, Sent, Tables};
use crate::addr::{Frame, PAGE_SIZE, VirtAddr};
use crate::cpu::{CpuId, CpuMask};
use crate::interrupts;
use crate::sync::atomic::{Ordering, fence};

impl Shootdowns {
    fn cpu(&self, cpu: CpuId) -> &CpuState {
        &self.cpus[cpu.index()]
    }

    /// See [`Context::activate`]. Interrupts are off.
    #[inline(always)]
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

    /// See [`enable_pcids`](super::enable_pcids).
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

    /// Whether one of the `active` CPUs of a space is not lazy.
    pub(super) fn runs_on_any(&self, active: CpuMask) -> bool {
        !self.targets(active, Tables::Kept).is_empty()
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
