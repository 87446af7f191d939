//! The point of no return: the caller becomes the new program.

use alloc::sync::Arc;

use arch::context::{SegmentBases, UserContext};

use super::load::Loaded;
use crate::errno::Result;
use crate::signal::{Signal, send};
use crate::task::{self, CoreFile, ExitStatus, Name, NewProgram, Thread};

/// RFLAGS of a new program: interrupts enabled, and the bit that is always set (Intel SDM vol. 1, 3.4.3).
const FLAGS: u64 = 0x202;

/// Makes `thread` run `loaded`, alone in its process. Returns its registers.
///
/// # Errors
/// `EAGAIN` when another thread of the process does the same, `EINTR` when the process is to end. The old program
/// is still there then.
pub fn commit(thread: &Arc<Thread>, loaded: Loaded) -> Result<UserContext> {
    task::become_single_threaded(thread)?;
    let Loaded { space, image, entry, stack_pointer, name, credentials, privileges } = loaded;
    let program = NewProgram { space, image, name: Name::new(&name), credentials, privileges };
    task::replace_image(thread, program);
    arch::thread::set_segment_bases(SegmentBases::default());
    Ok(UserContext { rip: entry, rsp: stack_pointer, rflags: FLAGS, ..UserContext::default() })
}

/// Ends the caller as Linux does when it finds a program broken after it has thrown the old one away.
pub fn kill(thread: &Arc<Thread>) {
    let status = ExitStatus::Killed(Signal::SIGSEGV, CoreFile::Absent);
    send::begin_exit(&mut thread.process().signals(), status);
}
