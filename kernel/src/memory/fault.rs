//! Page faults on user memory, from user mode and from the kernel's own copies: [`resolve`].

use arch::addr::VirtAddr;
use arch::context::Access;
use arch::preempt;
use mm::{AddressSpace, FaultError};

use super::pressure::{Hopeless, Shortage};
use crate::task::{self, Moment, Thread};

/// Makes `address` accessible to `thread`. When memory has run out somebody is killed and the fault is tried again,
/// until there is memory or `thread` itself is to end.
///
/// # Errors
/// Why the access is not allowed; `NoMemory` if `thread` is to end, or there is nobody left to kill.
pub fn resolve(
    thread: &Thread,
    space: &AddressSpace,
    address: VirtAddr,
    access: Access,
) -> Result<(), FaultError> {
    let limits = thread.process().growth_limits();
    let mut shortage = Shortage::default();
    loop {
        let before = Moment::now();
        match space.handle_fault(address, access, &limits) {
            Ok(_) => return Ok(()),
            Err(FaultError::NoMemory) => {
                shortage.wait(thread, before).map_err(|Hopeless| FaultError::NoMemory)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The machine's page-fault hook: kernel code touched user memory at `address`. Says whether to try again. Code that holds a spin
/// lock, and so must not sleep, is not made to wait for memory: its access fails.
pub fn in_kernel(address: VirtAddr, access: Access) -> bool {
    let Some(thread) = task::try_current() else { return false };
    let Some(space) = thread.space() else { return false };
    if preempt::count() > 0 {
        let limits = thread.process().growth_limits();
        return space.handle_fault(address, access, &limits).is_ok();
    }
    resolve(&thread, &space, address, access).is_ok()
}
