//! A critical section as a program describes it: `struct rseq_cs`. Pure.

use arch::addr::{USER_END, UserAddr};

use crate::errno::{Errno, Result};

/// Words of a `struct rseq_cs`.
pub const SECTION_WORDS: usize = 4;
/// Bytes of the signature before the abort address.
const SIGNATURE_SIZE: u64 = 4;

/// A critical section that makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    flags: u32,
    start: u64,
    length: u64,
    /// Where a thread goes on that was interrupted inside.
    pub abort: u64,
}

/// Where a thread was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// In the section.
    Inside,
    /// Before it began, or after it was done.
    Outside,
}

impl Section {
    /// Decodes version and flags, start, length and abort address.
    ///
    /// # Errors
    /// `EINVAL` if that is of another version, leaves user space, wraps around, or aborts into itself.
    pub fn from_words([head, start, length, abort]: [u64; SECTION_WORDS]) -> Result<Self> {
        let (version, flags) = (head as u32, (head >> 32) as u32);
        let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
        let leaves = [start, end, abort].iter().any(|&address| address >= USER_END);
        if version != 0 || leaves || abort.wrapping_sub(start) < length {
            return Err(Errno::EINVAL);
        }
        Ok(Self { flags, start, length, abort })
    }

    /// Where the signature stands that says that the abort address is meant to be one.
    ///
    /// # Errors
    /// `EFAULT` if that is nowhere.
    pub fn signature_address(&self) -> Result<UserAddr> {
        self.abort.checked_sub(SIGNATURE_SIZE).and_then(UserAddr::try_new).ok_or(Errno::EFAULT)
    }

    /// Where a thread is whose instruction pointer is `rip`.
    #[must_use]
    pub fn position(&self, rip: u64) -> Position {
        if rip.wrapping_sub(self.start) < self.length {
            Position::Inside
        } else {
            Position::Outside
        }
    }

    /// Checks the flags of the section and those of its thread's area, `of_area`: the ones that there were say that it should not be
    /// restarted, and are not known any more.
    ///
    /// # Errors
    /// `EINVAL` if any is set.
    pub fn check_flags(&self, of_area: u32) -> Result<()> {
        if self.flags == 0 && of_area == 0 { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_section_reaches_from_its_start_up_to_its_commit() {
        let section = Section::from_words([0, 0x1000, 0x20, 0x2000]).expect("makes sense");
        assert_eq!(section.position(0xfff), Position::Outside);
        assert_eq!(section.position(0x1000), Position::Inside);
        assert_eq!(section.position(0x101f), Position::Inside);
        assert_eq!(section.position(0x1020), Position::Outside);
        assert_eq!(section.signature_address().map(|a| a.as_u64()), Ok(0x1ffc));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |words| Section::from_words(words) == Err(Errno::EINVAL);
        assert!(refused([1, 0x1000, 0x20, 0x2000]), "another version");
        assert!(refused([0, 0x1000, 0x20, 0x1010]), "aborts into itself");
        assert!(refused([0, 0x1000, u64::MAX, 0x2000]), "wraps around");
        assert!(refused([0, USER_END, 1, 0x2000]) && refused([0, 0x1000, 0x20, USER_END]));
        let flagged =
            Section::from_words([1 << 32, 0x1000, 0x20, 0x2000]).expect("looked at later");
        assert_eq!(flagged.check_flags(0), Err(Errno::EINVAL));
        let plain = Section::from_words([0, 0x1000, 0x20, 0x2000]).expect("makes sense");
        assert_eq!((plain.check_flags(0), plain.check_flags(4)), (Ok(()), Err(Errno::EINVAL)));
    }

    proptest! {
        #[test]
        fn nobody_aborts_into_a_section_or_out_of_user_space(words: [u64; SECTION_WORDS]) {
            if let Ok(section) = Section::from_words(words) {
                prop_assert_eq!(section.position(section.abort), Position::Outside);
                prop_assert!(section.abort < USER_END);
            }
        }
    }
}
