//! What each CPU does with its time and its interrupts.

mod interrupts;
mod usage;

pub use interrupts::{handle, register_irq};
pub use usage::{CpuTimes, Usage, charge_current, enter_user_mode, leave_user_mode};
