//! Memory barriers on every CPU that runs in a space, for membarrier(2): [`AddressSpace::barrier`].
//!
//! A barrier is a TLB shootdown of a page where nothing is mapped, so what is true of shootdowns is true of barriers (`arch::tlb`, where loom has
//! checked it). The initiator raises the space's generation, then looks which CPUs are in the space; a CPU that enters it, or comes back
//! to it, says so and then looks at the generation; all of it sequentially consistent. So of each CPU one of three is true:
//!
//! - It ran in the space when the initiator looked. It is interrupted, and the initiator waits: what the CPU did before the interrupt is
//!   seen by the initiator afterwards, and what the initiator did before is seen by the CPU from the interrupt on.
//! - It had left the space, or only kept its tables. What it did there before is seen by the initiator, who saw it gone.
//! - It enters the space later, and sees the new generation, and with it everything that the initiator did before.
//!
//! The interrupted CPU executes `INVLPG` and `IRET`, and one that comes back behind its generation invalidates or loads CR3: all of them are serialising (Intel SDM
//! vol. 3A, 8.3), so that no CPU goes on with instructions that it fetched before.

use arch::addr::VirtAddr;
use arch::sync::atomic::{AtomicU32, Ordering};
use arch::tlb::{Range, Tables};

use super::AddressSpace;
use crate::table::gather::count_shootdown;

impl AddressSpace {
    /// Makes every CPU that runs in this space execute a full memory barrier that serialises its instructions too, the
    /// calling one included. Interrupts no other CPU. Does not sleep.
    pub fn barrier(&self) {
        let nowhere = Range::Pages { start: VirtAddr::new_truncate(0), count: 1 };
        count_shootdown(self.memory, self.tlb.flush(nowhere, Tables::Kept));
    }

    /// What programs in this space have registered for: bits that belong to the kernel. A fork has the same, a new space none.
    #[must_use]
    pub fn registrations(&self) -> &AtomicU32 {
        &self.registrations
    }

    /// Takes over the registrations of the space that this one is forked from.
    pub(super) fn inherit_registrations(&self, parent: &Self) {
        // Relaxed: nobody knows this space yet.
        let bits = parent.registrations.load(Ordering::Relaxed);
        self.registrations.store(bits, Ordering::Relaxed);
    }
}
