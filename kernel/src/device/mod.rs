//! Character devices: what is in /dev (null(4), zero(4), full(4), random(4), tty(4), console(4), kmsg).
//!
//! Each driver is a small file; [`register_all`] announces them. Terminals and their like live in [`crate::tty`] and
//! are only opened here.

mod kmsg;
mod memory;
mod numbers;
mod syslog;
mod terminal;

use alloc::sync::Arc;

use crate::fs::DeviceNumber;
use crate::fs::device::{CharacterDevice, Registration, register, register_major};
use crate::tty::pty::SLAVE_MAJOR;
pub use syslog::{SYSCALLS, announce_news};

/// Announces the devices.
pub fn register_all() {
    announce("null", 1, 3, 0o666, "mem", Arc::new(memory::Null));
    announce("zero", 1, 5, 0o666, "mem", Arc::new(memory::Zero));
    announce("full", 1, 7, 0o666, "mem", Arc::new(memory::Full));
    announce("random", 1, 8, 0o666, "mem", Arc::new(numbers::Random));
    announce("urandom", 1, 9, 0o666, "mem", Arc::new(numbers::Random));
    announce("kmsg", 1, 11, 0o644, "mem", Arc::new(kmsg::Kmsg));
    announce("ttyS0", 4, 64, 0o620, "ttyS", Arc::new(terminal::Serial));
    announce("tty", 5, 0, 0o666, "/dev/tty", Arc::new(terminal::Controlling));
    announce("console", 5, 1, 0o600, "/dev/console", Arc::new(terminal::Console));
    announce("ptmx", 5, 2, 0o666, "/dev/ptmx", Arc::new(terminal::Multiplexer));
    register_major(SLAVE_MAJOR, Arc::new(terminal::Slaves));
}

fn announce(
    name: &'static str,
    major: u32,
    minor: u32,
    permissions: u16,
    driver: &'static str,
    device: Arc<dyn CharacterDevice>,
) {
    let number = DeviceNumber::new(major, minor);
    register(Registration { number, name, permissions, driver, device });
}
