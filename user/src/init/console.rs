//! The console's session: a controlling terminal and the shell in it.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::{
    ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, getpid, setsid, tcsetpgrp,
};

use super::requests::Requests;
use crate::shell;

nix::ioctl_write_int_bad! {
    /// Makes the terminal the session's controlling one (`TIOCSCTTY`).
    set_controlling_terminal, libc::TIOCSCTTY
}

/// Shells to try, with the name that makes each a login shell.
const SHELLS: [(&CStr, &CStr); 4] = [
    (c"/bin/sh", c"-sh"),
    (c"/bin/busybox", c"-sh"),
    (c"/bin/skein-sh", c"-skein-sh"),
    (c"/skein-sh", c"-skein-sh"),
];

/// What the console's programs find in their environment.
const ENVIRONMENT: [&CStr; 6] = [
    c"PATH=/sbin:/usr/sbin:/bin:/usr/bin:/tests",
    c"HOME=/",
    c"TERM=linux",
    c"USER=root",
    c"LOGNAME=root",
    c"SHELL=/bin/sh",
];

/// Starts a login shell, or `command` in a shell, in a new session on the console.
///
/// # Errors
///
/// What fork returned. Whatever goes wrong in the child is told on the console and ends the child with 127.
pub fn start_shell(command: Option<&str>, requests: &Requests) -> Result<Pid, Errno> {
    // SAFETY: the first process has one thread, so its child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            requests.unblock_in_child();
            if let Err(error) = restore_pipe_signal() {
                eprintln!("init: programs will ignore SIGPIPE: {error}");
            }
            if let Err(error) = take_console() {
                eprintln!("init: cannot make the console a controlling terminal: {error}");
            }
            let Err(error) = become_shell(command);
            eprintln!("init: no shell can be started ({error}): here is the built-in one");
            std::process::exit(own_shell(command));
        }
    }
}

/// Programs die of SIGPIPE, as they expect. Rust's runtime ignores it, and exec would hand that on.
fn restore_pipe_signal() -> Result<(), Errno> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
}

/// Leads a new session with `/dev/console` as its terminal and standard descriptors.
fn take_console() -> Result<(), Errno> {
    setsid()?;
    let console: OwnedFd = open(c"/dev/console", OFlag::O_RDWR, Mode::empty())?;
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    let terminal = std::io::stdin();
    // SAFETY: the descriptor is open; the call takes an integer and no memory.
    unsafe { set_controlling_terminal(libc::STDIN_FILENO, 0) }?;
    tcsetpgrp(terminal.as_fd(), getpid())
}

/// Runs the small shell in this very process, for a root file system with nothing but this program.
fn own_shell(command: Option<&str>) -> i32 {
    let status = match command {
        Some(command) => shell::run_command(command),
        None => shell::interactive(),
    };
    i32::from(status)
}

/// Replaces this process with the first shell that there is.
fn become_shell(command: Option<&str>) -> Result<Infallible, Errno> {
    let command = command.map(CString::new).transpose().map_err(|_| Errno::EINVAL)?;
    let mut last = Errno::ENOENT;
    for (path, name) in SHELLS {
        let mut arguments = vec![name];
        if let Some(command) = &command {
            arguments.extend([c"-c", command.as_c_str()]);
        }
        let Err(error) = execve(path, &arguments, &ENVIRONMENT);
        if error != Errno::ENOENT {
            eprintln!("init: cannot run {}: {error}", path.to_string_lossy());
            last = error;
        }
    }
    Err(last)
}
