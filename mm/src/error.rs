//! What can go wrong here, in the terms of `mmap(2)` and its relatives. The kernel maps each variant to one errno.

use core::fmt;

/// Why an operation on an address space failed. Each variant names its errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmError {
    /// `ENOMEM`: no memory, no room in the address space, too many mappings, a limit, or a hole in the range.
    NoMemory,
    /// `EINVAL`: an argument that is never right: misaligned, empty, contradictory.
    InvalidArgument,
    /// `EACCES`: the mapped file does not permit the protection that is asked for.
    AccessDenied,
    /// `EEXIST`: `MAP_FIXED_NOREPLACE` found something mapped.
    Exists,
    /// `EPERM`: locking is not permitted (`RLIMIT_MEMLOCK` is 0).
    NotPermitted,
    /// `EAGAIN`: more memory would be locked than `RLIMIT_MEMLOCK` allows.
    LockLimit,
    /// `EAGAIN`: areas cannot be cut for advice about a part of one: no memory for that, or too many areas.
    TryAgain,
    /// `EFAULT`: an address in the range is not mapped (`mremap`, remote access).
    BadAddress,
    /// `EBUSY`: `msync(MS_INVALIDATE)` of a locked range.
    Busy,
    /// `EOVERFLOW`: the mapping would run past the largest offset of its object.
    Overflow,
    /// `EIO`: the object could not supply a page.
    Io,
    /// `EINTR`, which nobody sees: the thread is to end, and what was to be done for it is left half done.
    Interrupted,
}

impl fmt::Display for MmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "out of memory or address space",
            Self::InvalidArgument => "invalid argument",
            Self::AccessDenied => "the file does not permit this protection",
            Self::Exists => "something is mapped there",
            Self::NotPermitted => "locking memory is not permitted",
            Self::LockLimit => "too much locked memory",
            Self::TryAgain => "areas cannot be cut now",
            Self::BadAddress => "address not mapped",
            Self::Busy => "the range is locked in memory",
            Self::Overflow => "past the largest offset",
            Self::Io => "the object could not supply a page",
            Self::Interrupted => "the thread is to end",
        })
    }
}

impl core::error::Error for MmError {}

/// No frame could be had: memory is used up, or down to what is kept for the kernel itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

impl From<OutOfMemory> for MmError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::NoMemory
    }
}

/// Why a page fault cannot be resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// Nothing is mapped there: `SIGSEGV` with `SEGV_MAPERR`.
    MapErr,
    /// The mapping forbids the access: `SIGSEGV` with `SEGV_ACCERR`.
    AccErr,
    /// The mapping lies past the end of its object, or the object failed: `SIGBUS` with `BUS_ADRERR`.
    Bus,
    /// No memory is left: the kernel may kill somebody and repeat the access.
    NoMemory,
}

impl From<OutOfMemory> for FaultError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::NoMemory
    }
}
