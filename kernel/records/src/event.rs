//! What can happen: [`Event`], one number each in a record, and what its record's words mean.
//!
//! The numbers are part of the format of `/proc/trace` (`docs/trace.md`): they are never used again for something else.

/// The kind of a record. `subject` is a thread id, 0 for a CPU's idle thread; `first` and `second` are the record's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Event {
    /// The CPU went from thread `subject` to thread `first`, because `second`: 0 blocked, 1 preempted, 2 yielded, 3 ended.
    Switch = 1,
    /// Thread `subject` was woken and queued on CPU `first`. The record is in the ring of the waking CPU.
    Wake = 2,
    /// Thread `subject` was moved, runnable, to CPU `first`.
    Migrate = 3,
    /// Thread `subject` made thread `first`, of process `second`.
    Fork = 4,
    /// Thread `subject` runs a new program, or took another name: both words are its 16 bytes.
    Name = 5,
    /// Thread `subject` ends with wait status `first`.
    Exit = 6,
    /// Thread `subject` faulted in user mode at address `first`; `second` is the processor's error code.
    PageFault = 7,
    /// A shared table of level `first` was copied, in thread `subject`'s fault or call.
    PathCopy = 8,
    /// A TLB shootdown: `first` is the number of CPUs that were interrupted (low half) and left alone (high half), `second`
    /// the number of pages, or 0 for a flush of the whole space.
    Shootdown = 9,
    /// Signal `first` was sent to thread `subject`, or to the process whose first thread that is (`second` = 1).
    SignalSend = 10,
    /// A handler of thread `subject` starts for signal `first`.
    SignalDeliver = 11,
    /// An interrupt begins: `first` is its kind (0 timer, 1 reschedule, 2 call, 3 device), `second` the device's line.
    Interrupt = 12,
    /// The interrupt that began last on this CPU is over.
    InterruptEnd = 13,
    /// Thread `subject` makes system call `first`. Only recorded when asked for.
    SystemCall = 14,
    /// The system call of thread `subject` returns `first` (two's complement). Only recorded when asked for.
    SystemCallEnd = 15,
    /// A mark that a program wrote: both words are its first 16 bytes.
    Mark = 16,
    /// The scheduling policy was changed; both words are the new one's name.
    Policy = 17,
    /// The policy of a queue was asked or told something; see [`crate::decision`].
    Decision = 18,
    /// A page at address `first` was copied, in thread `subject`'s fault, because it was written while shared.
    FrameCopy = 19,
    /// Thread `subject` alone has what was shared at address `first`, and writes to it without a copy: `second` is the number of
    /// tables that this is true of, or 0 for the page.
    SoleOwner = 20,
    /// The address space of thread `subject` was forked: `first` entries of its root, with `second` pages below, are shared.
    SpaceFork = 21,
}

/// The events in the order of their numbers, from 1 on, with their names.
const ALL: [(Event, &str); 21] = [
    (Event::Switch, "switch"),
    (Event::Wake, "wake"),
    (Event::Migrate, "migrate"),
    (Event::Fork, "fork"),
    (Event::Name, "name"),
    (Event::Exit, "exit"),
    (Event::PageFault, "page fault"),
    (Event::PathCopy, "path copy"),
    (Event::Shootdown, "shootdown"),
    (Event::SignalSend, "signal send"),
    (Event::SignalDeliver, "signal deliver"),
    (Event::Interrupt, "interrupt"),
    (Event::InterruptEnd, "interrupt end"),
    (Event::SystemCall, "system call"),
    (Event::SystemCallEnd, "system call end"),
    (Event::Mark, "mark"),
    (Event::Policy, "policy"),
    (Event::Decision, "decision"),
    (Event::FrameCopy, "frame copy"),
    (Event::SoleOwner, "sole owner"),
    (Event::SpaceFork, "space fork"),
];

impl Event {
    /// The event with this number.
    #[must_use]
    pub fn numbered(number: u8) -> Option<Self> {
        let index = usize::from(number).checked_sub(1)?;
        ALL.get(index).map(|(event, _)| *event)
    }
}

/// What the event with this number is called.
#[must_use]
pub fn name(number: u8) -> &'static str {
    let index = usize::from(number).checked_sub(1);
    index.and_then(|index| ALL.get(index)).map_or("unknown", |(_, name)| name)
}

/// Sixteen bytes of text as a record's two words.
#[must_use]
pub fn words_of(text: &[u8]) -> (u64, u64) {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    let (head, tail) = bytes.split_at(8);
    let word = |half: &[u8]| half.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    (word(head), word(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_name() {
        for (number, (event, _)) in (1..).zip(ALL) {
            assert_eq!((event as u8, Event::numbered(number)), (number, Some(event)));
        }
        assert_eq!(name(Event::Switch as u8), "switch");
        assert_eq!(name(Event::PathCopy as u8), "path copy");
        assert_eq!(name(Event::Decision as u8), "decision");
        assert_eq!(name(Event::SpaceFork as u8), "space fork");
        assert_eq!((name(0), name(200)), ("unknown", "unknown"));
    }

    #[test]
    fn text_keeps_its_bytes_in_little_endian_words() {
        let (first, second) = words_of(b"0123456789abcdefXYZ");
        assert_eq!(first.to_le_bytes(), *b"01234567");
        assert_eq!(second.to_le_bytes(), *b"89abcdef");
        assert_eq!(words_of(b"sh"), (u64::from_le_bytes(*b"sh\0\0\0\0\0\0"), 0));
    }
}
