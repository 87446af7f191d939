//! Traces a command, or shows the end of the trace that is there: `trace --help`.

use std::process::{Command, ExitCode};

use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{Pid, getpid, sync};
use user::{init, tracing};

const HELP: &str = "\
Usage: trace run COMMAND...   runs the command in a shell, then sends the trace of it
       trace record COMMAND...
                              the same, with what was recorded since boot
       trace send             sends the trace of what happened last
       trace on|off|clear     switches the recorder on or off, or begins anew
       trace calls            records system calls, too
       trace mark TEXT        leaves a mark in the trace
The trace goes to standard output as text; `make trace` makes a file for Perfetto of it. As the first
process `trace run` mounts what it needs, and powers the machine off in the end.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["run", command @ ..] if !command.is_empty() => {
            tracing_begins().and_then(|()| run(&command.join(" ")))
        }
        ["record", command @ ..] if !command.is_empty() => {
            mount_if_first();
            run(&command.join(" "))
        }
        ["send"] => tracing::send(&mut std::io::stdout().lock()),
        [word @ ("on" | "off" | "clear" | "calls")] => tracing::tell(word),
        ["mark", text] => tracing::tell(&format!("mark {text}")),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = &done {
        eprintln!("trace: {error}");
    }
    if getpid() == Pid::from_raw(1) {
        sync();
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        eprintln!("trace: cannot power off: {error}");
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn mount_if_first() {
    if getpid() == Pid::from_raw(1) {
        init::mounts::mount_all();
    }
}

/// Forgets what was recorded before.
fn tracing_begins() -> std::io::Result<()> {
    mount_if_first();
    tracing::tell("clear")
}

/// Runs `command` between two marks, and sends what was recorded.
fn run(command: &str) -> std::io::Result<()> {
    tracing::tell("mark begin")?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/tests");
    let status = shell.status();
    tracing::tell("mark end")?;
    tracing::tell("off")?;
    let sent = tracing::send(&mut std::io::stdout().lock());
    tracing::tell("on")?;
    println!("trace: {command}: {}", status?);
    sent
}
