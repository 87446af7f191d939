//! The restart class of every system call that a signal may interrupt (signal(7), "Interruption of system calls").
//!
//! [`ROWS`] is the one table: `docs/signals.md` shows it, the guest suite's area `interruptions` shows each row on
//! Linux and here, and builds with debug assertions [`check`] every result against it, so that no call can have a class
//! that is not written down.

use crate::errno::{Errno, Result};
use crate::task::Thread;

/// What becomes of a call that a signal interrupts; [`crate::signal::restart`] acts on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Runs again unless a handler without `SA_RESTART` runs.
    Sys,
    /// Runs again in any case.
    NoInterrupt,
    /// Runs again only if no handler runs.
    NoHandler,
    /// Goes on, through restart_syscall(2), only if no handler runs.
    RestartBlock,
    /// Fails with `EINTR` in any case.
    Fails,
}

impl Class {
    /// The code with which the call ends.
    #[must_use]
    pub const fn code(self) -> Errno {
        match self {
            Self::Sys => Errno::ERESTARTSYS,
            Self::NoInterrupt => Errno::ERESTARTNOINTR,
            Self::NoHandler => Errno::ERESTARTNOHAND,
            Self::RestartBlock => Errno::ERESTART_RESTARTBLOCK,
            Self::Fails => Errno::EINTR,
        }
    }
}

/// Calls that wait for the same things, and their class when they do.
pub struct Row {
    /// The calls, by name.
    pub calls: &'static [&'static str],
    /// What they wait for.
    pub waits: &'static str,
    /// Their class then.
    pub class: Class,
    /// The cases of the guest suite's area `interruptions` that show it.
    pub cases: &'static [&'static str],
}

const fn row(
    class: Class,
    calls: &'static [&'static str],
    waits: &'static str,
    cases: &'static [&'static str],
) -> Row {
    Row { calls, waits, class, cases }
}

/// The table. A call that is in no row is never interrupted.
pub const ROWS: &[Row] = &[
    row(
        Class::Sys,
        &["read", "readv", "preadv2"],
        "data from a pipe, FIFO, terminal or socket, an event, a time, a signal, a message of the kernel",
        &["read_of_pipes", "read_of_a_terminal", "read_of_event_files"],
    ),
    row(
        Class::Sys,
        &["write", "writev", "pwritev2"],
        "room in a pipe, FIFO, terminal, socket or event counter; the terminal's foreground",
        &["write_to_pipes", "write_to_event_counters"],
    ),
    row(
        Class::Sys,
        &["splice", "tee", "sendfile"],
        "data in or room in a pipe, or what the other file waits for",
        &["splice_tee_and_sendfile"],
    ),
    row(
        Class::Sys,
        &["open", "openat", "openat2", "creat"],
        "the other end of a FIFO",
        &["open_of_fifos"],
    ),
    row(
        Class::Sys,
        &["accept", "accept4", "connect", "recvfrom", "recvmsg", "recvmmsg"],
        "a peer or data, on a socket without a time-out",
        &["accept_and_connect", "receive_without_a_time_out"],
    ),
    row(
        Class::Sys,
        &["sendto", "sendmsg", "sendmmsg"],
        "room in a socket without a time-out",
        &["send_without_a_time_out"],
    ),
    row(Class::Sys, &["wait4", "waitid"], "a child", &["wait_for_children"]),
    row(Class::Sys, &["flock", "fcntl"], "a lock on a file", &["file_locks"]),
    row(
        Class::Sys,
        &["futex", "futex_waitv"],
        "a futex without a time-out; futex_waitv with one, too",
        &["futex_without_a_time_out", "futex_vectors"],
    ),
    row(Class::Sys, &["ioctl"], "a terminal's output, or its foreground", &[]),
    row(Class::Sys, &["syslog"], "a message of the kernel", &[]),
    row(
        Class::NoInterrupt,
        &["fork", "vfork", "clone", "clone3"],
        "nothing: a signal that came before the child was made goes first",
        &[],
    ),
    row(Class::NoInterrupt, &["futex"], "a lock with priority inheritance", &["futex_locks"]),
    row(
        Class::NoHandler,
        &["pause", "rt_sigsuspend"],
        "a signal that runs a handler",
        &["waits_for_handlers"],
    ),
    row(Class::NoHandler, &["select", "pselect6", "ppoll"], "descriptors", &["select_and_ppoll"]),
    row(Class::NoHandler, &["clock_nanosleep"], "a point in time", &["sleep_until_a_time"]),
    row(Class::RestartBlock, &["poll", "restart_syscall"], "descriptors", &["poll_of_descriptors"]),
    row(
        Class::RestartBlock,
        &["nanosleep", "clock_nanosleep", "restart_syscall"],
        "a span of time",
        &["sleep_for_a_span"],
    ),
    row(
        Class::RestartBlock,
        &["futex", "restart_syscall"],
        "a futex with a time-out",
        &["futex_with_a_time_out"],
    ),
    row(
        Class::Fails,
        &["restart_syscall"],
        "nothing: there is no interrupted call to go on with",
        &[],
    ),
    row(
        Class::Fails,
        &["epoll_wait", "epoll_pwait", "epoll_pwait2"],
        "descriptors",
        &["epoll_of_descriptors"],
    ),
    row(Class::Fails, &["rt_sigtimedwait"], "a signal of its set", &["signals_of_a_set"]),
    row(
        Class::Fails,
        &["accept", "accept4", "connect", "recvfrom", "recvmsg", "recvmmsg", "read", "readv"],
        "a peer or data, on a socket with `SO_RCVTIMEO` (connect: `SO_SNDTIMEO`)",
        &["receive_with_a_time_out"],
    ),
    row(
        Class::Fails,
        &["sendto", "sendmsg", "sendmmsg", "write", "writev"],
        "room in a socket with `SO_SNDTIMEO`",
        &["send_with_a_time_out"],
    ),
];

