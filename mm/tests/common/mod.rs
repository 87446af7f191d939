//! A simulated machine for tests: memory, CPUs with stale TLBs, and users that run on them.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod cases;
pub mod threads;
pub mod watch;

use std::sync::Arc;

use arch::addr::{PAGE_SIZE, VirtAddr};
use arch::context::Access;
use arch::cpu::CpuId;
use arch::memory::SimulatedMemory;
use mm::object::{MemoryObject, PagedObject};
use mm::space::{Entropy, Layout};
use mm::table::audit::References;
use mm::{AddressSpace, FaultError, FreeRange, Limits, Memory};

/// Bytes of a page.
pub const PAGE: u64 = PAGE_SIZE as u64;

/// Simulated CPUs that tests use.
pub const CPUS: usize = 4;

/// Memory, and how much of it was free at first.
pub struct Machine {
    memory: &'static Memory,
    free: u64,
}

impl Machine {
    /// A machine with `bytes` of memory, which stays for the rest of the test process.
    pub fn new(bytes: usize) -> Self {
        let block = Box::leak(Box::new(SimulatedMemory::new(bytes)));
        // SAFETY: nobody else uses the block.
        let range = unsafe { FreeRange::new(block.start(), bytes as u64) };
        let memory = Memory::new([range], CPUS);
        Self { memory, free: memory.stats().free }
    }

    /// The machine's memory.
    pub fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// An empty space with a reproducible layout.
    pub fn space(&self) -> Arc<AddressSpace> {
        let layout = Layout::choose(Entropy::default(), 8 << 20);
        AddressSpace::new(self.memory, layout).expect("memory for a root")
    }

    /// Switches CPU `cpu` to `space`.
    pub fn enter(&self, space: &Arc<AddressSpace>, cpu: usize) -> User {
        arch::set_current_cpu(CpuId::new(cpu));
        let saved = arch::interrupts::disable();
        space.activate();
        arch::interrupts::restore(saved);
        User { space: space.clone(), cpu: CpuId::new(cpu) }
    }

    /// The sum of the counter `name`.
    pub fn counter(&self, name: &str) -> u64 {
        let index = mm::counters::DESCRIPTIONS.iter().position(|(known, _)| *known == name);
        self.memory.counter_totals()[index.expect("a known counter")]
    }

    /// Checks counts, sums and write bits of all living spaces, and that no frame is in use besides.
    pub fn audit(&self, spaces: &[&Arc<AddressSpace>]) {
        let mut references = References::default();
        spaces.iter().for_each(|space| references.add(space));
        references.check(self.memory);
        let census = self.memory.census();
        let immortal = u32::from(references.of(self.memory.zero_frame()) > 0) as usize;
        let used = (census.tables + census.anonymous) as usize;
        assert_eq!(used, references.frames() - immortal + spaces.len(), "frames in use");
    }

    /// The same with an object whose pages hold references of their own.
    pub fn audit_with(&self, spaces: &[&Arc<AddressSpace>], object: &PagedObject, pages: u64) {
        let mut references = References::default();
        spaces.iter().for_each(|space| references.add(space));
        let mut cached = 0;
        for frame in (0..pages).filter_map(|index| object.cached_frame(index)) {
            let frame_number = frame.frame();
            drop(frame);
            references.add_external(frame_number, 1);
            cached += 1;
        }
        references.check(self.memory);
        let census = self.memory.census();
        let immortal = usize::from(references.of(self.memory.zero_frame()) > 0);
        let used = (census.tables + census.anonymous + census.object) as usize;
        assert_eq!(used, references.frames() - immortal + spaces.len(), "frames in use");
        assert_eq!(census.object, cached, "pages of the object");
    }

    /// Checks that every frame has come back.
    pub fn assert_all_free(&self) {
        assert_eq!(self.memory.stats().free, self.free, "frames lost");
    }
}

/// A thread of a space, on a CPU.
pub struct User {
    space: Arc<AddressSpace>,
    cpu: CpuId,
}

impl Drop for User {
    /// The CPU turns to idle, with the space loaded lazily.
    fn drop(&mut self) {
        arch::set_current_cpu(self.cpu);
        self.space.deactivate();
    }
}

impl User {
    /// Loads a byte, faulting as a processor would.
    pub fn read(&mut self, address: u64) -> Result<u8, FaultError> {
        self.retry(address, Access::Read, arch::mmu::load)
    }

    /// Stores a byte.
    pub fn write(&mut self, address: u64, value: u8) -> Result<(), FaultError> {
        self.retry(address, Access::Write, |address| arch::mmu::store(address, value))
    }

    /// Fetches an instruction byte.
    pub fn fetch(&mut self, address: u64) -> Result<u8, FaultError> {
        self.retry(address, Access::Execute, arch::mmu::fetch)
    }

    /// Lets the CPU walk towards `address` of its own accord, as processors do.
    pub fn speculate(&mut self, address: u64) {
        arch::set_current_cpu(self.cpu);
        arch::mmu::speculate(VirtAddr::new_truncate(address));
    }

    /// Lets operations on spaces run on this user's CPU from now on.
    pub fn take_turn(&self) {
        arch::set_current_cpu(self.cpu);
    }

    fn retry<R>(
        &mut self,
        address: u64,
        access: Access,
        touch: impl Fn(VirtAddr) -> Option<R>,
    ) -> Result<R, FaultError> {
        arch::set_current_cpu(self.cpu);
        let address = VirtAddr::new_truncate(address);
        for _ in 0..10 {
            if let Some(result) = touch(address) {
                return Ok(result);
            }
            self.space.handle_fault(address, access, &Limits::NONE)?;
        }
        panic!("{access:?} at {address:?} still faults after ten resolutions");
    }
}
