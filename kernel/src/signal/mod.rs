//! POSIX signals as Linux delivers them (signal(7)).
//!
//! Three parts. *Choose* ([`choose`], [`restart`]) and *frame* ([`frame`]) are plain functions on plain data and tested on
//! the host. The *loop* delivers until nothing is deliverable, on every return to user mode.
//!
//! [`Signal`] and [`SignalSet`] are the vocabulary; [`ProcessSignals`] and [`ThreadSignals`] the state, both
//! under the signal lock of the process.

pub mod action;
pub mod altstack;
pub mod choose;
pub mod frame;
pub mod info;
mod number;
pub mod pending;
pub mod restart;
mod state;

pub use action::{Action, ActionFlags, Actions, Handler, SharedActions};
pub use altstack::AlternateStack;
pub use info::{Code, SignalInfo};
pub use number::{DefaultAction, SIGNAL_COUNT, Signal, SignalSet};
pub use pending::{Charge, PendingSignals};
pub use state::{ProcessSignals, ThreadSignals};
