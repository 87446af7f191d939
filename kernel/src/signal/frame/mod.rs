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

use super::altstack::StackDescription;
use super::number::SignalSet;

/// Where the `ucontext` starts.
const CONTEXT: usize = 8;
const CONTEXT_LINK: usize = CONTEXT + 8;
const STACK: usize = CONTEXT + 16;
const REGISTERS: usize = STACK + StackDescription::SIZE;
/// The general registers, the instruction pointer and the flags: 18 words.
const REGISTER_COUNT: usize = 18;
const SELECTORS: usize = REGISTERS + REGISTER_COUNT * 8;
const ERROR_CODE: usize = SELECTORS + 8;
const TRAP_NUMBER: usize = ERROR_CODE + 8;
const OLD_MASK: usize = TRAP_NUMBER + 8;
const FAULT_ADDRESS: usize = OLD_MASK + 8;
const EXTENDED_ADDRESS: usize = FAULT_ADDRESS + 8;
/// `sigcontext` ends in eight reserved words.
const MASK: usize = EXTENDED_ADDRESS + 8 + 64;
/// Where the `siginfo_t` starts: the end of the `ucontext`.
pub const INFO: usize = MASK + size_of::<SignalSet>();
/// Bytes of the frame without the extended state.
pub const FRAME_SIZE: usize = INFO + super::info::INFO_SIZE;

const _: () = assert!(FRAME_SIZE == 440 && INFO == 312);

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

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

fn get(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
