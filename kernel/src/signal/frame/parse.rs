//! Reading a frame back, for sigreturn. Nothing in it is trusted.

use arch::context::UserContext;

use super::{Head, RESTORED_FLAGS};
use crate::signal::altstack::StackDescription;
use crate::signal::number::SignalSet;

/// What a frame asks sigreturn to restore, apart from the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saved {
    /// The signal mask, without what cannot be blocked.
    pub mask: SignalSet,
    /// The alternate stack.
    pub stack: StackDescription,
    /// Where the extended state lies; 0 for none.
    pub image_address: u64,
}

/// Takes the registers from the frame that begins with `head` into `context`, and returns the rest.
///
/// Any words are accepted: selectors are not taken from the frame, the flags only as far as user mode may change
/// them. The instruction pointer may be any number; the caller checks it.
#[must_use]
#[inline]
pub fn restore(head: &Head, context: &mut UserContext) -> Saved {
    let kept = context.rflags & !RESTORED_FLAGS;
    *context = head.registers;
    context.rflags = kept | context.rflags & RESTORED_FLAGS;
    Saved {
        mask: SignalSet::from_bits(head.back.mask).difference(SignalSet::UNBLOCKABLE),
        stack: StackDescription::from_words(head.front.stack),
        image_address: head.back.image_address,
    }
}
