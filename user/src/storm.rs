//! The signal storm: threads and processes that send, block, wait, fork, exec and exit at random from a seed.
//!
//! A few *receivers* last for the whole storm: threads of resident processes, and pilgrims, which are processes of one thread that
//! execute themselves anew now and then. Each sends numbered real-time signals to all others, takes its own by handlers,
//! rt_sigtimedwait(2) and signalfds in turn, and makes children that do not last. What was accepted must arrive once: a
//! stream from one sender to one receiver under one signal in order and without a gap, what goes to a process with several threads by
//! count and sum. The state is in memory that all of them share ([`shared`]), so that it outlives an execve(2).
//!
//! - [`shared`]: the books; [`receiver`]: what a receiver does; [`actions`]: single actions; [`coordinator`]: who begins and judges.

mod actions;
mod coordinator;
mod receiver;
mod shared;

use std::process::ExitCode;

use crate::sys;
use crate::sys::Errno;
use shared::Shared;

const HELP: &str = "\
Usage: storm [--seconds SECONDS] [--seed SEED]
Sends signals at random among threads and processes (default 10 seconds, seed 1)
and checks that every real-time signal that was accepted arrives once and in
order. As first process it powers the machine off in the end.
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Help,
    Storm {
        seconds: u64,
        seed: u64,
    },
    /// A pilgrim that has executed itself: descriptor of the books, and which receiver it is.
    Pilgrim {
        books: i32,
        receiver: usize,
        seed: u64,
    },
    /// A child that has executed this program: it sends some signals and ends.
    Visitor {
        books: i32,
        seed: u64,
    },
}

/// Entry point of the `storm` program: its exit status says whether all went well.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments) {
        Some(Request::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(Request::Storm { seconds, seed }) => coordinator::run(seconds, seed),
        Some(Request::Pilgrim { books, receiver, seed }) => {
            receiver::pilgrim(Shared::map(books), receiver, seed)
        }
        Some(Request::Visitor { books, seed }) => {
            actions::visit(Shared::map(books), seed);
            ExitCode::SUCCESS
        }
        None => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Option<Request> {
    let number = |text: &String| text.parse::<u64>().ok();
    match arguments {
        [flag, rest @ ..] if flag == "--pilgrim" => match rest {
            [books, receiver, seed] => Some(Request::Pilgrim {
                books: number(books)? as i32,
                receiver: number(receiver)? as usize,
                seed: number(seed)?,
            }),
            _ => None,
        },
        [flag, books, seed] if flag == "--visitor" => {
            Some(Request::Visitor { books: number(books)? as i32, seed: number(seed)? })
        }
        _ => parse_storm(arguments),
    }
}

fn parse_storm(arguments: &[String]) -> Option<Request> {
    let (mut seconds, mut seed) = (10, 1);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" => return Some(Request::Help),
            "--seconds" => seconds = words.next()?.parse().ok()?,
            "--seed" => seed = words.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(Request::Storm { seconds, seed })
}

/// Ends the process at once: no destructors, no flushing.
fn leave(status: i32) -> ! {
    loop {
        let _never = sys!(SYS_exit_group, status);
    }
}

/// Waits for child `pid`, whatever signals come meanwhile; its wait status.
fn reap(pid: i32) -> i32 {
    let mut status = 0_i32;
    while sys!(SYS_wait4, pid, &mut status, 0, 0) == Err(Errno::EINTR) {}
    status
}

/// Forks. The child's id, or 0 in the child, which touches no lock of Rust's: other threads may have held it.
fn fork() -> i32 {
    // SAFETY: the C library puts its own locks in order.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", Errno::last());
    pid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Request> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_are_understood() {
        assert_eq!(of(""), Some(Request::Storm { seconds: 10, seed: 1 }));
        assert_eq!(of("--seed 7 --seconds 3"), Some(Request::Storm { seconds: 3, seed: 7 }));
        assert_eq!(of("--visitor 3 9"), Some(Request::Visitor { books: 3, seed: 9 }));
        let pilgrim = Request::Pilgrim { books: 3, receiver: 2, seed: 9 };
        assert_eq!(of("--pilgrim 3 2 9"), Some(pilgrim));
        assert_eq!(of("--nonsense"), None);
    }
}
