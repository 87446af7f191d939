//! `FUTEX_WAKE_OP`: the small program in its last argument (futex(2)).

use crate::errno::{Errno, Result};

/// A change of the second word, and a condition on its old value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    change: u32,
    comparison: u32,
    argument: i32,
    compared: i32,
}

/// The argument is a bit number (`FUTEX_OP_ARG_SHIFT`).
const SHIFT: u32 = 8;

impl Operation {
    /// Decodes `op << 28 | cmp << 24 | oparg << 12 | cmparg`; the last two are signed.
    ///
    /// # Errors
    /// `ENOSYS` for a change or a comparison that does not exist.
    pub(super) fn decode(word: u32) -> Result<Self> {
        let signed = |bits: u32| ((bits << 20) as i32) >> 20;
        let change = word >> 28 & 7;
        let comparison = word >> 24 & 15;
        if change > 4 || comparison > 5 {
            return Err(Errno::ENOSYS);
        }
        let mut argument = signed(word >> 12 & 0xfff);
        if word >> 28 & SHIFT != 0 {
            // As on Linux, only the low five bits count.
            argument = 1_i32 << (argument & 31);
        }
        Ok(Self { change, comparison, argument, compared: signed(word & 0xfff) })
    }

    /// The word's new value.
    pub(super) fn apply(self, old: u32) -> u32 {
        let argument = self.argument as u32;
        match self.change {
            0 => argument,
            1 => old.wrapping_add(argument),
            2 => old | argument,
            3 => old & !argument,
            _ => old ^ argument,
        }
    }

    /// Whether the condition holds for the word's old value.
    pub(super) fn holds(self, old: u32) -> bool {
        let old = old as i32;
        match self.comparison {
            0 => old == self.compared,
            1 => old != self.compared,
            2 => old < self.compared,
            3 => old <= self.compared,
            4 => old > self.compared,
            _ => old >= self.compared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(op: u32, cmp: u32, oparg: u32, cmparg: u32) -> Result<Operation> {
        Operation::decode(op << 28 | cmp << 24 | (oparg & 0xfff) << 12 | cmparg & 0xfff)
    }

    #[test]
    fn changes_and_conditions_are_those_of_the_manual() {
        let values = [(0, 5), (1, 15), (2, 15), (3, 10), (4, 15)];
        for (op, expected) in values {
            assert_eq!(decode(op, 0, 5, 0).map(|o| o.apply(10)), Ok(expected), "op {op}");
        }
        let minus_one = -1_i32 as u32;
        let holds = |cmp, old: i32| decode(0, cmp, 0, minus_one).map(|o| o.holds(old as u32));
        assert_eq!(holds(0, -1), Ok(true));
        assert_eq!(holds(2, -2), Ok(true));
        assert_eq!(holds(5, -2), Ok(false));
    }

    #[test]
    fn a_shifted_argument_is_a_bit_number() {
        assert_eq!(decode(8 | 2, 0, 4, 0).map(|o| o.apply(1)), Ok(17));
    }

    #[test]
    fn unknown_operations_are_refused() {
        assert_eq!(decode(5, 0, 0, 0), Err(Errno::ENOSYS));
        assert_eq!(decode(0, 6, 0, 0), Err(Errno::ENOSYS));
    }
}
