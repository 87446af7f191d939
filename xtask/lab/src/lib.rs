//! The scheduler's laboratory on the host: a simulator, and what is made of the traces of simulator and kernel.
//!
//! - [`simulator`] runs a [load](loads::Load) on the real `sched::Scheduler` in virtual time: same seed, same bytes.
//! - [`trace`] is a run as a list of events, wherever it comes from; [`kernel_trace`] reads `/proc/trace`.
//! - [`metrics`] measures a trace; [`table`] and [`report`] show several runs beside each other.
//! - [`chrome`] writes a trace for Perfetto, [`gantt`] draws it.
//! - [`replay`] has a policy decide again what it decided in the kernel, and names the first difference.
//!
//! Nothing here knows QEMU or the command line: `xtask` does. `docs/lab.md` is the user's page.
#![forbid(unsafe_code)]

pub mod chrome;
pub mod gantt;
pub mod kernel_trace;
pub mod metrics;
pub mod replay;
pub mod report;
pub mod run;
pub mod simulator;
pub mod table;
pub mod trace;
