//! `make sim`, `make lab`, `make trace`, `make replay`: the scheduler's laboratory.
//!
//! The crate `lab` simulates, measures and draws; this module chooses what, boots machines, and fetches what they
//! say: the guest program `lab` (in `user/`) runs loads, `trace` runs a command; both send the trace of it over the
//! console, compressed and as text (`transfer`).

mod guest;
mod options;
mod shares;
mod sim;
mod tests;
mod tracing;
mod transfer;

pub use guest::experiment;
pub use options::{LabOptions, ReplayOptions, SimOptions, TraceOptions};
pub use shares::test as test_shares;
pub use sim::simulate;
pub use tests::test;
pub use tracing::{replay, trace};
