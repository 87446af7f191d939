//! The local APIC of each CPU, and what happens when an interrupt arrives.
//!
//! x2APIC mode where the processor has it, memory-mapped registers elsewhere; the `x2apic` crate's `LocalApic` hides most
//! of the difference. It belongs to its CPU, so it lives in the CPU's area and is used with interrupts off.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use x2apic::lapic::{LocalApic, LocalApicBuilder, TimerDivide, TimerMode};
use x86_64::registers::model_specific::Msr;

use super::{interrupts, ioapic, memory, percpu, serial, traps};
use crate::addr::{PAGE_SIZE, PhysAddr};
use crate::cpu::{CpuId, MAX_CPUS};
use crate::events::Interrupt;

/// Register offsets (Intel SDM vol. 3A, table 11-1); the x2APIC MSR is 0x800 plus a sixteenth.
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const ERROR_STATUS: u32 = 0x280;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;

const LVT_MASKED: u32 = 1 << 16;
const LVT_NMI: u32 = 4 << 8;
const MSR_TSC_DEADLINE: u32 = 0x6e0;

/// How much slower the one-shot timer counts than its clock: coarse enough to reach a minute ahead.
pub(super) const TIMER_DIVISOR: u64 = 16;

/// Where the registers are mapped; unused in x2APIC mode.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);
static X2APIC: AtomicBool = AtomicBool::new(false);
/// Whether the timer compares with the time-stamp counter.
static DEADLINE_TIMER: AtomicBool = AtomicBool::new(false);
/// The APIC id of each CPU.
static IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// One CPU's local APIC.
pub(super) struct LocalUnit(LocalApic);

/// Chooses the mode and maps the registers at physical `base`. Once, on the boot processor.
pub(super) fn init(base: u64) {
    let cpuid = raw_cpuid::CpuId::new();
    let x2apic = cpuid.get_feature_info().is_some_and(|info| info.has_x2apic());
    X2APIC.store(x2apic, Ordering::Relaxed);
    if !x2apic {
        let registers = memory::map_device(PhysAddr::new(base), PAGE_SIZE)
            .expect("no memory to map the local APIC");
        REGISTERS.store(registers as usize, Ordering::Relaxed);
    }
}

/// Whether APIC ids have 32 bits.
pub(super) fn is_x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

/// From now on the timer compares with the time-stamp counter, on every CPU that is set up later.
pub(super) fn use_deadline_timer() {
    DEADLINE_TIMER.store(true, Ordering::Relaxed);
}

/// Whether the timer compares with the time-stamp counter.
pub(super) fn has_deadline_timer() -> bool {
    DEADLINE_TIMER.load(Ordering::Relaxed)
}

/// Sets the running CPU's local APIC up, with the timer stopped. Interrupts are off.
pub(super) fn init_local(cpu: CpuId) {
    let mode = if has_deadline_timer() { TimerMode::TscDeadline } else { TimerMode::OneShot };
    let mut apic = LocalApicBuilder::new()
        .timer_vector(traps::TIMER.into())
        .error_vector(traps::APIC_ERROR.into())
        .spurious_vector(traps::SPURIOUS.into())
        .timer_mode(mode)
        .timer_divide(TimerDivide::Div16)
        .timer_initial(0)
        .set_xapic_base(REGISTERS.load(Ordering::Relaxed) as u64)
        .build()
        .expect("all that the builder needs is given");
    // SAFETY: the registers are mapped, or the MSRs exist; the vectors have gates. Legacy interrupts through LINT0 stay
    // off, LINT1 is the NMI line of every PC.
    unsafe {
        apic.enable();
        write(LVT_LINT0, LVT_MASKED);
        write(LVT_LINT1, LVT_NMI);
        write(ERROR_STATUS, 0);
        write(LVT_ERROR, traps::APIC_ERROR.into());
        write(TASK_PRIORITY, 0);
        // The mode must have reached the timer before its deadline is written (Intel SDM vol. 3A, 11.5.4.1).
        asm!("mfence", options(nostack, preserves_flags));
    }
    IDS[cpu.index()].store(local_id(), Ordering::Relaxed);
    // SAFETY: the running CPU's own area, with interrupts off.
    unsafe { *(*percpu::area()).local_apic.get() = Some(LocalUnit(apic)) };
}

/// The APIC id of `cpu`, once it is set up.
pub(super) fn id_of(cpu: CpuId) -> u32 {
    IDS[cpu.index()].load(Ordering::Relaxed)
}

/// The running CPU's APIC id.
pub(super) fn local_id() -> u32 {
    // SAFETY: reading the id has no effect; the registers are mapped or the MSRs exist.
    let raw = unsafe { read(ID) };
    if is_x2apic() { raw } else { raw >> 24 }
}

/// # Safety
/// `register` exists and may be read.
unsafe fn read(register: u32) -> u32 {
    if is_x2apic() {
        // SAFETY: by contract.
        unsafe { Msr::new(0x800 + (register >> 4)).read() as u32 }
    } else {
        let address = REGISTERS.load(Ordering::Relaxed) + register as usize;
        // SAFETY: by contract; the page is mapped by `init`.
        unsafe { (address as *const u32).read_volatile() }
    }
}

