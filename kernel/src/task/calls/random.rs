//! getrandom(2).

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};
use crate::memory::user::store;
use crate::random;
use crate::syscall::Caller;

/// Stores random bytes. The generator is seeded at its first use, so nobody ever waits. Long requests end early when a
/// signal comes, as on Linux.
pub(super) fn getrandom(
    caller: &mut Caller<'_>,
    buffer: UserAddr,
    length: usize,
    flags: u32,
) -> Result {
    let both = abi::GRND_RANDOM | abi::GRND_INSECURE;
    if flags & !(abi::GRND_NONBLOCK | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let length = length.min(i32::MAX as usize);
    let mut chunk = [0; 256];
    let mut done = 0;
    while done < length {
        let wanted = (length - done).min(chunk.len());
        random::fill(&mut chunk[..wanted]);
        let Some(at) = buffer.checked_add(done as u64) else { break };
        let stored = store(at, &chunk[..wanted]);
        done += stored;
        if stored < wanted || caller.thread.has_pending_signal() {
            break;
        }
    }
    if done == 0 && length > 0 { Err(Errno::EFAULT) } else { Ok(done) }
}
