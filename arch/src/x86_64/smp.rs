//! Bring-up of the other processors.
use crate::cpu::{CpuId, CpuMask};

/// Starts every other processor, one by one. Each runs `entry` on an idle stack of its own, with interrupts off and
/// everything per-CPU set up. Returns the CPUs that are online, this one included.
#[must_use]
pub fn start(_entry: fn(CpuId) -> !) -> CpuMask {
    CpuMask::only(CpuId::BOOT)
}
