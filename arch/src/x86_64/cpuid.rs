//! CPUID.
use crate::features::Features;

use core::sync::atomic::{AtomicBool, Ordering};

/// Whether CR4.FSGSBASE is set on every CPU.
static FSGSBASE: AtomicBool = AtomicBool::new(false);

/// Records whether the FS and GS bases have instructions of their own.
pub(super) fn set_fsgsbase(enabled: bool) {
    // Relaxed: set by the boot processor before there are others.
    FSGSBASE.store(enabled, Ordering::Relaxed);
}

/// Whether the FS and GS bases have instructions of their own.
pub(super) fn has_fsgsbase() -> bool {
    FSGSBASE.load(Ordering::Relaxed)
}

/// What the processor is and can do.
#[must_use]
pub fn features() -> &'static Features {
    static FEATURES: spin::Once<Features> = spin::Once::new();
    FEATURES.get().expect("features before init")
}
