//! The first process: sets the machine up, runs a shell on the console, cleans up behind everybody, and ends
//! the run in order.
//!
//! When the console's shell ends, the machine powers off. Before that it does so (or reboots, or halts) when a
//! program asks the first process to, by the signals of busybox's `poweroff`, `reboot` and `halt`.
//!
//! - [`mounts`]: the file systems that programs expect.
//! - [`console`]: a session with a controlling terminal and the shell in it.
//! - [`requests`]: signals that ask for an end.
//! - [`shutdown`]: ends everything and stops the machine.

pub mod console;
pub mod mounts;
pub mod requests;
pub mod shutdown;

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, sethostname};

use requests::Requests;
use shutdown::Ending;

/// What `init --help` prints.
const HELP: &str = "\
Usage: init [-c COMMAND]
The first process. Mounts /proc, /dev and the like, runs a login shell on the
console (or COMMAND in it), reaps orphans, and powers the machine off when the shell ends.
Signals: SIGUSR2 powers off, SIGTERM reboots, SIGUSR1 halts.
";

/// The machine's name until somebody sets another.
const HOST_NAME: &str = "skein";

/// Runs the first process to the end of the machine.
///
/// # Returns
///
/// Only if the machine cannot be stopped, with the shell's exit status; or with 2 when this is not
/// the first process.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let command = match arguments {
        [] => None,
        [option] if option == "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [option, command] if option == "-c" => Some(command.as_str()),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    if getpid() != Pid::from_raw(1) {
        eprintln!("init: this is the first process's program, and process 1 is another");
        return ExitCode::from(2);
    }
    mounts::mount_all();
    if let Err(error) = sethostname(HOST_NAME) {
        eprintln!("init: cannot set the host name: {error}");
    }
    let requests = Requests::listen();
    let (ending, status) = match console::start_shell(command, &requests) {
        Ok(shell) => watch(shell, &requests),
        Err(error) => {
            eprintln!("init: cannot start a shell: {error}");
            (Ending::PowerOff, 1)
        }
    };
    shutdown::stop_machine(ending);
    ExitCode::from(status)
}

/// Reaps whatever ends, until the shell does or somebody asks for an end.
///
/// # Returns
///
/// How the machine is to end, and the shell's exit status as a shell would print it.
fn watch(shell: Pid, requests: &Requests) -> (Ending, u8) {
    loop {
        while let Some((pid, status)) = reap() {
            if pid == shell {
                println!("init: the console's shell has ended with status {status}");
                return (Ending::PowerOff, status);
            }
        }
        if let Some(ending) = requests.wait() {
            return (ending, 0);
        }
    }
}

/// Takes one ended child, if there is one: its id and exit status (128 and more for a signal).
fn reap() -> Option<(Pid, u8)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => return Some((pid, status as u8)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => return Some((pid, 128 + signal as u8)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("init: wait failed: {error}");
                return None;
            }
        }
    }
}
