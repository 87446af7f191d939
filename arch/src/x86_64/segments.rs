//! The FS and GS bases of user mode, which the processor holds for the running thread also while that is in the kernel.
//!
//! The kernel has no use for FS, and its own GS base lies in the other of the two registers that `swapgs` exchanges. So entries from
//! user mode leave both bases alone; `thread::switch` exchanges them, and whoever changes or shows them does it here.

use core::arch::asm;

use x86_64::registers::model_specific::{FsBase, KernelGsBase};

use super::{cpuid, interrupts};
use crate::context::SegmentBases;

/// The bases of the calling thread.
#[must_use]
pub fn segment_bases() -> SegmentBases {
    if !cpuid::has_fsgsbase() {
        return by_registers();
    }
    let (fs, gs): (u64, u64);
    let saved = interrupts::disable();
    // SAFETY: FSGSBASE is enabled; interrupts are off between the two swaps, and NMIs do not trust GS.
    unsafe {
        asm!("rdfsbase {fs}", "swapgs", "rdgsbase {gs}", "swapgs", fs = out(reg) fs, gs = out(reg) gs,
            options(nostack, preserves_flags));
    }
    interrupts::restore(saved);
    SegmentBases { fs, gs }
}

/// Changes the bases of the calling thread. Both are addresses of user space.
pub fn set_segment_bases(bases: SegmentBases) {
    let saved = interrupts::disable();
    let _former = exchange(bases);
    interrupts::restore(saved);
}

/// Loads `next` and returns what was there, with interrupts off. The bases are user addresses, or what the processor had before:
/// canonical, as the instructions demand.
#[inline]
pub(super) fn exchange(next: SegmentBases) -> SegmentBases {
    if !cpuid::has_fsgsbase() {
        let former = by_registers();
        FsBase::write(x86_64::VirtAddr::new_truncate(next.fs));
        KernelGsBase::write(x86_64::VirtAddr::new_truncate(next.gs));
        return former;
    }
    let (fs, gs): (u64, u64);
    // SAFETY: as in `segment_bases`.
    unsafe {
        asm!(
            "rdfsbase {fs}", "wrfsbase {next_fs}", "swapgs", "rdgsbase {gs}", "wrgsbase {next_gs}", "swapgs",
            fs = out(reg) fs, gs = out(reg) gs, next_fs = in(reg) next.fs, next_gs = in(reg) next.gs,
            options(nostack, preserves_flags)
        );
    }
    SegmentBases { fs, gs }
}

fn by_registers() -> SegmentBases {
    SegmentBases { fs: FsBase::read().as_u64(), gs: KernelGsBase::read().as_u64() }
}
