//! Argument and environment lists, read from the caller's memory within Linux's limits (execve(2), "Limits").

use arch::addr::UserAddr;

use super::stack::Strings;
use crate::errno::{Errno, Result};
use crate::memory::user::{UserPtr, read_string};

/// The longest single string with its NUL. Linux's `MAX_ARG_STRLEN`: 32 pages.
const STRING_BYTES: usize = 32 * arch::addr::PAGE_SIZE;
/// Bytes that are always granted. Linux's `ARG_MAX`.
const LEAST_TOTAL: usize = 128 * 1024;
/// Bytes that are never exceeded: three quarters of the default stack limit of 8 MiB.
const MOST_TOTAL: usize = 6 * 1024 * 1024;

/// How many bytes of strings and pointers an execve may still use.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    /// The budget under a stack limit of `stack_limit` bytes: a quarter of it, within bounds.
    #[must_use]
    pub fn new(stack_limit: u64) -> Self {
        let quarter = usize::try_from(stack_limit / 4).unwrap_or(usize::MAX);
        Self(quarter.clamp(LEAST_TOTAL, MOST_TOTAL))
    }

    /// Takes a string of `length` bytes without its NUL, and the pointer to it.
    ///
    /// # Errors
    /// `E2BIG` if that exceeds the budget.
    pub fn take(&mut self, length: usize) -> Result<()> {
        self.0 = self.0.checked_sub(length + 1 + size_of::<u64>()).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

/// Reads the null-terminated array of string pointers at `array`; `NULL` stands for an empty one.
///
/// # Errors
/// `EFAULT`; `E2BIG` for a string or a total that is too long; `ENOMEM`.
pub fn read_list(array: UserPtr<u64>, budget: &mut Budget) -> Result<Strings> {
    let mut list = Strings::default();
    if array.is_null() {
        return Ok(list);
    }
    loop {
        let pointer = array.element(list.count)?.read()?;
        if pointer == 0 {
            return Ok(list);
        }
        let address = UserAddr::try_new(pointer).ok_or(Errno::EFAULT)?;
        let text = read_string(address, STRING_BYTES - 1, Errno::E2BIG)?;
        budget.take(text.len())?;
        list.push(&text)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_follows_the_stack_limit_within_bounds() {
        assert_eq!(Budget::new(8 << 20).0, 2 << 20);
        assert_eq!(Budget::new(0).0, LEAST_TOTAL);
        assert_eq!(Budget::new(u64::MAX).0, MOST_TOTAL);
    }

    #[test]
    fn strings_and_their_pointers_count() {
        let mut budget = Budget(100);
        assert_eq!(budget.take(82), Ok(()));
        assert_eq!(budget.take(0), Ok(()));
        assert_eq!(budget.take(0), Err(Errno::E2BIG));
    }
}
