//! Running a program as the first process of the machine, where it has to mount file systems and reap orphans itself.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use crate::init::mounts;

/// Whether this is the first process of the machine.
#[must_use]
pub fn is_first() -> bool {
    getpid() == Pid::from_raw(1)
}

/// Runs `program`; as first process of the machine, does so in a child, mounts what programs expect, and reaps every orphan.
///
/// # Returns
///
/// The program's exit status; as a shell would say it if a signal ends it, and 2 if it cannot be started.
pub fn run(program: impl FnOnce() -> ExitCode) -> ExitCode {
    if !is_first() {
        return program();
    }
    mounts::mount_all();
    // SAFETY: there is one thread yet, so the child may go on as if nothing had happened.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => program(),
        Ok(ForkResult::Parent { child }) => ExitCode::from(reap_until(child)),
        Err(error) => {
            eprintln!("cannot fork: {error}");
            ExitCode::from(2)
        }
    }
}

/// Reaps every process that becomes an orphan until `child` has ended; gives its exit status.
fn reap_until(child: Pid) -> u8 {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return status as u8,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                eprintln!("killed by {signal}");
                return 128 + signal as u8;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("wait failed: {error}");
                return 2;
            }
        }
    }
}
