//! The translation hardware of the running CPU: root register and TLB.
//!
//! Nothing here tells other CPUs: `arch::tlb` does. Kernel mappings are global and never change once made, so
//! no operation here needs to touch them.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::addr::{Frame, VirtAddr};

/// Whether CR4.PCIDE is set, the same on all CPUs.
static PCID: AtomicBool = AtomicBool::new(false);

const KEEP: u64 = 1 << 63;

/// Records whether address spaces are tagged; all CPUs are checked to agree.
pub(super) fn set_pcid(enabled: bool) {
    // Relaxed: set before other CPUs start.
    PCID.store(enabled, Ordering::Relaxed);
}

/// Whether address spaces can be tagged, so that a switch keeps their translations.
fn has_pcid() -> bool {
    PCID.load(Ordering::Relaxed)
}

/// Switches this CPU to the tables under `root`, tagged `pcid` (ignored where the CPU has no tags).
///
/// With `keep` the translations cached under the tag stay valid; without it they are dropped. Without tags
/// everything but global translations is dropped in either case.
pub fn load_root(root: Frame, pcid: Option<u16>, keep: bool) {
    let mut value = root.start().as_u64();
    if has_pcid() {
        value |= u64::from(pcid.unwrap_or(0) & 0xfff) | if keep { KEEP } else { 0 };
    }
    // SAFETY: every root has the kernel half (`memory::init_root`), so this code stays mapped. Not `nomem`: stores to
    // tables must come before.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Drops what this CPU has cached for the page at `address`, under the current tag, and all paging-structure
/// caches of that tag (Intel SDM vol. 3A, 4.10.4.1).
pub fn invalidate_page(address: VirtAddr) {
    // SAFETY: only drops cached translations.
    unsafe {
        asm!("invlpg [{}]", in(reg) address.as_u64(), options(nostack, preserves_flags));
    }
}

/// Drops every translation of the current tag that is not global.
pub fn invalidate_all() {
    // SAFETY: rewriting CR3 with bit 63 clear only drops cached translations.
    unsafe {
        let value: u64;
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) value, options(nostack, preserves_flags));
        let _ = value;
    }
}
