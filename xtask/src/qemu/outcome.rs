//! What the end of a run means.
//!
//! The kernel ends a run in one of two ways. An orderly power-off goes through ACPI, and QEMU ends
//! with status 0. Otherwise the kernel writes a value to the `isa-debug-exit` device, and QEMU ends
//! with twice that value plus one: `0x70` for a panic, `min(n, 63)` when the first program exited
//! with status n other than zero (63 as well when a signal ended it).
//!
//! Status 0 alone proves nothing, as a triple fault resets the machine and QEMU, told not to
//! reboot, then ends with 0 too. The reason in QEMU's `SHUTDOWN` event tells them apart.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

/// What the kernel writes to the debug-exit device when it panics.
const PANIC_VALUE: u8 = 0x70;
/// The largest exit status of the first program that is told apart from larger ones.
const LARGEST_STATUS: u8 = 0x3f;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The guest powered the machine off.
    PoweredOff,
    /// The first program ended with this status, which is not zero.
    FirstProgramExited(u8),
    /// The kernel panicked.
    Panicked,
    /// The machine was reset: the guest rebooted, or a triple fault did.
    Reset,
    /// The person at the terminal told QEMU to quit.
    Quit,
    /// QEMU itself failed, with this exit status.
    QemuFailed(i32),
    /// A signal ended QEMU.
    QemuKilled(i32),
    /// QEMU ended with status 0 and gave no reason.
    Unexplained,
}

impl Outcome {
    /// Reads QEMU's exit status and the reason that its `SHUTDOWN` event gave, if any.
    pub fn new(status: ExitStatus, reason: Option<&str>) -> Self {
        match (status.code(), reason) {
            (None, _) => Self::QemuKilled(status.signal().unwrap_or(0)),
            (Some(0), Some("guest-shutdown")) => Self::PoweredOff,
            (Some(0), Some("guest-reset" | "guest-panic")) => Self::Reset,
            (Some(0), Some(reason)) if reason.starts_with("host-") => Self::Quit,
            (Some(0), _) => Self::Unexplained,
            (Some(code), _) => Self::from_debug_exit(code),
        }
    }

    /// What a status other than zero says. 1 is QEMU's own: the kernel never writes zero.
    fn from_debug_exit(code: i32) -> Self {
        let value = u8::try_from(code / 2).unwrap_or(u8::MAX);
        match value {
            PANIC_VALUE if code % 2 == 1 => Self::Panicked,
            1..=LARGEST_STATUS if code % 2 == 1 => Self::FirstProgramExited(value),
            _ => Self::QemuFailed(code),
        }
    }

    /// The exit status by which this tool passes the outcome on.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::PoweredOff | Self::Quit => 0,
            Self::FirstProgramExited(status) => status,
            Self::Panicked => 101,
            Self::Reset => 102,
            Self::QemuFailed(_) | Self::QemuKilled(_) | Self::Unexplained => 103,
        }
    }

    /// The same as this process's exit code.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => write!(formatter, "the guest powered off"),
            Self::FirstProgramExited(LARGEST_STATUS) => {
                write!(formatter, "the first program was killed, or exited with 63 or more")
            }
            Self::FirstProgramExited(status) => {
                write!(formatter, "the first program exited with status {status}")
            }
            Self::Panicked => write!(formatter, "the kernel panicked"),
            Self::Reset => write!(
                formatter,
                "the machine was reset instead of powered off: a reboot or a triple fault"
            ),
            Self::Quit => write!(formatter, "QEMU was told to quit"),
            Self::QemuFailed(status) => write!(formatter, "QEMU failed with status {status}"),
            Self::QemuKilled(signal) => write!(formatter, "signal {signal} ended QEMU"),
            Self::Unexplained => write!(formatter, "QEMU ended without giving a reason"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: i32, reason: Option<&str>) -> Outcome {
        Outcome::new(ExitStatus::from_raw(code << 8), reason)
    }

    #[test]
    fn only_a_power_off_by_the_guest_is_success() {
        assert_eq!(outcome(0, Some("guest-shutdown")), Outcome::PoweredOff);
        assert_eq!(outcome(0, Some("guest-reset")), Outcome::Reset);
        assert_eq!(outcome(0, None), Outcome::Unexplained);
        assert_eq!(outcome(0, Some("host-qmp-quit")), Outcome::Quit);
        assert_eq!(Outcome::PoweredOff.exit_status(), 0);
        assert_ne!(Outcome::Reset.exit_status(), 0);
        assert_ne!(Outcome::Unexplained.exit_status(), 0);
    }

    #[test]
    fn the_debug_exit_device_tells_panic_from_status() {
        assert_eq!(outcome(225, None), Outcome::Panicked);
        assert_eq!(outcome(3, None), Outcome::FirstProgramExited(1));
        assert_eq!(outcome(127, None), Outcome::FirstProgramExited(63));
        assert_eq!(outcome(127, None).exit_status(), 63);
        assert_eq!(Outcome::Panicked.exit_status(), 101);
    }

    #[test]
    fn qemus_own_failures_are_not_the_guests() {
        assert_eq!(outcome(1, None), Outcome::QemuFailed(1));
        assert_eq!(outcome(2, None), Outcome::QemuFailed(2));
        assert_eq!(outcome(129, None), Outcome::QemuFailed(129));
        assert_eq!(Outcome::new(ExitStatus::from_raw(9), None), Outcome::QemuKilled(9));
    }
}
