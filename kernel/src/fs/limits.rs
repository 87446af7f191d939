//! The limit on the size of files (`RLIMIT_FSIZE`, setrlimit(2)).

use crate::errno::{Errno, Result};
use crate::signal::Signal;
use crate::task::{self, Resource};

/// How many of `wanted` bytes may be written at `position` in a file that can grow to `size_max` bytes.
///
/// # Errors
/// `EFBIG`, with SIGXFSZ if it is the caller's limit, when not even one byte may.
pub fn room_in_file(position: u64, wanted: usize, size_max: u64) -> Result {
    if position >= size_max {
        return Err(Errno::EFBIG);
    }
    let limit = caller_limit();
    if position >= limit {
        signal_caller();
        return Err(Errno::EFBIG);
    }
    let room = limit.min(size_max) - position;
    Ok(wanted.min(usize::try_from(room).unwrap_or(usize::MAX)))
}

/// Whether the caller may make a file `size` bytes large.
///
/// # Errors
/// `EFBIG`, with SIGXFSZ.
pub fn check_file_size(size: u64) -> Result<()> {
    if size <= caller_limit() {
        return Ok(());
    }
    signal_caller();
    Err(Errno::EFBIG)
}

fn caller_limit() -> u64 {
    task::try_current().map_or(u64::MAX, |thread| thread.process().limit(Resource::FileSize))
}

fn signal_caller() {
    crate::signal::send_to_current(Signal::SIGXFSZ);
}
