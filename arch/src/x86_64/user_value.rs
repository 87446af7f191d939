//! Values of a size that the compiler knows, to and from user memory: one instruction where the processor has one for the size.
//!
//! The same rules as in `user_copy` hold; nothing need be aligned.

use core::arch::asm;

use super::user_copy::{self, fixup, note_fault, user_begin, user_end};
use crate::addr::UserAddr;
use crate::context::UserContext;
use crate::error::UserFault;

/// One load from user memory into `$register` with a fix-up: the value.
macro_rules! load {
    ($type:ty, $format:literal, $address:expr) => {{
        let (value, fault): ($type, u32);
        // SAFETY: in user space; a fault skips to the fix-up, which sets `fault`.
        unsafe {
            asm!(
                user_begin!(),
                concat!("2: mov ", $format, ", [{address}]"),
                "3:",
                user_end!(),
                note_fault!(),
                fixup!("2b", "4b"),
                address = in(reg) $address, value = out(reg) value, fault = inout(reg) 0u32 => fault,
            );
        }
        if fault == 0 { Ok(value) } else { Err(UserFault) }
    }};
}

/// One store to user memory with a fix-up.
macro_rules! store {
    ($format:literal, $address:expr, $value:expr) => {{
        let fault: u32;
        // SAFETY: as in `load`.
        unsafe {
            asm!(
                user_begin!(),
                concat!("2: mov [{address}], ", $format),
                "3:",
                user_end!(),
                note_fault!(),
                fixup!("2b", "4b"),
                address = in(reg) $address, value = in(reg) $value, fault = inout(reg) 0u32 => fault,
            );
        }
        if fault == 0 { Ok(()) } else { Err(UserFault) }
    }};
}

/// The address, if `bytes` bytes from there are in user space.
#[inline(always)]
fn inside(address: UserAddr, bytes: usize) -> Result<u64, UserFault> {
    address.checked_add(bytes as u64).map(|_| address.as_u64()).ok_or(UserFault)
}

/// Copies a value of `bytes` bytes from user memory. For callers who know the size when they are compiled.
///
/// # Errors
/// [`UserFault`] when not all of it is readable.
///
/// # Safety
/// `destination` is valid for writes of `bytes` bytes.
#[inline(always)]
pub unsafe fn value_from_user(
    destination: *mut u8,
    source: UserAddr,
    bytes: usize,
) -> Result<(), UserFault> {
    match bytes {
        4 => {
            let value: u32 = load!(u32, "{value:e}", inside(source, 4)?)?;
            // SAFETY: the destination is the caller's.
            unsafe { destination.cast::<u32>().write_unaligned(value) };
            Ok(())
        }
        8 => {
            let value: u64 = load!(u64, "{value}", inside(source, 8)?)?;
            // SAFETY: the destination is the caller's.
            unsafe { destination.cast::<u64>().write_unaligned(value) };
            Ok(())
        }
        // SAFETY: the destination is the caller's.
        _ => unsafe { user_copy::from_user(destination, source, bytes) }.map_err(|_| UserFault),
    }
}

/// Copies a value of `bytes` bytes to user memory. For callers who know the size when they are compiled.
///
/// # Errors
/// [`UserFault`] when not all of it is writable; the beginning may have been written.
///
/// # Safety
/// `source` is valid for reads of `bytes` bytes.
#[inline(always)]
pub unsafe fn value_to_user(
    destination: UserAddr,
    source: *const u8,
    bytes: usize,
) -> Result<(), UserFault> {
    match bytes {
        4 => {
            // SAFETY: the source is the caller's.
            let value = unsafe { source.cast::<u32>().read_unaligned() };
            store!("{value:e}", inside(destination, 4)?, value)
        }
        8 => {
            // SAFETY: the source is the caller's.
            let value = unsafe { source.cast::<u64>().read_unaligned() };
            store!("{value}", inside(destination, 8)?, value)
        }
        // SAFETY: the source is the caller's.
        _ => unsafe { user_copy::to_user(destination, source, bytes) }.map_err(|_| UserFault),
    }
}

/// Copies `front`, `registers` and `back`, in this order, to user memory: a signal frame, without gathering it first.
///
/// # Errors
/// [`UserFault`] when not all of it is writable; the beginning may have been written.
///
/// # Safety
/// `F` and `B` are whole words without padding.
#[inline(always)]
pub unsafe fn frame_to_user<F, B>(
    destination: UserAddr,
    front: &F,
    registers: &UserContext,
    back: &B,
) -> Result<(), UserFault> {
    let bytes = size_of::<F>() + size_of::<UserContext>() + size_of::<B>();
    let destination = inside(destination, bytes)?;
    let fault: u32;
    // SAFETY: reads the three values, each of as many words as its type says; writes in user space, where a fault
    // skips to the fix-up, which sets `fault`.
    unsafe {
        asm!(
            user_begin!(),
            "mov ecx, {front}",
            "2: rep movsq",
            "mov rsi, {registers}",
            "mov ecx, {count}",
            "5: rep movsq",
            "mov rsi, {back}",
            "mov ecx, {rest}",
            "6: rep movsq",
            "3:",
            user_end!(),
            note_fault!(),
            fixup!("2b", "4b"),
            fixup!("5b", "4b"),
            fixup!("6b", "4b"),
            front = const size_of::<F>() / 8, count = const size_of::<UserContext>() / 8,
            rest = const size_of::<B>() / 8,
            registers = in(reg) registers, back = in(reg) back,
            inout("rdi") destination => _, inout("rsi") core::ptr::from_ref(front) => _, out("rcx") _,
            fault = inout(reg) 0u32 => fault,
        );
    }
    if fault == 0 { Ok(()) } else { Err(UserFault) }
}
