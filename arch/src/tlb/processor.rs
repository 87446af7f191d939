//! What the shootdown protocol needs of the CPU that it runs on, and what the backend has for it.

use crate::addr::{Frame, VirtAddr};
use crate::cpu::{CpuId, CpuMask};
use crate::machine;

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
