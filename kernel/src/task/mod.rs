//! Processes and threads: what they are, how they come to be, run, wait for each other and end.
//!
//! - [`Thread`] is what the scheduler runs, [`Process`] the thread group that system calls call a process;
//!   [`current`] is the running thread.
//! - [`table`] finds both by id; [`family`] is the lock over kinship, [`group`] has process groups and sessions.
//! - [`Credentials`] and [`Limits`] are immutable values behind an `Arc`, so fork shares them.
//!
//! Locks, in order of acquisition: family (`PROCESS_TABLE`), a process's signal lock (`SIGNAL`), its signal
//! actions (`ACTIONS`), the small locks of a thread or process (`THREAD`); the shards of the id table
//! (`IDENTITY`) inside any of them. Each struct's comment says which fields each lock guards.

mod account;
mod credentials;
mod current;
pub mod family;
pub mod group;
mod id;
mod limits;
mod process;
pub mod table;
mod thread;

pub use account::Account;
pub use credentials::{Capability, CapabilitySet, Credentials, Ids};
pub use current::{CurrentThread, current, set_current, try_current};
pub use id::{ID_LIMIT, Pid, Tid};
pub use limits::{INFINITY, Limit, Limits, Privilege, Resource};
pub use process::Process;
pub(crate) use thread::Threads;
pub use thread::{Name, Restart, Thread, ThreadParts};
