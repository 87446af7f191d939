//! Time: timers, clocks, and the system calls about them.
//!
//! - [`Timer`] calls back at a time; `timer` keeps one queue per CPU.
//! - [`ClockId`] names and reads the clocks of clock_gettime(2); [`realtime`] is the time of day.
//! - [`Timespec`] and [`Timeval`] are times as programs pass them.

mod calls;
mod clock;
mod sleep;
mod timer;
mod value;

pub use calls::SYSCALLS;
pub use clock::{
    ClockId, Precision, boot_time, clock_was_set, process_cpu_time, realtime, set_realtime,
    thread_cpu_time,
};
pub use timer::{Timer, TimerNode, TimerQueue};
pub use value::{Timespec, Timeval};
