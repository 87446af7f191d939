//! Stopping the machine: halt, emulator exit, power-off, reboot.

use x86_64::instructions::port::Port;

use super::interrupts;

/// Port of QEMU's `isa-debug-exit` device.
const DEBUG_EXIT: u16 = 0xf4;

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

/// Turns the machine off.
pub fn power_off() -> ! {
    halt()
}

/// Restarts the machine.
pub fn reboot() -> ! {
    halt()
}
