//! Processes and threads: what they are, how they come to be, run, wait for each other and end.
//!
//! - [`Thread`] is what the scheduler runs, [`Process`] the thread group that system calls call a process;
//!   [`mod@current`] is the running thread. A thread's life is the loop in `run`.
//! - [`table`] finds both by id; [`family`] is the lock over kinship, [`group`] has process groups and sessions.
//! - [`Credentials`] and [`Limits`] are immutable values behind an `Arc`, so fork shares them.
//! - `fork`, `exec`, `exit` and `wait` are the stations of a process's life; `notify` tells parents.
//!
//! Locks, in order of acquisition: family (`PROCESS_TABLE`), a process's timers (`PROCESS`), its signal lock
//! (`SIGNAL`), its signal actions (`ACTIONS`), the small locks of a thread or process (`THREAD`); the shards of the id
//! table (`IDENTITY`) inside any of them. Each struct's comment says which fields each lock guards.

mod account;
mod calls;
mod clone_flags;
mod credentials;
mod current;
mod exec;
pub(crate) mod exit;
pub mod family;
mod faults;
mod first;
mod fork;
pub mod group;
mod id;
mod image;
mod limits;
mod name;
pub(crate) mod notify;
mod oom;
pub(crate) mod pidfd;
mod process;
mod run;
mod rusage;
mod status;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod thread;
mod usage;
mod wait;

pub use account::Account;
pub use calls::{SYSCALLS, host_name, release, set_host_name, version};
pub use credentials::{Capability, CapabilitySet, Credentials, Ids};
pub use current::{CurrentThread, current, set_current, try_current};
pub use exec::{NewProgram, Privileges, become_single_threaded, replace_image};
pub use first::{spawn_first, spawn_helper};
pub use id::{ID_LIMIT, Pid, Tid};
pub use image::Image;
pub use limits::{INFINITY, Limit, Limits, Privilege, Resource};
pub use name::Name;
pub use oom::{Killed, Moment, Search, kill_one, points as out_of_memory_points};
pub use pidfd::Pidfd;
pub use process::Process;
pub use status::{CoreFile, ExitStatus};
pub(crate) use thread::Chores;
pub(crate) use thread::Threads;
pub use thread::{Inherited, Restart, Thread, ThreadParts};
pub use usage::Usage;
