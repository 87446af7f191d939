//! The x86-64 machine.

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::boot::BootInfo;
use crate::cpu::{CpuId, CpuMask};
use crate::events::{Handlers, InterruptCount};

mod apic;
pub mod backtrace;
mod boot;
pub mod clock;
mod control;
mod cpuid;
mod descriptors;
mod faults;
pub mod fpu;
pub mod interrupts;
pub mod ipi;
pub mod memory;
pub mod mmu;
mod percpu;
pub mod power;
pub mod preempt;
pub mod random;
pub mod serial;
pub mod smp;
mod stacks;
pub mod thread;
mod traps;
mod user;
pub mod user_copy;

pub use cpuid::features;
pub use percpu::current_cpu;
pub use user::enter_user;

static HANDLERS: AtomicPtr<Handlers> = AtomicPtr::new(core::ptr::null_mut());

/// The kernel's handlers, once registered.
fn handlers() -> Option<&'static Handlers> {
    // SAFETY: null, or the `&'static Handlers` that `init` stored. Acquire pairs with its release.
    unsafe { HANDLERS.load(Ordering::Acquire).as_ref() }
}

/// Registers the kernel's handlers.
pub fn init(_boot: &BootInfo, handlers: &'static Handlers) {
    HANDLERS.store(core::ptr::from_ref(handlers).cast_mut(), Ordering::Release);
}

/// One round of a spin loop: pauses, and serves TLB shootdowns when interrupts are off and cannot.
pub fn relax() {
    core::hint::spin_loop();
    if !interrupts::enabled() {
        crate::tlb::serve();
    }
}

/// How many CPUs there may be.
#[must_use]
pub fn cpu_count() -> usize {
    1
}

/// The CPUs that run.
#[must_use]
pub fn online_cpus() -> CpuMask {
    CpuMask::only(CpuId::BOOT)
}

/// Acknowledges and handles the interrupt that ended user mode.
pub fn dispatch_interrupt(vector: u8) {
    apic::dispatch(vector);
}

/// Interrupts so far.
#[must_use]
pub fn interrupt_counts() -> alloc::vec::Vec<InterruptCount> {
    alloc::vec::Vec::new()
}
