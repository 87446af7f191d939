//! Taking the system down: power-off, restart, and what happens when the first program ends.

use crate::log::{Level, record};
use crate::memory::log_counters;

/// The exit status of QEMU's debug-exit device has seven bits; larger statuses of the first program are cut to this.
const STATUS_LIMIT: u8 = 0x3f;

/// How the first program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It called exit with this status.
    Exited(u8),
    /// A signal of this number killed it.
    Killed(u8),
}

/// The first program has ended, so the run has: power off if all went well, else leave the emulator with a failing
/// status.
pub fn init_ended(end: End) -> ! {
    match end {
        End::Exited(0) => power_off(),
        End::Exited(status) => {
            announce(format_args!("the first program exited with status {status}"));
            leave(status.min(STATUS_LIMIT))
        }
        End::Killed(signal) => {
            announce(format_args!("the first program was killed by signal {signal}"));
            leave(STATUS_LIMIT)
        }
    }
}

/// Switches the machine off.
pub fn power_off() -> ! {
    log_counters(Level::Info);
    announce(format_args!("reboot: Power down"));
    arch::ipi::stop_others();
    arch::power::power_off()
}

/// Restarts the machine.
pub fn restart() -> ! {
    announce(format_args!("reboot: Restarting system"));
    arch::ipi::stop_others();
    arch::power::reboot()
}

/// Stops all CPUs and leaves the power on.
pub fn halt() -> ! {
    announce(format_args!("reboot: System halted"));
    arch::ipi::stop_others();
    arch::power::halt()
}

fn announce(message: core::fmt::Arguments<'_>) {
    record(Level::Emergency, message);
}

fn leave(code: u8) -> ! {
    arch::ipi::stop_others();
    arch::power::exit_emulator(code)
}
