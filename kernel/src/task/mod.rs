//! Processes and threads.

/// A thread: what the scheduler runs.
pub struct Thread {}
