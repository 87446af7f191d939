//! POSIX signals as Linux delivers them (signal(7)).
//!
//! [`Signal`] and [`SignalSet`] are the vocabulary; [`ProcessSignals`] and [`ThreadSignals`] the state, both
//! under the signal lock of the process.

mod number;
mod state;

pub use number::{DefaultAction, SIGNAL_COUNT, Signal, SignalSet};
pub use state::{ProcessSignals, ThreadSignals};
