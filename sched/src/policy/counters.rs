//! Counters that describe themselves: a policy's row in the table says what its numbers mean.

/// What one of a policy's counters counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterKind {
    /// Its name, in `snake_case`.
    pub name: &'static str,
    /// What one of it is: tasks, nanoseconds.
    pub unit: &'static str,
    /// One sentence on when it goes up.
    pub about: &'static str,
}
