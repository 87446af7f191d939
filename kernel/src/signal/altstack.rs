//! The alternate signal stack (sigaltstack(2)). Key type: [`AlternateStack`].

use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};

/// The smallest stack that sigaltstack accepts, in bytes.
pub const MINIMUM_SIZE: u64 = 2048;

/// A thread's alternate stack; of size 0 when there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AlternateStack {
    base: u64,
    size: u64,
    flags: u32,
}

/// The `stack_t` of the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StackDescription {
    /// Lowest address.
    pub base: u64,
    /// `SS_*`.
    pub flags: u32,
    /// Bytes.
    pub size: u64,
}

impl StackDescription {
    /// Size of a `stack_t` in bytes.
    pub const SIZE: usize = 24;

    /// Decodes a `stack_t`: base, flags (four bytes and padding), size.
    #[must_use]
    pub fn from_words(words: [u64; 3]) -> Self {
        Self { base: words[0], flags: words[1] as u32, size: words[2] }
    }

    /// The inverse of [`from_words`](Self::from_words).
    #[must_use]
    pub fn to_words(self) -> [u64; 3] {
        [self.base, u64::from(self.flags), self.size]
    }
}

impl AlternateStack {
    /// No alternate stack, as after `SS_AUTODISARM` has taken it away.
    pub const NONE: Self = Self { base: 0, size: 0, flags: abi::SS_DISABLE };

    /// Whether stack pointer `rsp` is on it. A stack that disarms itself never counts as in use.
    #[must_use]
    pub fn is_in_use(&self, rsp: u64) -> bool {
        !self.disarms_itself() && self.contains(rsp)
    }

    /// Whether `rsp` points into it. A stack grows down: its end is inside, its base is not.
    #[must_use]
    pub fn contains(&self, rsp: u64) -> bool {
        rsp > self.base && rsp - self.base <= self.size
    }

    /// Whether it is taken away for as long as a handler runs (`SS_AUTODISARM`).
    #[must_use]
    pub fn disarms_itself(&self) -> bool {
        self.flags & abi::SS_AUTODISARM != 0
    }

    /// The initial stack pointer of a handler that wants it, if it exists and `rsp` is not on it already.
    #[must_use]
    pub fn entry(&self, rsp: u64) -> Option<u64> {
        (self.size != 0 && !self.is_in_use(rsp)).then(|| self.base.wrapping_add(self.size))
    }

    /// What sigaltstack reports to a thread whose stack pointer is `rsp`.
    #[must_use]
    pub fn describe(&self, rsp: u64) -> StackDescription {
        let state = match (self.size, self.is_in_use(rsp)) {
            (0, _) => abi::SS_DISABLE,
            (_, true) => abi::SS_ONSTACK,
            (_, false) => 0,
        };
        let flags = state | self.flags & abi::SS_AUTODISARM;
        StackDescription { base: self.base, flags, size: self.size }
    }

    /// What a signal frame saves, for sigreturn to restore.
    #[must_use]
    pub fn saved(&self) -> StackDescription {
        StackDescription { base: self.base, flags: self.flags, size: self.size }
    }

    /// Replaces it as a thread whose stack pointer is `rsp` asks.
    ///
    /// # Errors
    /// `EPERM` while the thread is on it, `EINVAL` for unknown flags, `ENOMEM` for one that is too small.
    pub fn set(&mut self, wanted: StackDescription, rsp: u64) -> Result<()> {
        if self.is_in_use(rsp) {
            return Err(Errno::EPERM);
        }
        match wanted.flags & !abi::SS_AUTODISARM {
            abi::SS_DISABLE => *self = Self { base: 0, size: 0, flags: wanted.flags },
            0 | abi::SS_ONSTACK if self.saved() == wanted => (),
            0 | abi::SS_ONSTACK if wanted.size < MINIMUM_SIZE => return Err(Errno::ENOMEM),
            0 | abi::SS_ONSTACK => {
                *self = Self { base: wanted.base, size: wanted.size, flags: wanted.flags };
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(base: u64, size: u64, flags: u32) -> StackDescription {
        StackDescription { base, flags, size }
    }

    #[test]
    fn a_stack_is_in_use_from_above_its_base_to_its_end() {
        let mut alternate = AlternateStack::default();
        assert_eq!(alternate.describe(0).flags, abi::SS_DISABLE);
        assert_eq!(alternate.set(stack(0x1000, 0x2000, 0), 0), Ok(()));
        assert!(!alternate.is_in_use(0x1000) && alternate.is_in_use(0x1001));
        assert!(alternate.is_in_use(0x3000) && !alternate.is_in_use(0x3001));
        assert_eq!(alternate.entry(0x8000), Some(0x3000));
        assert_eq!(alternate.entry(0x2000), None);
        assert_eq!(alternate.set(stack(0, 0, abi::SS_DISABLE), 0x2000), Err(Errno::EPERM));
    }

    #[test]
    fn flags_and_sizes_are_checked_as_on_linux() {
        let mut alternate = AlternateStack::default();
        assert_eq!(alternate.set(stack(0, 4096, 7), 0), Err(Errno::EINVAL));
        assert_eq!(alternate.set(stack(0, MINIMUM_SIZE - 1, 0), 0), Err(Errno::ENOMEM));
        assert_eq!(alternate.set(stack(0x1000, 0x2000, abi::SS_AUTODISARM), 0), Ok(()));
        assert!(!alternate.is_in_use(0x2000), "a stack that disarms itself is never in use");
        assert_eq!(alternate.describe(0x2000).flags, abi::SS_AUTODISARM);
    }
}
