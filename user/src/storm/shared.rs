//! The books of the storm, in memory that all processes share.
//!
//! Every word has one writer where order matters: a sender counts what it sent, a receiver what it took. The rest is added to
//! atomically. What a word is compared with is read after both sides have ended, or by its own writer.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use crate::ok;

/// How many threads receive for the whole storm.
pub(super) const RECEIVERS: usize = RESIDENTS * THREADS + PILGRIMS;
/// Processes with several receivers.
pub(super) const RESIDENTS: usize = 3;
/// Receivers in each of them.
pub(super) const THREADS: usize = 3;
/// Processes with one receiver that execute themselves anew.
pub(super) const PILGRIMS: usize = 2;
/// How many real-time signals are in use, from [`FIRST`] on.
pub(super) const SIGNALS: usize = 4;
/// The first of them; below are those that C libraries keep for themselves.
pub(super) const FIRST: i32 = 36;

/// What one receiver publishes and counts.
#[repr(C)]
pub(super) struct Receiver {
    /// Its process and thread; 0 until it is ready.
    pub pid: AtomicI32,
    pub tid: AtomicI32,
    /// The last number taken of each stream: by sender and signal.
    pub taken: [[AtomicU64; SIGNALS]; RECEIVERS],
    /// The last number sent to this receiver in each stream. Each sender writes its own.
    pub sent: [[AtomicU64; SIGNALS]; RECEIVERS],
    /// Signals taken by handlers, waits and signalfds.
    pub ways: [AtomicU64; 3],
}

/// Signals to a whole process: how many, and the sum of what they carried.
#[repr(C)]
pub(super) struct Ledger {
    pub sent: AtomicU64,
    pub sent_sum: AtomicU64,
    pub taken: AtomicU64,
    pub taken_sum: AtomicU64,
}

/// Everything.
#[repr(C)]
pub(super) struct Shared {
    pub receivers: [Receiver; RECEIVERS],
    /// By the index of the process's first receiver.
    pub processes: [Ledger; RECEIVERS],
    /// Nobody sends any more.
    pub calm: AtomicU32,
    /// Who may end now: everything has arrived.
    pub over: AtomicU32,
    /// How many receivers have stopped sending.
    pub calmed: AtomicU32,
    /// How many mistakes were found.
    pub mistakes: AtomicU32,
    /// Sends that were refused because the queue was full.
    pub refused: AtomicU64,
    /// Children made, executions, plain signals sent.
    pub children: AtomicU64,
    pub executions: AtomicU64,
    pub plain: AtomicU64,
}

impl Shared {
    /// New books, all zero, and the descriptor by which programs that are executed find them.
    pub(super) fn create() -> (&'static Self, i32) {
        let descriptor = ok!(SYS_memfd_create, c"storm", 0) as i32;
        ok!(SYS_ftruncate, descriptor, size_of::<Self>());
        (Self::map(descriptor), descriptor)
    }

    /// The books behind `descriptor`.
    pub(super) fn map(descriptor: i32) -> &'static Self {
        let (length, protection) = (size_of::<Self>(), libc::PROT_READ | libc::PROT_WRITE);
        let address = ok!(SYS_mmap, 0, length, protection, libc::MAP_SHARED, descriptor, 0);
        let pointer: *const Self = std::ptr::with_exposed_provenance(address);
        // SAFETY: as large as the structure, page-aligned, never unmapped, and all of it atomics, for which zeros are valid.
        unsafe { &*pointer }
    }

    /// The index of the first receiver in the process of `receiver`.
    pub(super) fn process_of(receiver: usize) -> usize {
        if receiver < RESIDENTS * THREADS { receiver / THREADS * THREADS } else { receiver }
    }

    /// Whether `receiver` is the only thread of its process.
    pub(super) fn is_pilgrim(receiver: usize) -> bool {
        receiver >= RESIDENTS * THREADS
    }

    /// Enters a signal that `receiver` took, `carried` being its value.
    pub(super) fn enter(&self, receiver: usize, signal: i32, carried: u64, way: Way) {
        let books = &self.receivers[receiver];
        books.ways[way as usize].fetch_add(1, SeqCst);
        let Some((sender, number)) = decode(carried) else {
            let ledger = &self.processes[Self::process_of(receiver)];
            ledger.taken_sum.fetch_add(carried, SeqCst);
            ledger.taken.fetch_add(1, SeqCst);
            return;
        };
        let index = (signal - FIRST) as usize;
        let Some(last) = books.taken.get(sender).and_then(|stream| stream.get(index)) else {
            return self.complain("from nobody", receiver, carried, 0);
        };
        // The receiver alone writes this word.
        let before = last.load(SeqCst);
        if number != before + 1 {
            self.complain("out of order", receiver, carried, before);
        }
        last.store(number, SeqCst);
    }

    /// Notes a mistake, and says the first ones. Makes only system calls: it may run in a handler.
    pub(super) fn complain(&self, what: &str, receiver: usize, carried: u64, last: u64) {
        if self.mistakes.fetch_add(1, SeqCst) < 10 {
            let mut text = [0_u8; 160];
            let mut rest = &mut text[..];
            let line = format_args!(
                "storm: {what}: receiver {receiver}, value {carried:#x}, last {last}\n"
            );
            let _full = std::io::Write::write_fmt(&mut rest, line);
            let left = rest.len();
            ok!(SYS_write, 2, &text[..], text.len() - left);
        }
    }
}

/// How a signal was taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Handler,
    Wait,
    Descriptor,
}

/// Marks values of numbered streams.
const NUMBERED: u64 = 1 << 63;
const SENDER_SHIFT: u32 = 48;

/// The value of the signal with `number` of `sender`'s stream.
pub(super) fn encode(sender: usize, number: u64) -> u64 {
    NUMBERED | (sender as u64) << SENDER_SHIFT | number
}

/// Sender and number, if the value belongs to a numbered stream.
fn decode(carried: u64) -> Option<(usize, u64)> {
    let sender = (carried & !NUMBERED) >> SENDER_SHIFT;
    (carried & NUMBERED != 0).then_some((sender as usize, carried & ((1 << SENDER_SHIFT) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        assert_eq!(decode(encode(11, 123_456)), Some((11, 123_456)));
        assert_eq!(decode(77), None);
    }
}
