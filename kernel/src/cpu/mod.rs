//! What each CPU does with its time and its interrupts.

mod usage;

pub(crate) use usage::Mode;
pub use usage::{CpuTimes, Usage, charge_current, enter_user_mode, leave_user_mode};
