//! Which fault a piece of code meets.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::signal::{Info, install};
use super::{Mapping, Status, child, exit_now};

/// A fault as its signal handler saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) struct Fault {
    pub(in crate::suite) signal: i32,
    pub(in crate::suite) code: i32,
    /// `si_addr`.
    pub(in crate::suite) address: usize,
}

/// Exit status of a child that met a fault.
const FAULTED: i32 = 42;

/// Address of the page that the handler writes to, shared with the parent.
static RECORD: OnceLock<Mapping> = OnceLock::new();

/// Makes the page now, so that later it does not come to lie in a hole that the case has made.
pub(in crate::suite) fn prepare() {
    RECORD.get_or_init(|| Mapping::shared(1));
}

extern "C" fn on_fault(_signal: i32, info: *const [u32; 32], _context: usize) {
    // SAFETY: the kernel passes a siginfo_t, 128 bytes, and RECORD is a mapped page.
    unsafe {
        if let Some(record) = RECORD.get() {
            let record = std::ptr::with_exposed_provenance_mut::<[u32; 32]>(record.address());
            record.write_volatile(*info);
        }
    }
    exit_now(FAULTED);
}

/// Runs `body` in a child; gives the fault that ended it, or `None` when it came through.
#[track_caller]
pub(in crate::suite) fn fault_of(body: impl FnOnce()) -> Option<Fault> {
    let record = RECORD.get_or_init(|| Mapping::shared(1));
    let status = child(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
            install(signal, on_fault as *const () as usize, libc::SA_ONSTACK);
        }
        body();
    })
    .status();
    if status == Status::Exited(0) {
        return None;
    }
    assert_eq!(status, Status::Exited(FAULTED));
    let mut words = [0; 32];
    for (index, word) in words.iter_mut().enumerate() {
        *word = record.word(index * 4).load(Ordering::SeqCst);
    }
    let info = Info::decode(&words);
    Some(Fault { signal: info.signal, code: info.code, address: info.address as usize })
}
