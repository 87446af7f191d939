//! Ends every process and then the machine.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, sync};

/// How the machine is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Off.
    PowerOff,
    /// Start again.
    Reboot,
    /// Stand still, powered.
    Halt,
}

/// How long processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// Every process except the first.
const EVERYONE: Pid = Pid::from_raw(-1);

/// Ends all processes, first politely, writes everything back, and stops the machine.
///
/// Returns only if the kernel refuses; it has then said why.
pub fn stop_machine(ending: Ending) {
    println!("init: sending SIGTERM to all processes");
    if signal_everyone(Signal::SIGTERM) {
        // An interactive shell ignores SIGTERM, but ends when its terminal hangs up.
        signal_everyone(Signal::SIGHUP);
        // Stopped processes see both only once they go on.
        signal_everyone(Signal::SIGCONT);
        if !all_gone_within(GRACE) {
            println!("init: sending SIGKILL to those that are left");
            signal_everyone(Signal::SIGKILL);
            all_gone_within(GRACE);
        }
    }
    sync();
    let (mode, name) = match ending {
        Ending::PowerOff => (RebootMode::RB_POWER_OFF, "powering off"),
        Ending::Reboot => (RebootMode::RB_AUTOBOOT, "restarting"),
        Ending::Halt => (RebootMode::RB_HALT_SYSTEM, "halting"),
    };
    println!("init: {name}");
    match reboot(mode) {
        Ok(never) => match never {},
        Err(error) => eprintln!("init: the kernel refuses {name}: {error}"),
    }
}

/// Sends a signal to everyone else; whether there was anyone.
fn signal_everyone(signal: Signal) -> bool {
    match kill(EVERYONE, signal) {
        Ok(()) => true,
        Err(Errno::ESRCH) => false,
        Err(error) => {
            eprintln!("init: cannot send {signal}: {error}");
            false
        }
    }
}

/// Reaps until no other process is left, or for `limit` at most.
fn all_gone_within(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            // Orphans become this process's children, so without children there is nobody else.
            Err(Errno::ECHILD) => return true,
            Ok(status) if status.pid().is_some() => continue,
            _ => {}
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}
