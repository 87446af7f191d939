//! Simulated inter-processor interrupts.

use super::simulation::Machine;
use crate::cpu::CpuMask;
pub use crate::events::Ipi;

/// Interrupts every CPU in `targets` with `ipi`.
///
/// A CPU that a host thread plays takes the interrupt when that thread next relaxes or touches user memory; for
/// one that nobody plays the sender answers at once. [`Ipi::Reschedule`] and [`Ipi::Call`] go nowhere: the simulation
/// has no scheduler.
pub fn send(targets: &CpuMask, ipi: Ipi) {
    if ipi == Ipi::TlbShootdown {
        Machine::current().interrupt(targets);
    }
}

/// Stops all other CPUs. The simulated ones run only inside calls of a test, so there is nothing to stop.
pub fn stop_others() {}
