//! Copies across the user border. The hosted machine has no user memory to copy from or to.

use crate::addr::UserAddr;

/// Copies `bytes` bytes from user memory; reports how many are left.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
///
/// # Safety
/// `destination` is valid for writes of `bytes` bytes.
pub unsafe fn from_user(destination: *mut u8, source: UserAddr, bytes: usize) -> Result<(), usize> {
    panic!(
        "the hosted machine has no user memory: {bytes} bytes from {source:?} to {destination:?}"
    );
}

/// Copies `bytes` bytes to user memory; reports how many are left.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
///
/// # Safety
/// `source` is valid for reads of `bytes` bytes.
pub unsafe fn to_user(destination: UserAddr, source: *const u8, bytes: usize) -> Result<(), usize> {
    panic!(
        "the hosted machine has no user memory: {bytes} bytes from {source:?} to {destination:?}"
    );
}
