//! Clocks, timer queues and the system calls on them.
