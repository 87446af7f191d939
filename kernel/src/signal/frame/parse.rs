//! Reading a frame back, for sigreturn. Nothing in it is trusted.

use arch::context::UserContext;

use super::{EXTENDED_ADDRESS, INFO, MASK, REGISTERS, RESTORED_FLAGS, STACK, get};
use crate::signal::altstack::StackDescription;
use crate::signal::number::SignalSet;

/// What a frame asks sigreturn to restore, apart from the extended state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saved {
    /// The registers.
    pub context: UserContext,
    /// The signal mask, without what cannot be blocked.
    pub mask: SignalSet,
    /// The alternate stack.
    pub stack: StackDescription,
    /// Where the extended state lies; 0 for none.
    pub image_address: u64,
}

/// Decodes the frame whose first [`INFO`] bytes are `head`, for a thread whose registers are `now`.
///
/// Any bytes are accepted: selectors are not taken from the frame, the flags only as far as user mode may change
/// them, and the FS and GS bases stay as they are. The instruction pointer may be any number; the caller checks it.
#[must_use]
pub fn parse(head: &[u8; INFO], now: &UserContext) -> Saved {
    let register = |i: usize| get(head, REGISTERS + i * 8);
    let context = UserContext {
        r8: register(0),
        r9: register(1),
        r10: register(2),
        r11: register(3),
        r12: register(4),
        r13: register(5),
        r14: register(6),
        r15: register(7),
        rdi: register(8),
        rsi: register(9),
        rbp: register(10),
        rbx: register(11),
        rdx: register(12),
        rax: register(13),
        rcx: register(14),
        rsp: register(15),
        rip: register(16),
        rflags: now.rflags & !RESTORED_FLAGS | register(17) & RESTORED_FLAGS,
        ..*now
    };
    let stack = [0, 1, 2].map(|i| get(head, STACK + i * 8));
    Saved {
        context,
        mask: SignalSet::from_bits(get(head, MASK)).difference(SignalSet::UNBLOCKABLE),
        stack: StackDescription::from_words(stack),
        image_address: get(head, EXTENDED_ADDRESS),
    }
}