/// # Safety
/// `register` exists and `value` is one that the kernel can live with.
unsafe fn write(register: u32, value: u32) {
    if is_x2apic() {
        // SAFETY: by contract.
        unsafe { Msr::new(0x800 + (register >> 4)).write(value.into()) }
    } else {
        let address = REGISTERS.load(Ordering::Relaxed) + register as usize;
        // SAFETY: by contract; the page is mapped by `init`.
        unsafe { (address as *mut u32).write_volatile(value) }
    }
}

/// Runs `use_it` on this CPU's local APIC, if it is set up. Interrupts are off meanwhile.
pub(super) fn with_local<R>(use_it: impl FnOnce(&mut LocalApic) -> R) -> Option<R> {
    let saved = interrupts::disable();
    // SAFETY: the running CPU's own area; with interrupts off nobody else borrows the unit (NMIs do not use it).
    let unit = unsafe { (*(*percpu::area()).local_apic.get()).as_mut() };
    let result = unit.map(|unit| use_it(&mut unit.0));
    interrupts::restore(saved);
    result
}

/// A kind of message to the CPU with APIC id `destination`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Vector(u8),
    Nmi,
    Init,
    /// Start at this page of low memory.
    StartUp(u8),
}

/// Sends `message` to the CPU with APIC id `destination`.
pub(super) fn send(destination: u32, message: Message) {
    // How often to look whether the last message has left; in practice it has.
    const PATIENCE: u32 = 100_000;
    with_local(|apic| {
        let destination = if is_x2apic() {
            // SAFETY: only fences. In x2APIC mode the message would not wait for earlier stores by itself (Intel SDM
            // vol. 3A, 11.12.3).
            unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
            destination
        } else {
            // SAFETY: reads the command register.
            let pending = |apic: &LocalApic| unsafe { apic.get_ipi_delivery_status() };
            let mut patience = PATIENCE;
            while pending(apic) && patience > 0 {
                patience -= 1;
                core::hint::spin_loop();
            }
            destination << 24
        };
        // SAFETY: the vectors that are sent have gates on every CPU; INIT and start-up go to processors that do not run.
        unsafe {
            match message {
                Message::Vector(vector) => apic.send_ipi(vector, destination),
                Message::Nmi => apic.send_nmi(destination),
                Message::Init => apic.send_init_ipi(destination),
                Message::StartUp(page) => apic.send_sipi(page, destination),
            }
        }
    });
}

/// Arms the timer to interrupt when the time-stamp counter reaches `deadline`; zero stops it.
pub(super) fn set_deadline(deadline: u64) {
    // SAFETY: the MSR exists in this mode.
    unsafe { Msr::new(MSR_TSC_DEADLINE).write(deadline) };
}

/// Arms the timer to interrupt after `count` ticks; zero stops it.
pub(super) fn set_countdown(count: u32) {
    // SAFETY: the vector has a gate.
    with_local(|apic| unsafe { apic.set_timer_initial(count) });
}

/// What is left of the countdown.
pub(super) fn countdown() -> u32 {
    // SAFETY: reads a register.
    with_local(|apic| unsafe { apic.timer_current() }).unwrap_or(0)
}

fn acknowledge() {
    // SAFETY: ends the interrupt that this CPU is serving.
    with_local(|apic| unsafe { apic.end_of_interrupt() });
}

/// Acknowledges and handles the interrupt `vector`. Interrupts are off.
pub(super) fn dispatch(vector: u8) {
    traps::count(vector);
    let event = match vector {
        // Not in service, so not to be acknowledged (Intel SDM vol. 3A, 11.9).
        traps::SPURIOUS => return,
        traps::TIMER => Interrupt::Timer,
        traps::RESCHEDULE => Interrupt::Reschedule,
        traps::CALL => Interrupt::Call,
        traps::TLB_SHOOTDOWN => {
            acknowledge();
            return crate::tlb::serve();
        }
        traps::APIC_ERROR => {
            // SAFETY: writing the error register latches and clears it (Intel SDM vol. 3A, 11.5.3).
            unsafe { write(ERROR_STATUS, 0) };
            return acknowledge();
        }
        _ => match ioapic::line_of(vector) {
            Some(line) => Interrupt::Device(line),
            // Nobody should raise it; the counters show that somebody does.
            None => return acknowledge(),
        },
    };
    // An edge that arrives while the handler runs must not be lost, so the acknowledgement comes first; lines that are
    // level-triggered would only come again, and are acknowledged after the handler quietened the device.
    let level = matches!(event, Interrupt::Device(line) if ioapic::is_level(line));
    if !level {
        acknowledge();
    }
    if let Some(handlers) = super::handlers() {
        (handlers.interrupt)(event);
        if event == Interrupt::Device(serial::INTERRUPT_LINE) {
            drain_serial(handlers.interrupt);
        }
    }
    if level {
        acknowledge();
    }
}

/// Repeats the serial port's interrupt until the port is quiet. Its line is edge-triggered: an event that comes while
/// another is served keeps the line up, and without a new edge no interrupt would ever come again.
fn drain_serial(handler: fn(Interrupt)) {
    // A port that is never quiet is broken or absent.
    const PATIENCE: usize = 256;
    for _ in 0..PATIENCE {
        if !serial::is_interrupting() {
            return;
        }
        handler(Interrupt::Device(serial::INTERRUPT_LINE));
    }
}
