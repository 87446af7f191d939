//! Interrupts from one CPU to others.

use core::sync::atomic::{AtomicBool, Ordering};

use super::traps::{self, TrapFrame};
use super::{apic, power, smp};
use crate::cpu::{AtomicCpuMask, CpuId, CpuMask};
pub use crate::events::Ipi;

/// Set once: a CPU that takes an NMI from then on halts.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The CPUs that halted for [`stop_others`].
fn stopped() -> &'static AtomicCpuMask {
    static STOPPED: AtomicCpuMask = AtomicCpuMask::new();
    &STOPPED
}

/// Sends `message` to every CPU of `targets` that is online, this one included if it is a member. Stores before the
/// call are visible to the receivers' handlers.
pub fn send(targets: &CpuMask, message: Ipi) {
    let vector = match message {
        Ipi::TlbShootdown => traps::TLB_SHOOTDOWN,
        Ipi::Reschedule => traps::RESCHEDULE,
        Ipi::Call => traps::CALL,
    };
    for cpu in targets.and(&smp::online()).iter() {
        apic::send(apic::id_of(cpu), apic::Message::Vector(vector));
    }
}

/// Stops all other CPUs for good, wherever they are, by NMI, and waits a little for them. For panics: takes no locks. If
/// another CPU is doing the same already, this one halts.
pub fn stop_others() {
    const PATIENCE: u32 = 50_000_000;
    if STOPPING.swap(true, Ordering::SeqCst) {
        power::halt();
    }
    let mut others = smp::online();
    others.remove(super::current_cpu());
    for cpu in others.iter() {
        apic::send(apic::id_of(cpu), apic::Message::Nmi);
    }
    let all_stopped = || others.iter().all(|cpu: CpuId| stopped().contains(cpu, Ordering::Acquire));
    for _ in 0..PATIENCE {
        if all_stopped() {
            return;
        }
        core::hint::spin_loop();
    }
}

/// An NMI: either a panicking CPU stops this one, or it came from hardware and is only counted.
pub(super) fn on_nmi(_frame: &TrapFrame) {
    if STOPPING.load(Ordering::SeqCst) {
        stopped().insert(super::current_cpu(), Ordering::Release);
        power::halt();
    }
}
