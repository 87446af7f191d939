//! Which space a CPU is in.

use super::AddressSpace;

impl AddressSpace {
    /// Loads this space on the current CPU: the thread that is switched in runs in it. Cheap when the CPU last ran in the same
    /// space, also with kernel threads in between. Call with interrupts off, and keep the space alive until
    /// [`deactivate`](Self::deactivate) or until another is activated.
    #[inline(always)]
    pub fn activate(&self) {
        self.tlb.activate(self.root);
    }

    /// The thread that is switched in has no space (a kernel thread, idle). The tables stay loaded, lazily, until another
    /// space needs the CPU or this one ends; the space need not be kept alive for that.
    pub fn deactivate(&self) {
        self.tlb.deactivate();
    }

    /// Whether the current CPU has this space loaded, lazily or not.
    #[must_use]
    pub fn is_active_here(&self) -> bool {
        self.tlb.is_active_here()
    }
}
