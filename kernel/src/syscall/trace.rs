//! `strace=1` on the command line: each call in the kernel log, decoded.

use alloc::string::String;
use core::fmt::Write;

use arch::sync::atomic::{AtomicBool, Ordering};

use super::{Caller, Syscall};
use crate::errno::Result;
use crate::log_info;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Turns tracing on. Called while the command line is read.
pub fn enable() {
    // Relaxed: set before the first program runs, and late sight of it does no harm.
    ENABLED.store(true, Ordering::Relaxed);
}

pub(super) fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// A call that is under way: its text is made at entry, for the handler may change the registers.
pub(super) struct Entry(String);

impl Entry {
    pub(super) fn new(syscall: &Syscall, caller: &Caller<'_>) -> Self {
        let mut text = String::new();
        let tid = caller.thread.tid();
        // A String's formatter has no error of its own.
        let _ = write!(text, "[{tid}] {}(", syscall.name);
        let _ = (syscall.show)(&caller.arguments(), &mut text);
        text.push(')');
        Self(text)
    }

    pub(super) fn finish(self, result: &Result) {
        match result {
            Ok(value) if *value > 0xffff => log_info!("{} = {value:#x}", self.0),
            Ok(value) => log_info!("{} = {value}", self.0),
            Err(errno) => log_info!("{} = -1 {errno}", self.0),
        }
    }
}