/// Whether call `name` may end with `code`.
fn allows(name: &str, code: Errno) -> bool {
    ROWS.iter().any(|row| row.class.code() == code && row.calls.contains(&name))
}

/// Checks the result of a call of `thread` against the table.
///
/// # Panics
/// In builds with debug assertions, when the call was interrupted in a way that the table does not know.
#[inline]
pub fn check(thread: &Thread, number: u64, result: &Result) {
    if cfg!(debug_assertions)
        && let &Err(code) = result
        && (code.is_restart() || code == Errno::EINTR)
    {
        // Whoever is to end never sees the result, and may be interrupted anywhere.
        let name = super::table::find(number).map_or("unknown", |call| call.name);
        assert!(thread.has_fatal_signal() || allows(name, code), "{name} ended with {code}");
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::syscall::implemented;

    /// A file of the source tree.
    fn source(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The table as `docs/signals.md` shows it.
    fn as_text() -> String {
        let mut text = String::from("| class | calls | what they wait for |\n|---|---|---|\n");
        for row in ROWS {
            let class = match row.class {
                Class::Fails => "`EINTR` at once".to_owned(),
                class => format!("`{class:?}`", class = class.code()),
            };
            let calls = row.calls.join(", ");
            writeln!(text, "| {class} | {calls} | {} |", row.waits).expect("a string takes it");
        }
        text
    }

    #[test]
    fn every_call_of_the_table_is_implemented() {
        for call in ROWS.iter().flat_map(|row| row.calls) {
            assert!(implemented().any(|known| known.name == *call), "there is no call {call}");
        }
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let text = as_text();
        assert!(source("docs/signals.md").contains(&text), "docs/signals.md should say:\n{text}");
    }

    #[test]
    fn the_guest_suite_has_the_cases_that_the_table_names() {
        let suite = source("user/src/suite/interruptions.rs");
        for case in ROWS.iter().flat_map(|row| row.cases) {
            assert!(suite.contains(&format!("fn {case}()")), "there is no case {case}");
        }
    }

    #[test]
    fn a_class_that_is_not_written_down_is_noticed() {
        assert!(allows("read", Errno::ERESTARTSYS) && allows("futex", Errno::ERESTARTNOINTR));
        assert!(!allows("read", Errno::ERESTARTNOHAND) && !allows("poll", Errno::ERESTARTSYS));
        assert!(!allows("getpid", Errno::EINTR));
    }
}
