//! Time: timers, clocks, and the system calls about them.

mod timer;

pub use timer::{Timer, TimerNode, TimerQueue};
