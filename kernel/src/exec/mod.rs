//! Running programs: execve(2), execveat(2), and the start of the first one.
//!
//! Everything that can fail happens before the caller's old program is touched: the file is found ([`program`]), its
//! headers planned ([`elf`], [`script`]), and a whole new address space is built with the initial stack in it ([`load`],
//! [`stack`]). Then [`commit`] makes the caller a single thread and swaps the new program in. The exception is Linux's own: a file
//! whose headers are acceptable and whose segments are not kills its caller.

mod arguments;
mod commit;
pub mod elf;
mod load;
mod privileges;
mod program;
pub mod randomisation;
pub mod script;
pub mod stack;

use alloc::sync::Arc;

use arch::context::UserContext;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};

use self::arguments::Budget;
use self::elf::Flaw;
use self::program::Invocation;
use self::stack::Strings;
use crate::errno::{Errno, Result};
use crate::fs::{self, Fd, Viewer, WalkFlags};
use crate::memory::user::{UserCString, UserPtr};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::{Resource, Thread};

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(59, execve(path: UserCString, arguments: UserPtr<u64>, environment: UserPtr<u64>)),
    syscall!(
        322,
        execveat(
            directory: Fd,
            path: UserCString,
            arguments: UserPtr<u64>,
            environment: UserPtr<u64>,
            flags: u32,
        )
    ),
];

/// Runs the program at `path` in place of the caller's (execve(2)).
fn execve(
    caller: &mut Caller<'_>,
    path: UserCString,
    arguments: UserPtr<u64>,
    environment: UserPtr<u64>,
) -> Result {
    execveat(caller, Fd::CWD, path, arguments, environment, 0)
}

/// Runs the program that `directory` and `path` name in place of the caller's (execveat(2)).
fn execveat(
    caller: &mut Caller<'_>,
    directory: Fd,
    path: UserCString,
    arguments: UserPtr<u64>,
    environment: UserPtr<u64>,
    flags: u32,
) -> Result {
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk = WalkFlags::empty();
    walk.set(WalkFlags::EMPTY, flags & AT_EMPTY_PATH != 0);
    walk.set(WalkFlags::FOLLOW, flags & AT_SYMLINK_NOFOLLOW == 0);
    let path = path.read_path()?;
    let start = fs::start_of_walk(caller, directory, &path)?;
    let mut budget = Budget::new(caller.thread.process().limit(Resource::Stack));
    budget.take(path.len())?;
    let mut invocation = Invocation {
        name: program::shown_name(directory, &path)?,
        arguments: arguments::read_list(arguments, &mut budget)?,
        environment: arguments::read_list(environment, &mut budget)?,
    };
    if invocation.arguments.count == 0 {
        // Linux gives a program that was started without any arguments an empty one.
        invocation.arguments.push(b"")?;
    }
    let context = caller.thread.fs();
    let viewer = Viewer::new(&context, caller.thread.credentials());
    let directory = context.working_directory();
    let outcome = program::find(&viewer, start, &directory, &path, walk, &mut invocation)
        .map_err(Flaw::Refused)
        .and_then(|program| load::build(caller.thread, &viewer, program, &invocation));
    match outcome {
        Ok(loaded) => {
            *caller.context = commit::commit(caller.thread, loaded)?;
            Ok(0)
        }
        Err(Flaw::Refused(errno)) => Err(errno),
        Err(Flaw::Fatal) => {
            commit::kill(caller.thread);
            Err(Errno::ENOEXEC)
        }
    }
}

/// Runs the program at `path` in the calling thread, whose process the kernel has just made. Returns its registers.
///
/// # Errors
/// Those of execve.
pub fn execute_first(
    thread: &Arc<Thread>,
    path: &[u8],
    arguments: Strings,
    environment: Strings,
) -> Result<UserContext> {
    let viewer = Viewer::new(&thread.fs(), thread.credentials());
    let mut invocation = Invocation { name: fs::try_copy(path)?, arguments, environment };
    let start = viewer.root.clone();
    let program =
        program::find(&viewer, start.clone(), &start, path, WalkFlags::FOLLOW, &mut invocation)?;
    let loaded = load::build(thread, &viewer, program, &invocation).map_err(|flaw| match flaw {
        Flaw::Refused(errno) => errno,
        Flaw::Fatal => Errno::ENOEXEC,
    })?;
    commit::commit(thread, loaded)
}
