//! Interrupts from one CPU to others.
use super::traps::TrapFrame;
use crate::cpu::CpuMask;
pub use crate::events::Ipi;

/// Sends `message` to every CPU of `targets` that is online, this one included if it is a member.
pub fn send(_targets: &CpuMask, _message: Ipi) {}

/// Stops all other CPUs for good, wherever they are, by NMI. For panics.
pub fn stop_others() {}

pub(super) fn on_nmi(_frame: &TrapFrame) {}
