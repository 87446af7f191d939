//! The bytes of a signal frame, `struct rt_sigframe`, as Linux lays them out on the user stack of x86-64.
//!
//! Pure: [`build`] makes the bytes and the handler's registers from a thread's registers, [`parse`] and
//! [`extended`] take back what sigreturn finds. From the stack pointer of the handler upwards:
//!
//! ```text
//!   0   return address (sa_restorer)
//!   8   ucontext: flags, link, stack_t, sigcontext (general registers), signal mask
//! 312   siginfo_t
//! 440   gap, then at a multiple of 64: the XSAVE image, and after it the second magic number
//! ```
//!
//! Bytes 464 to 511 of the image, which the processor leaves to software, tell the size and the features of the
//! image and carry the first magic number; programs and debuggers find the rest by them (`asm/sigcontext.h`).

pub mod build;
pub mod extended;
pub mod parse;

use core::mem::offset_of;

use arch::context::UserContext;

use crate::plain_data;

/// The frame up to its `siginfo_t`: the return address and the `ucontext`, word for word.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Head {
    front: Front,
    registers: UserContext,
    back: Back,
}

/// What comes before the registers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Front {
    restorer: u64,
    flags: u64,
    link: u64,
    /// A `stack_t`.
    stack: [u64; 3],
}

/// What comes after them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Back {
    selectors: u64,
    error_code: u64,
    trap_number: u64,
    old_mask: u64,
    fault_address: u64,
    /// Where the extended state lies; 0 for none.
    image_address: u64,
    reserved: [u64; 8],
    mask: u64,
}

plain_data!(Head, Front, Back);

/// Where the `ucontext` starts.
const CONTEXT: usize = offset_of!(Head, front.flags);
/// Where the `siginfo_t` starts: the end of the `ucontext`.
const INFO: usize = size_of::<Head>();
/// Bytes of the frame without the extended state.
pub const FRAME_SIZE: usize = INFO + super::info::INFO_SIZE;

const _: () = assert!(CONTEXT == 8 && FRAME_SIZE == 440 && INFO == 312);
const _: () =
    assert!(size_of::<UserContext>() == 18 * 8, "the registers of `struct sigcontext_64`");

/// `uc_flags`: `UC_SIGCONTEXT_SS` and `UC_STRICT_RESTORE_SS` (`asm/ucontext.h`): the stack selector is saved, and
/// restored strictly.
const CONTEXT_FLAGS: u64 = 2 | 4;
/// `UC_FP_XSTATE`: the image is more than the legacy area.
const CONTEXT_EXTENDED: u64 = 1;
/// Says that software's part of the image is filled in (`asm/sigcontext.h`).
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Follows the image, as a check against images that were moved without it.
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;

/// Flags that a handler starts without: direction, trap, resume.
const CLEARED_FLAGS: u64 = 1 << 10 | 1 << 8 | 1 << 16;
/// Flags that sigreturn may change: carry, parity, adjust, zero, sign, trap, direction, overflow, resume and
/// alignment check (`FIX_EFLAGS`).
const RESTORED_FLAGS: u64 = 0x5_0dd5;

/// The format of the extended state on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedLayout {
    /// Bytes of a whole image in the standard (not compacted) form.
    pub size: usize,
    /// The state components that it can hold (XCR0).
    pub features: u64,
}

impl ExtendedLayout {
    /// Whether the processor has only the legacy area (no `XSAVE`).
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.size <= extended::LEGACY_SIZE
    }
}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
