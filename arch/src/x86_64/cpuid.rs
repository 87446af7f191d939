//! CPUID.
use crate::features::Features;

pub(super) fn has_fsgsbase() -> bool {
    false
}

/// What the processor is and can do.
#[must_use]
pub fn features() -> &'static Features {
    static FEATURES: spin::Once<Features> = spin::Once::new();
    FEATURES.get().expect("features before init")
}
