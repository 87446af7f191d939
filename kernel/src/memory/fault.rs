//! Page faults on user memory, from user mode and from the kernel's own copies: [`resolve`].

use arch::addr::VirtAddr;
use arch::context::Access;
use arch::time::Nanos;
use arch::{clock, preempt};
use mm::{AddressSpace, FaultError};

use crate::scheduling::{ParkMode, block_current};
use crate::task::{self, Killed, Moment, Search, Thread, kill_one};

/// How long an ending process is given between two attempts to get memory.
const PAUSE: Nanos = Nanos::from_millis(2);
/// How long processes that are ending are waited for before another one is killed: one of them may need a lock whose holder
/// waits here.
const PATIENCE: Nanos = Nanos::from_secs(2);

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
    let limits = thread.process().memory_limits();
    let mut waited_from = None;
    loop {
        let before = Moment::now();
        match space.handle_fault(address, access, &limits) {
            Ok(_) => return Ok(()),
            Err(FaultError::NoMemory) if !thread.has_fatal_signal() => {
                let since = *waited_from.get_or_insert_with(clock::now);
                let search = if clock::now().saturating_sub(since) < PATIENCE {
                    Search::Patient
                } else {
                    waited_from = None;
                    Search::PastEnding
                };
                wait_for_memory(space, before, search)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Has somebody killed, and waits a moment for the memory.
fn wait_for_memory(space: &AddressSpace, before: Moment, search: Search) -> Result<(), FaultError> {
    match kill_one(space.memory().total_frames(), before, search) {
        Killed::One(_) | Killed::Pending => {
            // Ends at once if this process is the one that was killed; the caller looks.
            let _ended =
                block_current(ParkMode::Killable, Some(clock::now().saturating_add(PAUSE)), || {
                    false
                });
            Ok(())
        }
        Killed::Nobody => Err(FaultError::NoMemory),
    }
}

/// The machine's page-fault hook: kernel code touched user memory at `address`. Says whether to try again. Code that holds a spin
/// lock, and so must not sleep, is not made to wait for memory: its access fails.
pub fn in_kernel(address: VirtAddr, access: Access) -> bool {
    let Some(thread) = task::try_current() else { return false };
    let Some(space) = thread.space() else { return false };
    if preempt::count() > 0 {
        let limits = thread.process().memory_limits();
        return space.handle_fault(address, access, &limits).is_ok();
    }
    resolve(&thread, &space, address, access).is_ok()
}
