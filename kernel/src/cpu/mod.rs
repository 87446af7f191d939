//! What each CPU does with its time and its interrupts.
//!
//! - [`handle`] is the machine's interrupt handler; [`register_irq`] attaches a device's.
//! - [`Usage`] counts user, system, idle and interrupt time; the loop of a thread's life marks the border.
//! - `timer_check` finds CPUs whose timer is silent.
//! - `report` and `load` are what `/proc/stat` and `/proc/loadavg` show.

mod interrupts;
mod load;
mod report;
mod timer_check;
mod usage;

pub use interrupts::{handle, register_irq};
pub(crate) use load::start as start_load_averages;
pub use load::{LOAD_SHIFT, load_averages};
pub use report::{blocked_count, context_switches, cpu_times, forks, running_count};
pub(crate) use timer_check::{name_silent_timers, try_timer};
pub use usage::{CpuTimes, Usage};
pub(crate) use usage::{Spent, not_negative};
