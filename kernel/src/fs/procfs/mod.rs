//! procfs: processes and the system's state as files (proc(5)).
//!
//! - [`root`] is the top directory: the table of fixed files, `self`, and a directory for each process;
//! - [`process`] has the tables behind `/proc/PID` and `/proc/PID/task/TID`, one area a file;
//! - [`descriptors`] lists open files, [`system`] is `/proc/sys`, the rest are the fixed files by area.
//!
//! All texts have the format of Linux 6.x. There is one instance, whatever the number of mounts.

mod counters;
mod descriptors;
mod hardware;
mod limits;
mod maps;
mod memory;
mod mounts;
mod number_directory;
mod process;
mod root;
mod schedstat;
mod scheduler;
mod smaps;
mod stat;
mod status;
mod subject;
mod system;

use alloc::sync::Arc;

use linux_raw_sys::general::PROC_SUPER_MAGIC;
use spin::Once;

use super::inode::{FileSystem, Inode};
use super::metadata::{DeviceNumber, Statistics};
use super::tmpfs::anonymous_device;
use crate::errno::Result;

pub use hardware::write_list;

/// The clock of process times in texts: 100 ticks a second (`USER_HZ`).
const TICK_NANOSECONDS: u64 = 10_000_000;

static COMMAND_LINE: Once<&'static str> = Once::new();

/// Sets what `/proc/cmdline` shows, once, at boot.
pub fn set_command_line(text: &'static str) {
    COMMAND_LINE.call_once(|| text);
}

fn command_line() -> &'static str {
    COMMAND_LINE.get().copied().unwrap_or("")
}

struct ProcFs;

/// The device number of procfs.
fn device() -> DeviceNumber {
    static DEVICE: Once<DeviceNumber> = Once::new();
    *DEVICE.call_once(anonymous_device)
}

/// The instance.
///
/// # Errors
/// None today; the signature is that of every type.
pub fn instance() -> Result<Arc<dyn FileSystem>> {
    Ok(Arc::new(ProcFs))
}

impl FileSystem for ProcFs {
    fn type_name(&self) -> &'static str {
        "proc"
    }

    fn device(&self) -> DeviceNumber {
        device()
    }

    fn root(&self) -> Arc<dyn Inode> {
        root::inode()
    }

    fn statistics(&self) -> Statistics {
        Statistics { magic: u64::from(PROC_SUPER_MAGIC), block_size: 4096, ..Statistics::default() }
    }
}

/// Nanoseconds as ticks.
fn ticks(time: arch::time::Nanos) -> u64 {
    time.0 / TICK_NANOSECONDS
}
