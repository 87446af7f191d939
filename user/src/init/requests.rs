//! Signals that ask the first process for something.
//!
//! The protocol is busybox's: SIGUSR2 powers off, SIGTERM and SIGINT (Ctrl-Alt-Del) reboot, SIGUSR1 halts. All
//! of them and SIGCHLD stay blocked except inside [`Requests::wait`], so none is lost between a look and a sleep.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signal::{sigaction, sigprocmask};

use super::shutdown::Ending;

/// The last signal that asked for an end; 0 when none did.
static REQUESTED: AtomicI32 = AtomicI32::new(0);

const WATCHED: [Signal; 5] =
    [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGINT];

extern "C" fn note(signal: i32) {
    if signal != Signal::SIGCHLD as i32 {
        // Relaxed: one thread only, and sigsuspend orders the handler before its return.
        REQUESTED.store(signal, Ordering::Relaxed);
    }
}

/// The signals that the first process listens to, blocked and with their handler.
#[derive(Debug)]
pub struct Requests {
    before: SigSet,
}

impl Requests {
    /// Blocks the signals and installs the handler.
    #[must_use]
    pub fn listen() -> Self {
        let watched: SigSet = WATCHED.into_iter().collect();
        let mut before = SigSet::empty();
        if let Err(error) = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&watched), Some(&mut before)) {
            eprintln!("init: cannot block signals: {error}");
        }
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::all());
        for signal in WATCHED {
            // SAFETY: the handler stores one atomic and touches nothing else.
            if let Err(error) = unsafe { sigaction(signal, &action) } {
                eprintln!("init: cannot handle {signal}: {error}");
            }
        }
        Self { before }
    }

    /// Sleeps until a child ends or a request comes, and gives the request.
    pub fn wait(&self) -> Option<Ending> {
        // It always returns EINTR.
        let _ = self.before.suspend();
        match REQUESTED.swap(0, Ordering::Relaxed) {
            libc::SIGUSR2 => Some(Ending::PowerOff),
            libc::SIGTERM | libc::SIGINT => Some(Ending::Reboot),
            libc::SIGUSR1 => Some(Ending::Halt),
            _ => None,
        }
    }

    /// Gives a new process the mask that the first process started with; exec resets the handlers.
    pub fn unblock_in_child(&self) {
        if let Err(error) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None) {
            eprintln!("init: cannot restore the signal mask: {error}");
        }
    }
}
