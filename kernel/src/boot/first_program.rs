//! The first program: found, given its arguments, and started as process 1.

use alloc::string::String;
use alloc::sync::Arc;

use arch::context::UserContext;
use spin::Once;

use super::command_line::{CommandLine, PanicTest};
use crate::errno::{Errno, Result};
use crate::exec::stack::Strings;
use crate::fs::{CloseOnExec, FileTable, OpenFlags, OpenRequest, Viewer, WalkFlags};
use crate::memory::memory;
use crate::task::Thread;
use crate::{cpu, exec, fs, log_error, log_info, log_warn, scheduling, task};

/// Where the first program is looked for when the command line names none.
const CANDIDATES: [&str; 4] = ["/init", "/sbin/init", "/bin/init", "/bin/sh"];
/// The environment that the first program starts with, before what the command line adds.
const ENVIRONMENT: [&str; 2] = ["HOME=/", "TERM=linux"];

/// What process 1 starts from. Written once, before it runs.
static COMMAND_LINE: Once<CommandLine> = Once::new();

/// Starts process 1, with the file system made from `archive`, as soon as this CPU is free.
///
/// # Panics
/// When there is no memory for a first process.
pub fn spawn(line: CommandLine, archive: Option<&'static [u8]>) {
    COMMAND_LINE.call_once(|| line);
    scheduling::start_watchdog().expect("memory for a kernel thread");
    // Making files may sleep, and the boot CPU's own thread must not.
    scheduling::spawn_kernel_thread("boot", move || make_process(archive))
        .expect("memory for a kernel thread");
}

fn make_process(archive: Option<&[u8]>) {
    fs::initialize(archive);
    cpu::name_silent_timers();
    // As Linux does (kernel/fork.c, `set_max_threads`): an eighth of memory for thread stacks, half of that a user's.
    let threads = (memory().total_frames() / 128).max(32);
    task::spawn_first(FileTable::new(), fs::initial_context(), threads, become_program)
        .expect("memory for the first process");
}

/// Runs in process 1: turns it into the first program that can be executed. Returns its registers.
///
/// # Errors
/// `ENOENT` when there is none.
///
/// # Panics
/// When the command line asks for a panic.
fn become_program(thread: &Arc<Thread>) -> Result<UserContext> {
    let line = COMMAND_LINE.get().ok_or(Errno::ENOENT)?;
    if let Some(test) = line.panic_test {
        die_on_purpose(test);
    }
    if let Err(errno) = open_console(thread) {
        log_warn!("the first program has no console: {errno}");
    }
    let asked = line.init.as_deref().map(|path| [path]);
    let candidates = asked.as_ref().map_or(&CANDIDATES[..], |asked| &asked[..]);
    for path in candidates {
        match execute(thread, path, line) {
            Ok(registers) => {
                log_info!("running {path} as the first program");
                return Ok(registers);
            }
            Err(Errno::ENOENT) if asked.is_none() => {}
            Err(errno) => log_error!("cannot run {path}: {errno}"),
        }
    }
    log_error!("no first program: pass init=, or put one at /init into the root file system");
    Err(Errno::ENOENT)
}

/// Ends the run as the command line asks for.
fn die_on_purpose(test: PanicTest) -> ! {
    let depth = match test {
        PanicTest::Assertion => 0,
        PanicTest::StackOverflow => overflow(0),
    };
    panic!("panic_test on the command line, at depth {depth}")
}

/// Calls itself until the stack is used up.
#[inline(never)]
#[expect(unconditional_recursion, reason = "it is what is tested")]
fn overflow(depth: u64) -> u64 {
    // The result is used after the call, and opaque: neither a loop nor a formula can replace the recursion.
    core::hint::black_box(overflow(core::hint::black_box(depth + 1))) + 1
}

/// Opens the console as standard input, output and error.
fn open_console(thread: &Arc<Thread>) -> Result<()> {
    let viewer = Viewer::new(&thread.fs(), thread.credentials());
    let request = OpenRequest {
        flags: OpenFlags::READ_WRITE,
        permissions: 0,
        umask: 0,
        walk: WalkFlags::empty(),
    };
    let console = fs::open(&viewer, viewer.root.clone(), b"/dev/console", &request)?;
    for _ in 0..3 {
        thread.files().insert(console.clone(), 3, CloseOnExec::No)?;
    }
    Ok(())
}

fn execute(thread: &Arc<Thread>, path: &str, line: &CommandLine) -> Result<UserContext> {
    let mut arguments = Strings::default();
    arguments.push(path.as_bytes())?;
    line.arguments.iter().try_for_each(|word| arguments.push(word.as_bytes()))?;
    let mut environment = Strings::default();
    let defaults = ENVIRONMENT.into_iter();
    defaults
        .chain(line.environment.iter().map(String::as_str))
        .try_for_each(|word| environment.push(word.as_bytes()))?;
    exec::execute_first(thread, path.as_bytes(), arguments, environment)
}
