//! What is to be done where `bench` is the first program of a machine.
//!
//! Then nobody has mounted anything or opened a console, and when it ends nobody powers the machine off.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::reboot::{RebootMode, reboot};
use nix::time::{ClockId, clock_gettime};

use super::clock::ticks;
use super::report::{self, Line};
use crate::init::mounts;
use crate::sys;

/// Says that this is the first process; to be ended by [`FirstProcess::power_off`].
#[derive(Debug)]
#[must_use = "the machine must be powered off in the end"]
pub struct FirstProcess;

/// Takes the times of entry, and, as first process, sets up what the cases expect and prints them.
pub fn prepare() -> Option<FirstProcess> {
    let (ticks, time) = (ticks(), clock_gettime(ClockId::CLOCK_BOOTTIME));
    if std::process::id() != 1 {
        return None;
    }
    for directory in ["/proc", "/sys", "/dev", "/tmp"] {
        // Where it exists or cannot be made, mounting will tell.
        let _ = fs::create_dir(directory);
    }
    mounts::mount_all();
    open_console();
    if let Ok(time) = time {
        let nanoseconds = time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
        report::print(&Line::Boot { boot_to_init: nanoseconds, ticks });
    }
    Some(FirstProcess)
}

/// Opens the console where the kernel has not: Linux does not when the initial file system lacks the node.
fn open_console() {
    if fcntl(io::stdout(), FcntlArg::F_GETFD).is_ok() {
        return;
    }
    if let Ok(console) = fs::File::options().read(true).write(true).open("/dev/console") {
        for target in 0..3 {
            // Without a console there is nobody to tell that there is none.
            let _ = sys!(SYS_dup2, console.as_raw_fd(), target);
        }
        if console.as_raw_fd() < 3 {
            std::mem::forget(console);
        }
    }
}

impl FirstProcess {
    /// Powers the machine off.
    pub fn power_off(self) {
        nix::unistd::sync();
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        eprintln!("bench: cannot power off: {error}");
    }
}
