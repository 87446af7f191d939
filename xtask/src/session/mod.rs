//! A scripted session at the console: what a person would try first, typed at busybox's prompt.
//!
//! `shell` is the conversation with the prompt; the steps stand in `basics`, `jobs`, `files` and
//! `limits`. Each step is a test. After one that fails the prompt is sought again, so that the rest
//! still say something. Linux is the oracle: `make test-linux-guest` holds the same conversation
//! with a Linux kernel.

mod basics;
mod files;
pub mod jobs;
mod limits;
mod shell;

use anyhow::{Context, bail};

use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Guest, Outcome};
use crate::run;
use crate::tests::{Counts, close, log_path};
pub use shell::Shell;

/// How every root prompt of busybox's shell ends.
pub const PROMPT: &str = "# ";

/// What a step does with the shell.
type Step = fn(&mut Shell) -> anyhow::Result<()>;

/// The steps between the first prompt and the power-off, in their order.
const STEPS: [(&str, Step); 16] = [
    ("pipelines", basics::pipelines),
    ("loops and conditions", basics::loops),
    ("ps shows the processes", basics::processes),
    ("nproc counts the processors", basics::processors),
    ("busy jobs use all processors", jobs::busy_jobs),
    // Ticks are dynamic: a processor that never had two programs to run need not have had one.
    ("timer interrupts on each processor", basics::timer_interrupts),
    ("Ctrl-C ends a sleep", jobs::interrupt),
    ("Ctrl-Z stops a job and fg continues it", jobs::stop_and_continue),
    ("a segmentation fault is status 139", jobs::segmentation_fault),
    ("64 MiB through a pipe keep their digest", files::digest_through_pipe),
    ("vi edits and saves a file", files::edit_with_vi),
    ("a fork bomb under ulimit -u is survived", limits::fork_bomb),
    ("a memory hog without limit is survived", limits::memory_hog),
    ("a hog of full sockets is survived", limits::socket_hog),
    ("a hog of full pipes is survived", limits::pipe_hog),
    ("a hog of page tables is survived", limits::table_hog),
];

/// Holds the session on whatever kernel `boot` boots, and counts the steps.
///
/// # Errors
/// If QEMU does not start.
pub fn on(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<Counts> {
    let stage = Stage::begin(format!("console session on {} processors", machine.smp.0));
    let transcript = log_path("session")?;
    let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let console = Console::new(input, output, &transcript)?;
    let mut counts = Counts::default();
    let mut count = |name: &str, result: &anyhow::Result<()>| {
        match result {
            Ok(()) => stage.print(&format!("ok      {name}")),
            Err(error) => stage.print(&format!("FAILED  {name}: {error:#}")),
        }
        counts += Counts::one(result);
    };

    let opened = Shell::open(console, machine.smp.0);
    count("the prompt appears", &opened.as_ref().map(|_| ()).map_err(|e| anyhow::anyhow!("{e:#}")));
    match opened {
        Ok(mut shell) => {
            for (name, result) in hold(&mut shell, &mut guest, boot, &stage) {
                count(name, &result);
            }
            count("poweroff ends QEMU with status 0", &power_off(shell, guest));
        }
        Err(_) => stage.print(&qemu::processors(&mut guest, boot.kernel())),
    }
    close(stage, counts, &transcript);
    Ok(counts)
}

/// Goes through the steps; once the prompt is lost for good, the rest fail unseen.
fn hold(
    shell: &mut Shell,
    guest: &mut Guest,
    boot: &Boot,
    stage: &Stage,
) -> Vec<(&'static str, anyhow::Result<()>)> {
    let mut results = Vec::new();
    let mut lost = false;
    for (name, step) in STEPS {
        if lost {
            results.push((name, Err(anyhow::anyhow!("the prompt is lost"))));
            continue;
        }
        stage.note(name);
        let result = step(shell);
        if result.is_err() && shell.recover().is_err() {
            lost = true;
            stage.print(&qemu::processors(guest, boot.kernel()));
        }
        results.push((name, result));
    }
    results
}

/// Types the last command.
///
/// # Errors
/// If the machine does not power off as it should.
pub fn power_off(mut shell: Shell, guest: Guest) -> anyhow::Result<()> {
    shell.type_line("poweroff")?;
    shell.until_end().context("the machine did not power off")?;
    match guest.wait()? {
        Outcome::PoweredOff => Ok(()),
        other => bail!("{other}"),
    }
}
