//! The kernel's glue to the memory manager: heap, user copies, page faults, memory system calls.

mod barrier;
mod calls;
pub mod fault;
pub mod heap;
pub mod pressure;
mod process_vm;
mod report;
pub mod user;

use mm::MmError;

pub use heap::{heap, memory};
pub use report::log_counters;

use crate::errno::Errno;
use crate::syscall::Syscall;

/// The system calls on memory.
pub const SYSCALLS: &[&[Syscall]] = &[barrier::SYSCALLS, calls::SYSCALLS, process_vm::SYSCALLS];

/// KiB of kernel memory that the small allocations of one system call may take: what [`mm::Memory::credit`] promises.
pub const CALL_CREDIT_KIB: u32 = 64;

/// The errno that stands for `error`.
#[must_use]
pub fn errno_of(error: MmError) -> Errno {
    match error {
        MmError::NoMemory => Errno::ENOMEM,
        MmError::InvalidArgument => Errno::EINVAL,
        MmError::AccessDenied => Errno::EACCES,
        MmError::Exists => Errno::EEXIST,
        MmError::NotPermitted => Errno::EPERM,
        MmError::LockLimit | MmError::TryAgain => Errno::EAGAIN,
        MmError::BadAddress => Errno::EFAULT,
        MmError::Busy => Errno::EBUSY,
        MmError::Overflow => Errno::EOVERFLOW,
        MmError::Io => Errno::EIO,
        MmError::Interrupted => Errno::EINTR,
    }
}
