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
/// them, and the FS and GS bases stay as they are. The instruction pointer may be any number; the caller checks it.
#[must_use]
#[inline]
pub fn restore(head: &Head, context: &mut UserContext) -> Saved {
    let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags] =
        head.registers;
    let rflags = context.rflags & !RESTORED_FLAGS | flags & RESTORED_FLAGS;
    let (fs_base, gs_base) = (context.fs_base, context.gs_base);
    *context = UserContext {
        r15,
        r14,
        r13,
        r12,
        rbp,
        rbx,
        r11,
        r10,
        r9,
        r8,
        rax,
        rcx,
        rdx,
        rsi,
        rdi,
        rip,
        rflags,
        rsp,
        fs_base,
        gs_base,
    };
    Saved {
        mask: SignalSet::from_bits(head.mask).difference(SignalSet::UNBLOCKABLE),
        stack: StackDescription::from_words(head.stack),
        image_address: head.image_address,
    }
}
