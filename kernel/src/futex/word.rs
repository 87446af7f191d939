//! Atomic access to a futex word in user memory, with `EFAULT` where it cannot be reached.

use arch::addr::UserAddr;
use arch::error::UserFault;
use arch::user_copy;

use crate::errno::{Errno, Result};

impl From<UserFault> for Errno {
    fn from(_: UserFault) -> Self {
        Self::EFAULT
    }
}

/// The word's value.
pub(super) fn load(address: UserAddr) -> Result<u32> {
    Ok(user_copy::load_u32(address)?)
}

/// Replaces the word's value by `change` of it and returns the old one.
pub(super) fn update(address: UserAddr, change: impl FnMut(u32) -> u32) -> Result<u32> {
    Ok(user_copy::fetch_update_u32(address, change)?)
}
