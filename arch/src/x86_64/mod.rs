//! The x86-64 machine.
//!
//! | file                  | what it holds                                                              |
//! |-----------------------|----------------------------------------------------------------------------|
//! | `boot/`               | PVH and Limine entries, the memory map, the kernel's page tables           |
//! | `control`             | control registers and MSRs, the same on all CPUs                           |
//! | `descriptors`         | GDT, TSS, IDT                                                              |
//! | `percpu`, `preempt`, `interrupts` | the area behind GS, preempt count, interrupt flag              |
//! | `traps`, `faults`     | entry stubs; exceptions in kernel mode                                     |
//! | `user`, `user_copy`   | `enter_user` and system-call entry; copies with fault fix-ups              |
//! | `memory`, `mmu`       | kernel address space; root register and TLB                                |
//! | `stacks`, `thread`, `fpu`, `fpu_user`, `backtrace` | kernel stacks, switching, extended state, frame walks     |
//! | `acpi`, `acpi_handler`, `power` | firmware tables, power-off and reboot                            |
//! | `apic`, `ioapic`, `ipi`, `counts` | interrupt controllers, messages between CPUs, counters         |
//! | `smp`, `trampoline`   | bring-up of the other processors                                           |
//! | `clock`, `tsc`, `reference`, `kvm_clock`, `rtc` | time                                             |
//! | `cpuid`, `flag_names`, `random`, `serial` | identity, entropy, the first serial port               |
//!
//! Order of initialisation: `boot` ends in `kernel_main` with memory mapped and exceptions reported; [`init`], once there is
//! a heap, sets up what needs firmware's tables; [`smp::start`] brings the other CPUs to the same point.

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::boot::BootInfo;
use crate::cpu::{CpuId, CpuMask};
use crate::events::{Handlers, MachineEvent};

mod acpi;
mod acpi_handler;
mod apic;
pub mod backtrace;
mod boot;
pub mod clock;
mod control;
mod counts;
mod cpuid;
mod descriptors;
mod faults;
mod flag_names;
pub mod fpu;
mod fpu_user;
pub mod interrupts;
mod ioapic;
pub mod ipi;
mod kvm_clock;
pub mod memory;
pub mod mmu;
mod percpu;
pub mod power;
pub mod preempt;
pub mod random;
mod reference;
mod rtc;
mod segments;
pub mod serial;
pub mod smp;
mod stacks;
pub mod thread;
mod trampoline;
mod traps;
mod tsc;
mod user;
pub mod user_copy;
mod user_value;

pub use counts::interrupt_counts;
pub use cpuid::features;
pub use percpu::current_cpu;
pub use user::{RawExit, enter_user};

static HANDLERS: AtomicPtr<Handlers> = AtomicPtr::new(core::ptr::null_mut());

/// The kernel's handlers, once registered.
fn handlers() -> Option<&'static Handlers> {
    // SAFETY: null, or the `&'static Handlers` that `init` stored. Acquire pairs with its release.
    unsafe { HANDLERS.load(Ordering::Acquire).as_ref() }
}

/// Tells the kernel's trace of `event`; lost before `init` registers the kernel's handlers.
pub fn trace(event: MachineEvent) {
    if let Some(handlers) = handlers() {
        (handlers.trace)(event);
    }
}

/// Writes a line to the kernel's log; lost before `init` registers one.
macro_rules! report {
    ($($argument:tt)*) => {
        if let Some(handlers) = $crate::machine::handlers() {
            (handlers.log)(format_args!($($argument)*));
        }
    };
}
use report;

/// Sets up everything that needs a heap or firmware's tables: interrupt controllers, clock, timer, power. Interrupts are
/// off, and stay off; afterwards they may be enabled.
pub fn init(boot: &BootInfo, handlers: &'static Handlers) {
    HANDLERS.store(core::ptr::from_ref(handlers).cast_mut(), Ordering::Release);
    let platform = acpi::discover(boot);
    power::init(platform.power);
    clock::init(&platform);
    apic::init(platform.local_apic);
    apic::init_local(CpuId::BOOT);
    clock::calibrate_timer();
    ioapic::init(&platform);
    smp::init(&platform.processors);
    cpuid::init();
    if serial::is_present() && !ioapic::enable_line(serial::INTERRUPT_LINE) {
        report!("serial: no interrupt line");
    }
}

/// One round of a spin loop: pauses, and serves TLB shootdowns when interrupts are off and cannot.
pub fn relax() {
    core::hint::spin_loop();
    if !interrupts::enabled() {
        crate::tlb::serve();
    }
}

/// How many CPUs there may be; those that come up have lower numbers.
#[must_use]
pub fn cpu_count() -> usize {
    smp::possible()
}

/// The CPUs that run.
#[must_use]
pub fn online_cpus() -> CpuMask {
    smp::online()
}

/// Acknowledges and handles the interrupt that ended user mode: the `vector` of `Exit::Interrupt`. Interrupts are off.
pub fn dispatch_interrupt(vector: u8) {
    apic::dispatch(vector);
}
