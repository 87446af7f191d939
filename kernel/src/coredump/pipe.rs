//! Core files that go to a program: a `core_pattern` that starts with `|` (core(5), "Piping core dumps to a program").
//!
//! The program is a process of root's, in the initial namespace and in `/`, whose standard input is the core file and which has no
//! other descriptor. `RLIMIT_CORE` does not cut the file off, but a limit of one byte says that the dying process is such
//! a program itself, and there is no core file then. `/proc/sys/kernel/core_pipe_limit` bounds how many dumps go to programs at the same
//! time, and makes each of them wait for its program, so that this one finds the dying process in `/proc`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicU32, Ordering};

use super::file::{Output, with_subject};
use super::pattern;
use crate::errno::{Errno, Result};
use crate::exec;
use crate::exec::stack::Strings;
use crate::fs::{self, CloseOnExec, File, FileTable, OpenFlags};
use crate::log_info;
use crate::pipe::{self, Ends, Pipe};
use crate::signal::Signal;
use crate::task::{self, INFINITY, Thread};

/// The limit that helpers have, by which they are known.
const HELPERS_LIMIT: u64 = 1;

/// How many dumps may go to programs at the same time; 0 for any number, and nobody waits for the programs.
static LIMIT: AtomicU32 = AtomicU32::new(0);
/// How many do.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// `/proc/sys/kernel/core_pipe_limit`.
#[must_use]
pub fn limit() -> u32 {
    // A setting by itself: it orders nothing.
    LIMIT.load(Ordering::Relaxed)
}

/// Sets [`limit`].
pub fn set_limit(limit: u32) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// A program that a core file goes to.
pub(super) struct Reader {
    pipe: Arc<Pipe>,
    output: Output,
    _place: Place,
}

/// One of the dumps that go to programs.
struct Place;

impl Place {
    fn take() -> Result<Self> {
        // Relaxed: a count that publishes nothing.
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Self;
        if limit() != 0 && count > limit() { Err(Errno::EAGAIN) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the program that `command` names for the core file of `thread`, which dies by `signal`. `core_limit` is its `RLIMIT_CORE`.
///
/// # Errors
/// Why there is none: `EPERM` for a helper's own core file, `EAGAIN` past `core_pipe_limit`; `ENOMEM`; those of execve.
pub(super) fn start(
    thread: &Thread,
    command: &[u8],
    signal: Signal,
    core_limit: u64,
) -> Result<Reader> {
    if core_limit == HELPERS_LIMIT {
        log_info!("{thread:?} has RLIMIT_CORE set to 1: it gets no core file");
        return Err(Errno::EPERM);
    }
    let words =
        with_subject(thread, signal, core_limit, |subject| pattern::command(command, subject))?;
    let place = Place::take()?;
    let Ends { pipe, reader, writer } = pipe::open(&thread.credentials(), OpenFlags::empty())?;
    execute(words, reader)?;
    Ok(Reader { pipe, output: Output::Pipe(writer), _place: place })
}

/// Starts the program with `input` as its standard input.
fn execute(words: Vec<Vec<u8>>, input: Arc<File>) -> Result<()> {
    let files = FileTable::new();
    files.insert(input, INFINITY, CloseOnExec::No)?;
    let mut arguments = Strings::default();
    words.iter().try_for_each(|word| arguments.push(word))?;
    task::spawn_helper(files, fs::initial_context(), move |thread| {
        let path = words.first().map_or(&b""[..], |word| word);
        exec::execute_first(thread, path, arguments, Strings::default())
    })
}

impl Reader {
    /// Where the core file goes.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The core file has been written. Waits for the program to be done with it, if dumps are limited, or for SIGKILL.
    pub fn finish(self) {
        let Self { pipe, output, _place } = self;
        drop(output);
        if limit() != 0 {
            let _killed = pipe.wait_until_unread();
        }
    }
}
