//! Whether an interrupted system call runs again (signal(7), "Interruption of system calls").
//!
//! One pure function decides: [`decide`].

use crate::errno::Errno;

/// What happens in user mode before the interrupted call's result is seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    /// No handler runs.
    Nothing,
    /// A handler with `SA_RESTART` runs.
    RestartingHandler,
    /// A handler without `SA_RESTART` runs.
    OtherHandler,
}

/// What becomes of the interrupted call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It fails with `EINTR`.
    Interrupted,
    /// The same call runs again.
    Again,
    /// restart_syscall(2) continues it, with what it left in the thread's restart block.
    Continue,
}

/// What becomes of a call that ended with restart code `code`.
///
/// | code | no handler | `SA_RESTART` | other handler |
/// |---|---|---|---|
/// | `ERESTARTSYS` | again | again | `EINTR` |
/// | `ERESTARTNOINTR` | again | again | again |
/// | `ERESTARTNOHAND` | again | `EINTR` | `EINTR` |
/// | `ERESTART_RESTARTBLOCK` | continue | `EINTR` | `EINTR` |
#[must_use]
pub fn decide(code: Errno, before: Before) -> Outcome {
    match (code, before) {
        (Errno::ERESTARTNOINTR, _)
        | (Errno::ERESTARTSYS, Before::Nothing | Before::RestartingHandler)
        | (Errno::ERESTARTNOHAND, Before::Nothing) => Outcome::Again,
        (Errno::ERESTART_RESTARTBLOCK, Before::Nothing) => Outcome::Continue,
        _ => Outcome::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_linux_s() {
        use Before::{Nothing, OtherHandler, RestartingHandler};
        use Outcome::{Again, Continue, Interrupted};
        let table = [
            (Errno::ERESTARTSYS, [Again, Again, Interrupted]),
            (Errno::ERESTARTNOINTR, [Again, Again, Again]),
            (Errno::ERESTARTNOHAND, [Again, Interrupted, Interrupted]),
            (Errno::ERESTART_RESTARTBLOCK, [Continue, Interrupted, Interrupted]),
        ];
        for (code, outcomes) in table {
            let decided = [Nothing, RestartingHandler, OtherHandler].map(|b| decide(code, b));
            assert_eq!(decided, outcomes, "{code}");
        }
    }
}
