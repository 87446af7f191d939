//! Stopping the machine: halt, emulator exit, power-off, reboot.
//!
//! The registers come from ACPI's tables at boot; using them takes no locks, so a panic can.

use core::arch::asm;

use spin::Once;
use x86_64::instructions::port::Port;
use x86_64::structures::DescriptorTablePointer;

use super::acpi::{PowerRegisters, Register};
use super::interrupts;

/// Port of QEMU's `isa-debug-exit` device.
const DEBUG_EXIT: u16 = 0xf4;
/// SCI_EN and SLP_EN in the PM1 control register (ACPI 6.5, table 4.13).
const SCI_ENABLED: u32 = 1;
const SLEEP: u32 = 1 << 13;
const SLEEP_TYPE_SHIFT: u32 = 10;

static REGISTERS: Once<PowerRegisters> = Once::new();

/// Records the registers.
pub(super) fn init(registers: PowerRegisters) {
    REGISTERS.call_once(|| registers);
}

impl Register {
    fn read(self) -> u32 {
        // SAFETY: firmware describes the register, and memory registers are mapped.
        unsafe {
            match self {
                Self::Port(port, 1) => Port::<u8>::new(port).read().into(),
                Self::Port(port, 2) => Port::<u16>::new(port).read().into(),
                Self::Port(port, _) => Port::<u32>::new(port).read(),
                Self::Memory(address, 1) => (address as *const u8).read_volatile().into(),
                Self::Memory(address, 2) => (address as *const u16).read_volatile().into(),
                Self::Memory(address, _) => (address as *const u32).read_volatile(),
            }
        }
    }

    fn write(self, value: u32) {
        // SAFETY: as `read`; the callers write what the specification says.
        unsafe {
            match self {
                Self::Port(port, 1) => Port::<u8>::new(port).write(value as u8),
                Self::Port(port, 2) => Port::<u16>::new(port).write(value as u16),
                Self::Port(port, _) => Port::<u32>::new(port).write(value),
                Self::Memory(address, 1) => (address as *mut u8).write_volatile(value as u8),
                Self::Memory(address, 2) => (address as *mut u16).write_volatile(value as u16),
                Self::Memory(address, _) => (address as *mut u32).write_volatile(value),
            }
        }
    }
}

/// Stops this CPU for good.
pub fn halt() -> ! {
    let _ = interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}

/// Ends QEMU with status `code * 2 + 1` where it has the `isa-debug-exit` device; halts elsewhere.
pub fn exit_emulator(code: u8) -> ! {
    // SAFETY: the port belongs to the debug device or to nothing.
    unsafe { Port::new(DEBUG_EXIT).write(u32::from(code)) };
    halt()
}

/// Turns the machine off through ACPI's S5 state. Where there is no such state, as on Firecracker, whose only way to end is a
/// reset, it resets.
pub fn power_off() -> ! {
    let _ = interrupts::disable();
    let Some((registers, kinds)) =
        REGISTERS.get().and_then(|registers| Some((registers, registers.sleep_types?)))
    else {
        reset_by_keyboard_controller();
        triple_fault();
    };
    sleep_fixed(registers, kinds);
    if let Some(control) = registers.sleep_control {
        control.write(u32::from(kinds[0]) << 2 | 1 << 5);
    }
    halt()
}

/// S5 by the PM1 control registers (ACPI 6.5, 16.1.7).
fn sleep_fixed(registers: &PowerRegisters, kinds: [u8; 2]) {
    let [Some(first), second] = registers.control else { return };
    if let Some((port, value)) = registers.enable.filter(|_| first.read() & SCI_ENABLED == 0) {
        // SAFETY: the port and value that firmware names for switching ACPI mode on.
        unsafe { Port::<u8>::new(port).write(value) };
        let enabled = || first.read() & SCI_ENABLED != 0;
        for _ in 0..1000 {
            if enabled() {
                break;
            }
            pause();
        }
    }
    for (control, kind) in [(Some(first), kinds[0]), (second, kinds[1])] {
        if let Some(control) = control {
            let kept = control.read() & !(7 << SLEEP_TYPE_SHIFT | SLEEP);
            control.write(kept | u32::from(kind) << SLEEP_TYPE_SHIFT | SLEEP);
        }
    }
    pause();
}

/// Restarts the machine: by ACPI's reset register, the chipset's, the keyboard controller, and at last a triple fault.
pub fn reboot() -> ! {
    let _ = interrupts::disable();
    if let Some((register, value)) = REGISTERS.get().and_then(|registers| registers.reset) {
        register.write(value.into());
        pause();
    }
    // SAFETY: the reset control register of PC chipsets: hard reset, then do it.
    unsafe {
        Port::<u8>::new(0xcf9).write(0x02);
        Port::<u8>::new(0xcf9).write(0x06);
    }
    pause();
    reset_by_keyboard_controller();
    triple_fault()
}

/// Pulses the reset line of the 8042.
fn reset_by_keyboard_controller() {
    // SAFETY: the command port of the keyboard controller.
    unsafe { Port::<u8>::new(0x64).write(0xfe) };
    pause();
}

/// Raises an exception that cannot be delivered.
fn triple_fault() -> ! {
    let empty = DescriptorTablePointer { limit: 0, base: x86_64::VirtAddr::zero() };
    // SAFETY: nothing runs after this.
    unsafe {
        x86_64::instructions::tables::lidt(&empty);
        asm!("int3");
    }
    halt()
}

/// Gives the hardware a moment to act.
fn pause() {
    for _ in 0..1_000_000 {
        core::hint::spin_loop();
    }
}
