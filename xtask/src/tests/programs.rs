//! Real programs that live by signals: each prints on Skein what it prints on the host's Linux.
//!
//! On the host they run on a terminal of their own, in the guest at the console's prompt, so that shells
//! have job control on both sides. Then bash gets the console, and a person's keys stop, continue and end its jobs.

use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::counts::Counts;
use super::{logged, on_host};
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot};
use crate::rootfs::programs::{self, Programs};
use crate::session::{self, Shell, jobs};
use crate::{run, workspace};

/// What is run, `@` being the directory of the programs. What shells say about their jobs on standard error names process ids.
const COMMANDS: [(&str, &str); 7] = [
    ("traps of bash", "@/bash --norc @/traps.sh 2>/dev/null"),
    ("jobs of bash", "@/bash --norc @/jobs.sh 2>/dev/null"),
    ("coprocesses of bash", "@/bash --norc @/coprocess.sh 2>/dev/null"),
    ("tools of busybox", "busybox sh @/tools.sh 2>/dev/null"),
    ("the crate signal-hook", "@/hooks"),
    ("the crate nix", "@/nixsignals"),
    ("siglongjmp out of SIGSEGV", "@/longjmp"),
];

/// How long one of them may take on the host. In the guest its silence is limited.
const LIMIT: Duration = Duration::from_secs(120);

/// A bash whose prompt is that of the session, and which leaves the editing of lines to the terminal.
const INTERACTIVE: &str = "PS1='ske''in$ ' @/bash --norc --noprofile --noediting -i";

/// Runs everything on the host and then in the guest, on each of these numbers of processors.
///
/// # Errors
/// If QEMU does not start.
pub fn test(machine: &MachineOptions, boot: &Boot, processors: &[u32]) -> anyhow::Result<Counts> {
    let stage = Stage::begin("real programs on this machine's Linux");
    let prepared = match programs::prepare() {
        Ok(prepared) => prepared,
        Err(error) => {
            stage.finish(format!("skipped: {error:#}"));
            return Ok(Counts::one_skipped());
        }
    };
    let mut counts = Counts::default();
    let mut expected = Vec::new();
    for (name, command) in COMMANDS {
        stage.note(name);
        let printed = printed_on_host(&prepared, command);
        report(&stage, name, &printed);
        counts += Counts::one(&printed);
        expected.push(printed.ok());
    }
    stage.finish(counts);
    for &processors in processors {
        let machine = machine.with_processors(processors);
        let mut boot = boot.for_machine(&machine);
        if let Boot::Direct { initrd, .. } = &mut boot {
            initrd.clone_from(&prepared.archive);
        }
        counts += in_guest(&machine, &boot, &expected)?;
    }
    Ok(counts)
}

fn report<T>(stage: &Stage, name: &str, result: &anyhow::Result<T>) {
    if let Err(error) = result {
        stage.print(&format!("FAILED  {name}: {error:#}"));
    }
}

/// What a command prints on a terminal of the host.
fn printed_on_host(prepared: &Programs, command: &str) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let path = [prepared.tools.display().to_string(), "/usr/bin:/bin".to_owned()].join(":");
    let command = command.replace('@', &prepared.directory.display().to_string());
    let mut terminal = on_host::command(
        workspace::find_program("script")
            .context("there is no program `script` (Debian and Ubuntu: bsdutils)")?,
    );
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    terminal.current_dir(directory.path()).env("PATH", path).stdin(Stdio::null());
    let mut output = tempfile::tempfile()?;
    terminal.stdout(output.try_clone()?).stderr(output.try_clone()?);
    // Should it be killed, its terminal hangs up, which ends the rest of them.
    let mut process = terminal.spawn()?;
    let status = workspace::wait_within(&mut process, LIMIT)?;
    output.rewind()?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes)?;
    let printed = String::from_utf8_lossy(&bytes).replace('\r', "");
    let status = status.with_context(|| format!("it hung after printing {printed:?}"))?;
    ensure!(status.success(), "{status} after printing {printed:?}");
    ensure!(!printed.is_empty(), "it printed nothing");
    Ok(printed)
}

/// The same at the guest's console.
fn in_guest(
    machine: &MachineOptions,
    boot: &Boot,
    expected: &[Option<String>],
) -> anyhow::Result<Counts> {
    let name = format!("real programs on {} processors", machine.smp.0);
    let stage = Stage::begin(&name);
    let transcript = logged::log_path(&name.replace(' ', "-"))?;
    let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let console = Console::new(input, output, &transcript)?;
    let mut counts = Counts::default();
    let mut count = |name: &str, result: &anyhow::Result<()>| {
        report(&stage, name, result);
        counts += Counts::one(result);
    };
    match Shell::open(console, machine.smp.0) {
        Ok(mut shell) => {
            for ((name, command), expected) in COMMANDS.iter().zip(expected) {
                stage.note(name);
                let result = compare(&mut shell, command, expected.as_deref());
                let lost = result.is_err() && shell.recover().is_err();
                if lost {
                    stage.print(&qemu::processors(&mut guest, boot.kernel()));
                }
                count(name, &result);
            }
            count("bash at the prompt", &at_the_prompt(&mut shell));
            count("poweroff", &session::power_off(shell, guest));
        }
        Err(error) => {
            count("the prompt", &Err(error));
            stage.print(&qemu::processors(&mut guest, boot.kernel()));
        }
    }
    super::close(stage, counts, &transcript);
    Ok(counts)
}

fn compare(shell: &mut Shell, command: &str, expected: Option<&str>) -> anyhow::Result<()> {
    let expected = expected.context("it did not run on the host")?;
    shell.succeed("cd /tmp")?;
    let printed = shell.succeed(&command.replace('@', programs::PLACE))?;
    let printed = without_log(&printed);
    let mut lines = printed.lines().zip(expected.lines());
    if let Some((here, there)) = lines.find(|(here, there)| here != there) {
        anyhow::bail!("it printed {here:?} where Linux has {there:?}");
    }
    ensure!(
        printed.lines().count() == expected.lines().count(),
        "it printed {printed:?} where Linux has {expected:?}"
    );
    Ok(())
}

/// What was printed, without the lines of the kernel's log.
fn without_log(printed: &str) -> String {
    let is_logged = |line: &&str| line.starts_with('[') && line.contains("] CPU");
    printed.lines().filter(|line| !is_logged(line)).map(|line| format!("{line}\n")).collect()
}

/// A person's keys, and bash's own job control.
fn at_the_prompt(shell: &mut Shell) -> anyhow::Result<()> {
    shell.ask(&INTERACTIVE.replace('@', programs::PLACE))?;
    ensure!(shell.succeed("echo $BASH")?.contains("bash"), "bash has not taken over");
    jobs::interrupt(shell)?;
    jobs::stop_and_continue(shell)?;
    jobs::background(shell)?;
    shell.ask("exit").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_left_out_and_those_of_jobs_are_not() {
        let printed = "one\n[   17.734213] CPU1 a[103]: SIGSEGV\n[1]+ Stopped\n";
        assert_eq!(without_log(printed), "one\n[1]+ Stopped\n");
    }
}
