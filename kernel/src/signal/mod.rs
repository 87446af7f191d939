//! POSIX signals as Linux delivers them (signal(7)).
//!
//! Three parts. *Choose* ([`choose`], [`restart`]) and *frame* ([`frame`]) are plain functions on plain data and tested on
//! the host. The *loop* delivers until nothing is deliverable, on every return to user mode.
//!
//! [`Signal`] and [`SignalSet`] are the vocabulary; [`ProcessSignals`] and [`ThreadSignals`] the state, both
//! under the signal lock of the process. What threads race for under that lock is the crate [`signals`].

pub mod action;
pub mod altstack;
mod calls;
pub mod choose;
pub(crate) mod deliver;
pub mod frame;
mod handler;
pub mod info;
pub mod mask;
pub mod pending;
pub mod restart;
pub mod send;
mod signalfd;
pub(crate) mod state;
pub(crate) mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod timers;

pub use action::{Action, ActionFlags, Actions, Handler, SharedActions};
pub use altstack::AlternateStack;
pub use calls::SYSCALLS;
pub use info::{Code, SignalInfo};
pub use pending::{Charge, PendingSignals};
pub use signalfd::SignalFd;
pub use signals::number::{self, DefaultAction, SIGNAL_COUNT, Signal, SignalSet};
pub use state::{ProcessSignals, ThreadSignals};

use crate::task::{Thread, current};

/// Sends `signal` to the calling thread, as the kernel does for a mistake of its own (SIGPIPE, SIGXFSZ).
pub fn send_to_current(signal: Signal) {
    let thread = current();
    let process = thread.process();
    let info =
        SignalInfo::sent(signal, Code::SI_USER, process.pid(), thread.credentials().user.real);
    // A standard signal loses its information if need be, and is never refused.
    let _sent = send::to_thread(&thread, signal, info);
}

/// Whether `thread` would not notice `signal`: it blocks or ignores it.
#[must_use]
pub fn is_blocked_or_ignored(thread: &Thread, signal: Signal) -> bool {
    let state = thread.process().signals();
    state.of(thread).blocked.contains(signal)
        || state.actions.get(signal).handler == Handler::Ignore
}
