//! How a process ended. Key type: [`ExitStatus`].

use crate::signal::{Code, Signal};

/// Whether a core file was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoreFile {
    /// It was.
    Written,
    /// It was not: not asked for, not allowed by `RLIMIT_CORE`, or it failed.
    Absent,
}

/// How a thread or a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// By exit(2) or exit_group(2) with this status.
    Exited(u8),
    /// By a signal.
    Killed(Signal, CoreFile),
}

impl ExitStatus {
    /// The status word of wait(2).
    #[must_use]
    pub const fn to_wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => (code as i32) << 8,
            Self::Killed(signal, CoreFile::Absent) => signal.number() as i32,
            Self::Killed(signal, CoreFile::Written) => signal.number() as i32 | 0x80,
        }
    }

    /// `si_code` and `si_status` of the parent's SIGCHLD and of waitid(2).
    #[must_use]
    pub const fn to_child_code(self) -> (i32, i32) {
        match self {
            Self::Exited(code) => (Code::CLD_EXITED, code as i32),
            Self::Killed(signal, CoreFile::Absent) => (Code::CLD_KILLED, signal.number() as i32),
            Self::Killed(signal, CoreFile::Written) => (Code::CLD_DUMPED, signal.number() as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_are_those_of_wait_2() {
        assert_eq!(ExitStatus::Exited(3).to_wait_status(), 0x300);
        let killed = |core| ExitStatus::Killed(Signal::SIGSEGV, core);
        assert_eq!(killed(CoreFile::Absent).to_wait_status(), 11);
        assert_eq!(killed(CoreFile::Written).to_wait_status(), 139);
        assert_eq!(killed(CoreFile::Written).to_child_code(), (3, 11));
    }
}
