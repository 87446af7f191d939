//! Models of the shootdown protocol (I4): a frame is freed only when no CPU can reach it through its TLB any more, also
//! when a CPU enters the space, or comes back to it from idling, at that very moment.
#![cfg(loom)]

mod models;

use arch::addr::{Frame, VirtAddr};
use arch::cpu::{CpuId, CpuMask};
use arch::tlb::{Context, Processor, Range, Shootdowns, Tables};
use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

const PAGE: Range = Range::Pages { start: VirtAddr::new_truncate(0x1000), count: 1 };

/// One page table entry, the frame that it maps, and the protocol's state.
struct World {
    shootdowns: Shootdowns,
    context: Context,
    /// The entry is there.
    mapped: AtomicBool,
    /// The frame is somebody else's by now.
    freed: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        let shootdowns = Shootdowns::new();
        let context = Context::new_in(&shootdowns);
        let (mapped, freed) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self { shootdowns, context, mapped, freed })
    }

    /// Clears the entry, flushes, frees.
    fn unmap(&self, cpu: &Cpu, tables: Tables) {
        self.mapped.store(false, Ordering::Release);
        let _ = self.shootdowns.flush(cpu, &self.context, PAGE, tables);
        self.freed.store(true, Ordering::Release);
    }

    /// Touches the page from `cpu`, by the TLB if that knows it.
    fn touch(&self, cpu: &Cpu) {
        if !cpu.cached().get() && self.mapped.load(Ordering::Acquire) {
            cpu.cached().set(true);
        }
        if cpu.cached().get() {
            assert!(!self.freed.load(Ordering::Acquire), "a freed frame is touched");
        }
    }

    /// Takes interrupts until the frame is free.
    fn serve_until_freed(&self, cpu: &Cpu) {
        while !self.freed.load(Ordering::Acquire) {
            self.shootdowns.serve(cpu);
            thread::yield_now();
        }
    }
}

/// A CPU whose TLB holds at most one translation per identifier.
struct Cpu {
    id: usize,
    pcid: Cell<usize>,
    cached: [Cell<bool>; 3],
}

impl Cpu {
    fn new(id: usize) -> Self {
        Self { id, pcid: Cell::new(0), cached: core::array::from_fn(|_| Cell::new(false)) }
    }

    /// The translation under the current identifier.
    fn cached(&self) -> &Cell<bool> {
        &self.cached[self.pcid.get()]
    }
}

impl Processor for Cpu {
    fn current(&self) -> CpuId {
        CpuId::new(self.id)
    }
    fn load_root(&self, _root: Frame, pcid: Option<u16>, keep: bool) {
        self.pcid.set(usize::from(pcid.unwrap_or(0)));
        if !keep {
            self.cached().set(false);
        }
    }
    fn load_kernel_root(&self) {
        self.load_root(Frame::new(0), None, false);
    }
    fn invalidate_page(&self, _address: VirtAddr) {
        self.cached().set(false);
    }
    fn invalidate_all(&self) {
        self.cached().set(false);
    }
    fn interrupt(&self, _targets: &CpuMask) {}
    fn relax(&self) {
        thread::yield_now();
    }
}

/// The target runs in the space from the start.
#[test]
fn a_running_cpu_flushes_before_the_frame_is_freed() {
    models::check("a running CPU", || {
        let world = World::new();
        let other = world.clone();
        let target = thread::spawn(move || {
            let cpu = Cpu::new(1);
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.touch(&cpu);
            other.serve_until_freed(&cpu);
            other.touch(&cpu);
        });
        world.unmap(&Cpu::new(0), Tables::Kept);
        target.join().expect("joined");
    });
}

/// With PCIDs the target's translations survive its absence: it must notice on return that it missed a shootdown.
#[test]
fn a_returning_cpu_does_not_trust_what_it_kept() {
    models::check("a returning CPU", || {
        let world = World::new();
        world.shootdowns.enable_pcids();
        let other = world.clone();
        let target = thread::spawn(move || {
            let cpu = Cpu::new(1);
            let elsewhere = Context::new_in(&other.shootdowns);
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.touch(&cpu);
            // Another space: what is cached for the first stays, unused.
            other.shootdowns.activate(&cpu, &elsewhere, Frame::new(2));
            other.shootdowns.serve(&cpu);
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.touch(&cpu);
            other.serve_until_freed(&cpu);
        });
        world.unmap(&Cpu::new(0), Tables::Kept);
        target.join().expect("joined");
    });
}

/// A lazy CPU is skipped, or seen when it comes back; never neither.
#[test]
fn a_lazy_cpu_catches_up_when_it_comes_back() {
    models::check("a lazy CPU", || {
        let world = World::new();
        let other = world.clone();
        let target = thread::spawn(move || {
            let cpu = Cpu::new(1);
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.touch(&cpu);
            other.shootdowns.deactivate(&cpu, &other.context);
            other.shootdowns.serve(&cpu);
            other.shootdowns.activate(&cpu, &other.context, Frame::new(1));
            other.touch(&cpu);
            other.serve_until_freed(&cpu);
            other.touch(&cpu);
        });
        world.unmap(&Cpu::new(0), Tables::Kept);
        target.join().expect("joined");
    });
}
