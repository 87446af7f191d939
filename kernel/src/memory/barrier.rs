//! membarrier(2): memory barriers on the CPUs that run other threads.
//!
//! Who has registered for what is kept with the address space, as Linux does: threads share it, fork(2) hands it on, and execve(2)
//! begins without. The barrier itself is [`AddressSpace::barrier`], which interrupts the CPUs that run in a space and no others, and
//! whose order is argued there. Here it is preceded and followed by a barrier of the caller's own.
//!
//! - *Private* barriers are for the caller's space; *global* ones for every space, *expedited* ones for those that have registered. A
//!   registration is itself followed by a barrier, so that whoever does not see it yet need not: all threads of the space have had theirs
//!   by the time the registration returns.
//! - To synchronise cores, and to restart sequences, the same interrupt does: it serialises, and a thread that comes back from one restarts
//!   its sequence ([`crate::rseq`]).
//!
//! A thread that is in the kernel for a system call meanwhile is interrupted there as well, and goes back to user mode after it.

use alloc::sync::Arc;

use arch::sync::atomic::{Ordering, fence};
use linux_raw_sys::general::{membarrier_cmd as abi, membarrier_cmd_flag};
use mm::AddressSpace;

use crate::errno::{Errno, Result};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::table;

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] = &[syscall!(324, membarrier(command: i32, flags: u32, cpu: i32))];

bitflags::bitflags! {
    /// What can be asked for: `MEMBARRIER_CMD_*`, one bit each. The registrations of a space are kept as the bits of what they allow.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Command: u32 {
        const GLOBAL = abi::MEMBARRIER_CMD_GLOBAL as u32;
        const GLOBAL_EXPEDITED = abi::MEMBARRIER_CMD_GLOBAL_EXPEDITED as u32;
        const REGISTER_GLOBAL_EXPEDITED = abi::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as u32;
        const PRIVATE_EXPEDITED = abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED as u32;
        const REGISTER_PRIVATE_EXPEDITED = abi::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as u32;
        const SYNC_CORE = abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as u32;
        const REGISTER_SYNC_CORE = abi::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as u32;
        const RSEQ = abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ as u32;
        const REGISTER_RSEQ = abi::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ as u32;
    }
}

/// `MEMBARRIER_CMD_FLAG_CPU`: only the CPU with that number matters.
const ONLY_ONE_CPU: u32 = membarrier_cmd_flag::MEMBARRIER_CMD_FLAG_CPU as u32;

/// Runs a command. A barrier for the one CPU that [`ONLY_ONE_CPU`] names is had by all that run the space.
fn membarrier(caller: &mut Caller<'_>, command: i32, flags: u32, cpu: i32) -> Result {
    let may_name_cpu = command == abi::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ as i32;
    if flags != 0 && !(may_name_cpu && flags == ONLY_ONE_CPU) {
        return Err(Errno::EINVAL);
    }
    if command == abi::MEMBARRIER_CMD_QUERY as i32 {
        return Ok(Command::all().bits() as usize);
    }
    let command = u32::try_from(command).ok().and_then(Command::from_bits).ok_or(Errno::EINVAL)?;
    let own = caller.thread.process().space().ok_or(Errno::EINVAL)?;
    // The caller's accesses before the call come before everything that others do after their barrier.
    fence(Ordering::SeqCst);
    match command {
        Command::GLOBAL => for_each_space(|space| space.barrier())?,
        Command::GLOBAL_EXPEDITED => {
            for_each_space(|space| {
                if is_registered(space, Command::GLOBAL_EXPEDITED) {
                    space.barrier();
                }
            })?;
        }
        Command::REGISTER_GLOBAL_EXPEDITED => register(&own, Command::GLOBAL_EXPEDITED),
        Command::REGISTER_PRIVATE_EXPEDITED => register(&own, Command::PRIVATE_EXPEDITED),
        Command::REGISTER_SYNC_CORE => register(&own, Command::SYNC_CORE),
        Command::REGISTER_RSEQ => register(&own, Command::RSEQ),
        Command::PRIVATE_EXPEDITED | Command::SYNC_CORE | Command::RSEQ => {
            if !is_registered(&own, command) {
                return Err(Errno::EPERM);
            }
            let is_nowhere = usize::try_from(cpu).is_ok_and(|cpu| cpu >= arch::cpu_count());
            if flags != ONLY_ONE_CPU || !is_nowhere {
                own.barrier();
            }
        }
        // Several bits at once are no command.
        _ => return Err(Errno::EINVAL),
    }
    // And what others did before theirs comes before the caller's accesses after the call.
    fence(Ordering::SeqCst);
    Ok(0)
}

fn is_registered(space: &AddressSpace, allowed: Command) -> bool {
    space.registrations().load(Ordering::SeqCst) & allowed.bits() != 0
}

/// Allows `what` in `space`.
fn register(space: &AddressSpace, what: Command) {
    let former = space.registrations().fetch_or(what.bits(), Ordering::SeqCst);
    if former & what.bits() == 0 {
        space.barrier();
    }
}

/// Calls `visit` for the memory of every process.
///
/// # Errors
/// `ENOMEM`.
fn for_each_space(mut visit: impl FnMut(&Arc<AddressSpace>)) -> Result<()> {
    for process in table::processes()? {
        if let Some(space) = process.space() {
            visit(&space);
        }
    }
    Ok(())
}
