//! A core file that Skein writes, opened by the host's gdb: registers, threads and backtrace must be right.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::counts::Counts;
use super::logged;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Outcome};
use crate::{rootfs, run, workspace};

/// What the guest runs: it crashes in a child and prints the core file.
const PROGRAM: &str = "/bin/crash";
/// What gdb is asked.
const QUESTIONS: [&str; 4] =
    ["info threads", "backtrace", "info registers r14 r15", "thread apply all backtrace"];
/// What it must answer: the signal, the registers, the callers, and where the other threads are.
const ANSWERS: [&str; 7] = [
    "terminated with signal SIGSEGV",
    "0x5ca1ab1e",
    "0xddba11",
    "crash::innermost",
    "crash::middle",
    "crash::outer",
    "crash::waiting_in_the_core",
];
/// How many threads the program has.
const THREADS: usize = 3;
/// The wait status of a death by SIGSEGV with a core file.
const DUMPED: &str = "core-status 0x8b";

/// Runs the test, where there is a gdb.
pub fn test(machine: &MachineOptions, boot: &Boot) -> Counts {
    let stage = Stage::begin("core file opened by gdb");
    let Some(gdb) = workspace::find_program("gdb") else {
        stage.finish("skipped: gdb is not installed");
        return Counts::one_skipped();
    };
    let machine = machine.with_init(PROGRAM);
    let result = is_understood(&gdb, &machine, &boot.for_machine(&machine));
    if let Err(error) = &result {
        stage.print(&format!("{error:#}"));
    }
    let counts = Counts::one(&result);
    stage.finish(counts);
    counts
}

fn is_understood(gdb: &Path, machine: &MachineOptions, boot: &Boot) -> anyhow::Result<()> {
    let core = logged::log_path("crash")?.with_extension("core");
    std::fs::write(&core, dumped(machine, boot)?)?;
    let program = rootfs::user_program("crash")?;
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch"]);
    for question in QUESTIONS {
        command.args(["-ex", question]);
    }
    let output = command.arg(&program).arg(&core).output().context("cannot start gdb")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let log = logged::log_path("core-file")?;
    std::fs::write(&log, said.as_bytes())?;
    for answer in ANSWERS {
        ensure!(said.contains(answer), "gdb does not say {answer:?}; see {}", log.display());
    }
    let threads = said.lines().filter(|line| line.contains("LWP") && !line.contains("[New"));
    let listed = threads.take_while(|line| !line.starts_with('#')).count();
    ensure!(listed >= THREADS, "gdb lists {listed} threads; see {}", log.display());
    Ok(())
}

/// The core file, as the guest printed it.
fn dumped(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<Vec<u8>> {
    let log = logged::log_path("crash")?;
    let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log)?;
    let (mut core, mut size, mut dumped) = (Vec::new(), None, false);
    while let Some(line) = console.next_line()? {
        let line = line.trim();
        dumped |= line == DUMPED;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("core"), Some(offset), Some(bytes)) => {
                place(&mut core, usize::from_str_radix(offset, 16)?, bytes)?;
            }
            (Some("core-size"), Some(number), None) => size = Some(number.parse()?),
            _ => {}
        }
    }
    let outcome = guest.wait()?;
    ensure!(outcome == Outcome::PoweredOff, "{outcome}");
    ensure!(dumped, "the child did not leave a core file; see {}", log.display());
    let Some(size) = size else { bail!("the core file is not whole; see {}", log.display()) };
    core.resize(size, 0);
    Ok(core)
}

/// Enters a row of hexadecimal digits at `offset`.
fn place(core: &mut Vec<u8>, offset: usize, digits: &str) -> anyhow::Result<()> {
    let pair = |at: usize| digits.get(at..at + 2).context("half a byte");
    let row: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(pair(at)?, 16)?))
        .collect::<anyhow::Result<_>>()?;
    core.resize(core.len().max(offset + row.len()), 0);
    core[offset..offset + row.len()].copy_from_slice(&row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_placed_and_holes_are_zeros() {
        let mut core = Vec::new();
        place(&mut core, 4, "0aff").unwrap();
        place(&mut core, 1, "07").unwrap();
        assert_eq!(core, [0, 7, 0, 0, 10, 255]);
        assert!(place(&mut core, 0, "abc").is_err());
    }
}
