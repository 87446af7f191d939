//! Programs of the guest on this machine's Linux.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// A command that finds signals as the first program of a guest does: each standard one has its default action, none is blocked.
///
/// Programs inherit what is ignored and blocked, and whoever starts the tests may ignore some: a shell lets what it runs in the background ignore
/// `SIGINT`, and nohup(1) `SIGHUP`.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // SAFETY: between fork and exec the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(reset_signals) };
    command
}

fn reset_signals() -> std::io::Result<()> {
    for number in Signal::iterator() {
        // SAFETY: no handler is installed.
        match unsafe { signal(number, SigHandler::SigDfl) } {
            // SIGKILL and SIGSTOP, which have no other action.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_not_inherited() {
        let inner = command("sh").args(["-c", "kill -INT $$; echo survived"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&inner.stdout), "");
        // Of its own children a shell in between ignores it.
        let script = "trap '' INT; exec sh -c 'kill -INT $$; echo survived'";
        let outer = Command::new("sh").args(["-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&outer.stdout), "survived\n");
    }
}
