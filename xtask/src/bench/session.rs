//! One boot of one kernel, and what its guest program said.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::record::{self, Record};
use crate::console::Console;
use crate::options::MachineOptions;
use crate::qemu::{self, Boot, Guest, Outcome};
use crate::run;

/// How a boot ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program came to its last line.
    Complete,
    /// It did not; a sentence says how the run ended instead.
    Early(String),
}

/// A boot that is under way.
pub struct Session {
    guest: Guest,
    console: Console,
    start: Instant,
}

impl Session {
    /// Boots; the console is kept in the file `log`. A guest that is silent for `patience` hangs.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub fn start(
        machine: &MachineOptions,
        boot: &Boot,
        log: &Path,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
        let start = Instant::now();
        let (input, output) = guest.take_console()?;
        let console = Console::new(input, output, log)?.with_patience(patience);
        Ok(Self { guest, console, start })
    }

    /// Hands each line of the guest program to `take`, with the host's time since the processors
    /// started, until the run ends.
    ///
    /// # Errors
    /// If QEMU cannot be waited for.
    pub fn follow(mut self, mut take: impl FnMut(Record, Duration)) -> anyhow::Result<Ending> {
        let mut is_complete = false;
        loop {
            match self.console.next_line() {
                Ok(Some(line)) => {
                    let Some(record) = record::parse(&line) else { continue };
                    is_complete |= matches!(record, Record::End { .. });
                    take(record, self.start.elapsed());
                }
                Ok(None) => break,
                Err(hang) => {
                    // Its last words are in the log.
                    let sentence = format!("{hang:#}");
                    let (reason, _) = sentence.split_once(';').unwrap_or((&sentence, ""));
                    return Ok(Ending::Early(reason.to_owned()));
                }
            }
        }
        let outcome = self.guest.wait()?;
        Ok(if is_complete { Ending::Complete } else { Ending::Early(ended_early(outcome)) })
    }

    /// Waits for the line that says that the first program runs.
    ///
    /// # Errors
    /// If the run ends before it.
    pub fn wait_for_first_program(&mut self) -> anyhow::Result<()> {
        while let Some(line) = self.console.next_line()? {
            if matches!(record::parse(&line), Some(Record::Boot { .. })) {
                return Ok(());
            }
        }
        anyhow::bail!("the run ended before its first program said anything")
    }

    /// The machine, to be looked into.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }
}

/// How a run without a last line ended, as a sentence.
fn ended_early(outcome: Outcome) -> String {
    format!("{outcome} before the last line of the guest program")
}

/// The directory of the logs, made when it is missing.
///
/// # Errors
/// If it cannot be made.
pub fn log_directory() -> anyhow::Result<std::path::PathBuf> {
    let directory = super::output_directory()?.join("logs");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    Ok(directory)
}
