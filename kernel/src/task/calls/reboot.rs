//! reboot(2).

use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};
use crate::shutdown;
use crate::syscall::Caller;
use crate::task::Capability;

/// Stops, restarts or switches off the machine.
pub(super) fn reboot(
    caller: &mut Caller<'_>,
    magic: u32,
    magic2: u32,
    command: u32,
    _argument: u64,
) -> Result {
    if !caller.thread.credentials().has(Capability::SysBoot) {
        return Err(Errno::EPERM);
    }
    let second = [
        abi::LINUX_REBOOT_MAGIC2,
        abi::LINUX_REBOOT_MAGIC2A,
        abi::LINUX_REBOOT_MAGIC2B,
        abi::LINUX_REBOOT_MAGIC2C,
    ];
    if magic != abi::LINUX_REBOOT_MAGIC1 || !second.contains(&magic2) {
        return Err(Errno::EINVAL);
    }
    match command {
        abi::LINUX_REBOOT_CMD_RESTART | abi::LINUX_REBOOT_CMD_RESTART2 => shutdown::restart(),
        abi::LINUX_REBOOT_CMD_POWER_OFF => shutdown::power_off(),
        abi::LINUX_REBOOT_CMD_HALT => shutdown::halt(),
        // Ctrl-Alt-Del restarts nothing here, whichever way it is set.
        abi::LINUX_REBOOT_CMD_CAD_ON | abi::LINUX_REBOOT_CMD_CAD_OFF => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
