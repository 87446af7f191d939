//! The translation hardware of the running CPU: root register and TLB.
//!
//! Nothing here tells other CPUs: `arch::tlb` does. Kernel mappings are global and never change once made, so
//! no operation here needs to touch them.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::addr::{Frame, VirtAddr};

/// Whether CR4.PCIDE is set, the same on all CPUs.
static PCID: AtomicBool = AtomicBool::new(false);
/// Whether `INVPCID` exists.
static INVPCID: AtomicBool = AtomicBool::new(false);

const KEEP: u64 = 1 << 63;

/// Records what the boot processor offers; the others are checked to agree.
pub(super) fn set_features(pcid: bool, invpcid: bool) {
    // Relaxed: set before other CPUs start.
    PCID.store(pcid, Ordering::Relaxed);
    INVPCID.store(invpcid, Ordering::Relaxed);
}

/// Whether address spaces can be tagged, so that a switch keeps their translations.
#[must_use]
pub fn has_pcid() -> bool {
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

/// The root table that this CPU uses.
#[must_use]
pub fn current_root() -> Frame {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nostack, preserves_flags)) };
    Frame::new((value & 0x000f_ffff_ffff_f000) >> crate::addr::PAGE_SHIFT)
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

/// Drops every translation tagged `pcid` that is not global, whether or not it is the current tag. Without
/// tags: every translation.
pub fn invalidate_pcid(pcid: u16) {
    if !has_pcid() {
        return invalidate_all();
    }
    if INVPCID.load(Ordering::Relaxed) {
        invpcid(1, pcid, 0);
    } else {
        invalidate_all_pcids();
    }
}

/// Drops every translation of every tag, global ones too.
pub fn invalidate_all_pcids() {
    if INVPCID.load(Ordering::Relaxed) {
        return invpcid(2, 0, 0);
    }
    // SAFETY: toggling CR4.PGE drops everything (Intel SDM vol. 3A, 4.10.4.1) and changes no translation.
    unsafe {
        asm!(
            "mov {saved}, cr4", "mov {changed}, {saved}", "btc {changed}, 7",
            "mov cr4, {changed}", "mov cr4, {saved}",
            saved = out(reg) _, changed = out(reg) _, options(nostack)
        );
    }
}

/// Drops the page at `address` under tag `pcid`. Without `INVPCID`: the whole tag.
pub fn invalidate_page_of(pcid: u16, address: VirtAddr) {
    if has_pcid() && INVPCID.load(Ordering::Relaxed) {
        invpcid(0, pcid, address.as_u64());
    } else if has_pcid() {
        invalidate_pcid(pcid);
    } else {
        invalidate_page(address);
    }
}

fn invpcid(kind: u64, pcid: u16, address: u64) {
    let descriptor = [u64::from(pcid & 0xfff), address];
    // SAFETY: the instruction exists (callers check) and only drops cached translations.
    unsafe {
        asm!("invpcid {}, [{}]", in(reg) kind, in(reg) descriptor.as_ptr(),
            options(nostack, preserves_flags));
    }
}
