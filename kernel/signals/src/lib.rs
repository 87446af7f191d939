//! Where the threads of a process race for its signals: who takes one, who stops, who is woken, who ends.
//!
//! The kernel keeps a process's signals under one lock and implements [`Crew`] for what the lock guards; everything here
//! runs with the lock held, but for the [`AttentionWord`], which is how a thread finds out without it that there
//! is something to do. Queues, siginfo and actions are the kernel's business and not known here. That makes
//! the protocol small enough for loom: `tests/loom_*.rs` run this very code in every interleaving.
//!
//! - [`number`]: signals and sets of them.
//! - [`attention`]: the word that ends sleeps and stays in user mode.
//! - [`taker`]: which thread takes a signal, and handing on what it does not take any more.
//! - [`stop`]: group stop, SIGCONT, and what the parent is told.
//! - [`duty`]: what a thread does next on its way to user mode; the end of some threads or all.
//!
//! Protocol: a sender changes the state, then sets the attention, then wakes. A sleeper announces its sleep and then looks at its
//! attention; a thread on its way to user mode gets on its CPU and then looks. The fences for that are in [`sched::ParkState`].
#![no_std]
#![forbid(unsafe_code)]

pub mod attention;
pub mod crew;
pub mod duty;
pub mod number;
pub mod stop;
pub mod taker;

pub use attention::{Attention, AttentionWord};
pub use crew::{Crew, Member, Part};
pub use duty::Duty;
pub use number::{DefaultAction, SIGNAL_COUNT, Signal, SignalSet};
pub use stop::{StopNews, StopPhase, StopState};
