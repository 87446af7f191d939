//! Giving up work that takes long, because the thread for whose sake it is done is to end.
//!
//! Operations on large ranges are done in steps, and ask between them, with no lock held. What a thread is, this crate does not
//! know: whoever owns the [`Memory`] says whom to ask.

use super::Memory;
use crate::error::MmError;

impl Memory {
    /// Has `is_to_end` asked, once and for all, whether the running thread is to end. It is called with no locks held, often.
    pub fn ask_for_interruption(&self, is_to_end: fn() -> bool) {
        self.is_interrupted.call_once(|| is_to_end);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`MmError::Interrupted`] if the running thread is to end.
    pub(crate) fn check_interruption(&self) -> Result<(), MmError> {
        match self.is_interrupted.get() {
            Some(is_interrupted) if is_interrupted() => Err(MmError::Interrupted),
            _ => Ok(()),
        }
    }
}
