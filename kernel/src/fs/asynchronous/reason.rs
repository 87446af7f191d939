//! What there is to tell of a file that was woken: [`reason`], and how siginfo shows it. Pure.

use linux_raw_sys::general as abi;

use crate::fs::PollEvents;
use crate::signal::{Code, Signal};

/// Why a file's owner is told: `si_code`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Reason {
    Input = abi::POLL_IN,
    Output = abi::POLL_OUT,
    HungUp = abi::POLL_HUP,
}

impl Reason {
    /// `si_code` and `si_band` under `signal`. A signal that has codes of its own shows where this one is from instead.
    pub(super) fn describe(self, signal: Signal) -> (i32, i64) {
        const WITH_CODES: [Signal; 7] = [
            Signal::SIGILL,
            Signal::SIGFPE,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGTRAP,
            Signal::SIGCHLD,
            Signal::SIGSYS,
        ];
        let code = if WITH_CODES.contains(&signal) { Code::SI_SIGIO } else { self as i32 };
        let band = match self {
            Self::Input => PollEvents::READABLE,
            Self::Output => PollEvents::WRITABLE | PollEvents::WRITE_BAND,
            Self::HungUp => PollEvents::HANG_UP | PollEvents::ERROR,
        };
        (code, i64::from(band.bits()))
    }
}

/// What matters about a file here.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) is_socket: bool,
    pub(super) is_readable: bool,
}

/// What is worth telling of a file that was woken and reports `events`, and reported `last` before. Room to write is told where
/// there is nothing else to tell, and where there was none before.
pub(super) fn reason(events: PollEvents, last: PollEvents, kind: Kind) -> Option<Reason> {
    if kind.is_socket && events.contains(PollEvents::HANG_UP) {
        return Some(Reason::HungUp);
    }
    let input = PollEvents::IN | PollEvents::HANG_UP | PollEvents::PRIORITY;
    if kind.is_readable && events.intersects(input) {
        return Some(Reason::Input);
    }
    let had_room = kind.is_readable && last.contains(PollEvents::OUT);
    let has_room = events.intersects(PollEvents::OUT | PollEvents::ERROR);
    (has_room && !had_room).then_some(Reason::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_follow_the_kind_of_file() {
        let end = |is_readable| Kind { is_socket: false, is_readable };
        let none = PollEvents::empty();
        assert_eq!(reason(PollEvents::READABLE, none, end(true)), Some(Reason::Input));
        assert_eq!(reason(PollEvents::HANG_UP, none, end(true)), Some(Reason::Input));
        let room = PollEvents::WRITABLE;
        assert_eq!(reason(room, room, end(false)), Some(Reason::Output), "a pipe's end, each time");
        assert_eq!(reason(room, room, end(true)), None);
        assert_eq!(reason(room, none, end(true)), Some(Reason::Output));
        let socket = Kind { is_socket: true, is_readable: true };
        let closed = PollEvents::READABLE | PollEvents::HANG_UP;
        assert_eq!(reason(closed, none, socket), Some(Reason::HungUp));
    }

    #[test]
    fn signals_with_codes_of_their_own_show_the_source() {
        let real_time = Signal::new(40).expect("a real-time signal");
        assert_eq!(Reason::Input.describe(real_time), (1, 0x41));
        assert_eq!(Reason::Output.describe(Signal::SIGIO), (2, 0x304));
        assert_eq!(Reason::HungUp.describe(Signal::SIGCHLD), (Code::SI_SIGIO, 0x18));
    }
}
