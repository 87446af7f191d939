//! Interrupt dispatch and per-CPU statistics.
