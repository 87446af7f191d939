//! Core files: what a process that dies of a signal like SIGSEGV leaves for a debugger (core(5)).
//!
//! [`dump`] is called by the signal loop in place of the end: it brings the process's threads to a halt ([`gather`]),
//! writes the file as `core_pattern` names it ([`pattern`], [`file`](mod@file)) or hands it to a program ([`mod@pipe`]), and lets all of them end. What is in the file is made by pure
//! functions: [`notes`] the registers and what debuggers want to know besides, [`elf`] the headers, [`segments`] which areas
//! are written.
//!
//! Nothing here can hold the process up for ever: SIGKILL and the out-of-memory killer end a dump at its next page.

mod elf;
mod file;
pub(crate) mod gather;
mod notes;
pub mod pattern;
pub mod pipe;
mod process;
mod segments;
mod threads;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use arch::context::UserContext;

use crate::errno::{Errno, Result};
use crate::memory::{CALL_CREDIT_KIB, memory};
use crate::signal::deliver::Interrupted;
use crate::signal::{Signal, SignalInfo};
use crate::task::{CoreFile, ExitStatus, Resource, Thread};
use gather::Begun;
use threads::ThreadRecord;

/// The smallest limit under which a core file is written: its headers take a page (`ELF_EXEC_PAGESIZE`).
const SMALLEST_LIMIT: u64 = 4096;
/// `PR_GET_DUMPABLE`: an ordinary process.
const DUMPABLE: u8 = 1;

/// How the thread that called [`dump`] goes on.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aftermath {
    /// The process ends with this status.
    ProcessEnds(ExitStatus),
    /// Another thread calls execve(2), so the calling one ends alone.
    ThreadEnds(ExitStatus),
}

/// What a thread looked like when it stopped running for good.
#[derive(Clone, Copy, Debug)]
pub struct Registers<'a> {
    /// The general registers.
    pub context: &'a UserContext,
    /// The system call that it was in, if that wanted to be restarted.
    pub interrupted: Option<Interrupted>,
}

/// Writes a core file for the process of `thread`, the calling one, which is to end by `signal`, if it wants one and may have one. May
/// sleep, and takes as long as it takes to write the process's memory.
pub fn dump(
    thread: &Arc<Thread>,
    registers: Registers<'_>,
    signal: Signal,
    info: &SignalInfo,
) -> Aftermath {
    let process = thread.process();
    let without = ExitStatus::Killed(signal, CoreFile::Absent);
    let limit = process.limit(Resource::Core);
    let pattern = pattern::current();
    let has_room = limit >= SMALLEST_LIMIT || pattern.command().is_some();
    if process.dumpable() != DUMPABLE || !has_room {
        return Aftermath::ProcessEnds(without);
    }
    // Names, notes and tables are small allocations; those that grow with the process are made fallibly.
    let Ok(credit) = memory().credit(CALL_CREDIT_KIB) else {
        return Aftermath::ProcessEnds(without);
    };
    let gathering = match gather::begin(thread, without) {
        Begun::Gathering(gathering) => gathering,
        Begun::Owes(gathering) => {
            // It waits for long, and its record is made fallibly.
            drop(credit);
            gather::attend(thread, registers, &gathering);
            return Aftermath::ProcessEnds(gather::settled(thread, without));
        }
        Begun::Ends(aftermath) => return aftermath,
    };
    let outcome = ThreadRecord::of_current(thread, registers)
        .and_then(|record| gathering.records(record))
        .and_then(|records| match pattern.command() {
            Some(command) => {
                let reader = pipe::start(thread, command, signal, limit)?;
                let written = file::write(thread, &records, signal, info, reader.output());
                reader.finish();
                written
            }
            None => {
                let output = file::open(thread, pattern.as_bytes(), signal, limit)?;
                file::write(thread, &records, signal, info, &output)
            }
        });
    if let Err(errno) = outcome {
        crate::log_info!("no core file of process {}: {errno}", process.pid());
    }
    let core = if outcome.is_ok() { CoreFile::Written } else { CoreFile::Absent };
    Aftermath::ProcessEnds(gather::finish(thread, ExitStatus::Killed(signal, core)))
}

/// Appends to a list of bytes that may grow large.
///
/// # Errors
/// `ENOMEM`.
fn append(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// Text that grows as it is written; fails only for lack of memory.
#[derive(Default)]
struct Text(Vec<u8>);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        append(&mut self.0, text.as_bytes()).map_err(|_| fmt::Error)
    }
}
