//! Copies across the user border. The hosted machine has no user memory to copy from or to.

use crate::addr::UserAddr;
use crate::context::UserContext;
use crate::error::UserFault;

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

/// Copies a value from user memory.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
///
/// # Safety
/// `destination` is valid for writes of `bytes` bytes.
pub unsafe fn value_from_user(
    destination: *mut u8,
    source: UserAddr,
    bytes: usize,
) -> Result<(), UserFault> {
    panic!(
        "the hosted machine has no user memory: {bytes} bytes from {source:?} to {destination:?}"
    );
}

/// Copies a value to user memory.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
///
/// # Safety
/// `source` is valid for reads of `bytes` bytes.
pub unsafe fn value_to_user(
    destination: UserAddr,
    source: *const u8,
    bytes: usize,
) -> Result<(), UserFault> {
    panic!(
        "the hosted machine has no user memory: {bytes} bytes from {source:?} to {destination:?}"
    );
}

/// Copies a signal frame to user memory.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
///
/// # Safety
/// None to observe: it does not return.
pub unsafe fn frame_to_user<F, B>(
    _destination: UserAddr,
    _front: &F,
    _registers: &UserContext,
    _back: &B,
) -> Result<(), UserFault> {
    panic!("{ABSENT}");
}

const ABSENT: &str = "the hosted machine has no user memory";

/// Clears user memory.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn zero(_destination: UserAddr, _bytes: usize) -> Result<(), usize> {
    panic!("{ABSENT}");
}

/// Measures a string in user memory.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn string_length(_string: UserAddr, _limit: usize) -> Result<usize, UserFault> {
    panic!("{ABSENT}");
}

/// Reads a user word.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn load_u32(_address: UserAddr) -> Result<u32, UserFault> {
    panic!("{ABSENT}");
}

/// Writes a user word.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn store_u32(_address: UserAddr, _value: u32) -> Result<(), UserFault> {
    panic!("{ABSENT}");
}

/// Compares and exchanges a user word.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn compare_exchange_u32(
    _address: UserAddr,
    _expected: u32,
    _new: u32,
) -> Result<u32, UserFault> {
    panic!("{ABSENT}");
}

/// Updates a user word.
///
/// # Errors
/// Never: it panics first.
///
/// # Panics
/// Always.
pub fn fetch_update_u32(
    _address: UserAddr,
    _change: impl FnMut(u32) -> u32,
) -> Result<u32, UserFault> {
    panic!("{ABSENT}");
}
