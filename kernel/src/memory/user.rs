//! User memory, as the kernel reads and writes it.
//!
//! An address from a program is an allegation. The functions here check that it lies in user space and copy with
//! fix-ups for faults: an access resolves page faults like one of the program's own (demand paging, copy-on-write),
//! and what cannot be resolved is `EFAULT`. They may fault, and a fault may sleep until there is memory, so no spin lock is held
//! around them. The one exception (futex(2), requeueing) takes `EFAULT` as a reason to try again without its lock.
#![allow(unsafe_code, reason = "sees plain data as bytes, and copies it from and to user memory")]

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use arch::addr::{PAGE_SIZE, UserAddr};
use arch::context::UserContext;
use linux_raw_sys::general::PATH_MAX;

use crate::errno::{Errno, Result};
use crate::syscall::Argument;

/// Types that are nothing but their bytes: every pattern of bytes is a value.
///
/// # Safety
/// `Self` has no invalid bit patterns, no pointers that the kernel follows, and no implicit padding.
pub unsafe trait Plain: Copy + 'static {}

/// Declares types as [`Plain`]. The invoker vouches for the trait's contract.
#[macro_export]
macro_rules! plain_data {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: structures of the Linux ABI are integers and arrays of integers, padded explicitly.
            #[allow(unsafe_code, reason = "structures of the Linux ABI are plain")]
            unsafe impl $crate::memory::user::Plain for $type {}
        )*
    };
}

plain_data!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, UserContext);

// SAFETY: an array of plain values is plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of a plain value.
#[must_use]
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: a plain type has no padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Copies bytes from `address` on into `buffer` and returns how many came before a fault.
pub fn fetch(address: UserAddr, buffer: &mut [u8]) -> usize {
    let inside = reachable(address, buffer.len());
    // SAFETY: `buffer` is valid for writes of its length, and `inside` is at most that.
    let result = unsafe { arch::user_copy::from_user(buffer.as_mut_ptr(), address, inside) };
    inside - result.err().unwrap_or(0)
}

/// Copies `bytes` to `address` on and returns how many arrived before a fault.
pub fn store(address: UserAddr, bytes: &[u8]) -> usize {
    let inside = reachable(address, bytes.len());
    // SAFETY: `bytes` is valid for reads of its length, and `inside` is at most that.
    let result = unsafe { arch::user_copy::to_user(address, bytes.as_ptr(), inside) };
    inside - result.err().unwrap_or(0)
}

/// Fills `buffer` from `address`.
///
/// # Errors
/// `EFAULT` if not all of it can be read.
pub fn read_bytes(address: UserAddr, buffer: &mut [u8]) -> Result<()> {
    // SAFETY: `buffer` is valid for writes of its length.
    unsafe { arch::user_copy::from_user(buffer.as_mut_ptr(), address, buffer.len()) }
        .map_err(|_| Errno::EFAULT)
}

/// Writes `bytes` to `address`.
///
/// # Errors
/// `EFAULT` if not all of it can be written.
pub fn write_bytes(address: UserAddr, bytes: &[u8]) -> Result<()> {
    // SAFETY: `bytes` is valid for reads of its length.
    unsafe { arch::user_copy::to_user(address, bytes.as_ptr(), bytes.len()) }
        .map_err(|_| Errno::EFAULT)
}

/// Writes `front`, `registers` and `back`, one after another, to `address`.
///
/// # Errors
/// `EFAULT` if not all of it can be written.
#[inline]
pub fn write_around_registers<F: Plain, B: Plain>(
    address: UserAddr,
    front: &F,
    registers: &UserContext,
    back: &B,
) -> Result<()> {
    const { assert!(size_of::<F>().is_multiple_of(8) && size_of::<B>().is_multiple_of(8)) };
    // SAFETY: whole words, and plain types have no padding.
    unsafe { arch::user_copy::frame_to_user(address, front, registers, back) }
        .map_err(|_| Errno::EFAULT)
}

/// Writes `count` zero bytes to `address`.
///
/// # Errors
/// `EFAULT` if not all of it can be written.
pub fn zero(address: UserAddr, count: usize) -> Result<()> {
    const ZEROS: [u8; 256] = [0; 256];
    let mut done = 0;
    while done < count {
        let chunk = (count - done).min(ZEROS.len());
        let at = address.checked_add(done as u64).ok_or(Errno::EFAULT)?;
        write_bytes(at, &ZEROS[..chunk])?;
        done += chunk;
    }
    Ok(())
}

/// How many of `count` bytes from `address` on lie in user space.
fn reachable(address: UserAddr, count: usize) -> usize {
    count.min((UserAddr::END.as_u64() - address.as_u64()) as usize)
}

/// The string at `address` without its NUL, at most `limit` bytes long.
///
/// # Errors
/// `EFAULT`; `too_long` if no NUL comes within `limit + 1` bytes; `ENOMEM`.
pub fn read_string(address: UserAddr, limit: usize, too_long: Errno) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut chunk = [0; 256];
    let mut at = address;
    loop {
        // A chunk stays within its page: the string may end right before an unmapped one.
        let room = (PAGE_SIZE - at.page_offset()).min(chunk.len());
        let got = fetch(at, &mut chunk[..room]);
        let end = chunk[..got].iter().position(|&byte| byte == 0);
        let part = &chunk[..end.unwrap_or(got)];
        if text.len() + part.len() > limit {
            return Err(too_long);
        }
        text.try_reserve(part.len()).map_err(|_| Errno::ENOMEM)?;
        text.extend_from_slice(part);
        if end.is_some() {
            return Ok(text);
        }
        if got < room {
            return Err(Errno::EFAULT);
        }
        at = at.checked_add(room as u64).ok_or(Errno::EFAULT)?;
    }
}

/// A pointer to a `T` in user memory.
pub struct UserPtr<T> {
    address: UserAddr,
    pointee: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserPtr({:#x})", self.address)
    }
}

impl<T> UserPtr<T> {
    /// The pointer with address `address`.
    #[must_use]
    pub const fn new(address: UserAddr) -> Self {
        Self { address, pointee: PhantomData }
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> UserAddr {
        self.address
    }

    /// Whether this is `NULL`.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.address.is_null()
    }

    /// The pointer, unless it is `NULL`.
    #[must_use]
    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// A pointer to the element `index` places further on.
    ///
    /// # Errors
    /// `EFAULT` if that leaves user space.
    pub fn element(self, index: usize) -> Result<Self> {
        let offset = (index as u64).checked_mul(size_of::<T>() as u64).ok_or(Errno::EFAULT)?;
        self.address.checked_add(offset).map(Self::new).ok_or(Errno::EFAULT)
    }
}

impl<T: Plain> UserPtr<T> {
    /// The value that it points at.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read(self) -> Result<T> {
        let mut place = MaybeUninit::uninit();
        self.read_to(&mut place).copied()
    }

    /// The value that it points at, left in `place`: a large one is not moved again.
    ///
    /// # Errors
    /// `EFAULT`.
    #[inline]
    pub fn read_to(self, place: &mut MaybeUninit<T>) -> Result<&T> {
        let bytes = place.as_mut_ptr().cast::<u8>();
        // SAFETY: `place` is valid for writes of its size.
        unsafe { arch::user_copy::value_from_user(bytes, self.address, size_of::<T>()) }
            .map_err(|_| Errno::EFAULT)?;
        // SAFETY: all of it was written, and every pattern of bytes is a valid `T`.
        Ok(unsafe { place.assume_init_ref() })
    }

    /// Stores `value` where it points.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write(self, value: &T) -> Result<()> {
        let bytes = core::ptr::from_ref(value).cast();
        // SAFETY: `value` is valid for reads of its size, and a plain type has no padding.
        unsafe { arch::user_copy::value_to_user(self.address, bytes, size_of::<T>()) }
            .map_err(|_| Errno::EFAULT)
    }

    /// Stores `value` unless the pointer is `NULL`.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write_if_present(self, value: &T) -> Result<()> {
        if self.is_null() { Ok(()) } else { self.write(value) }
    }

    /// The value, or `None` for `NULL`.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_if_present(self) -> Result<Option<T>> {
        self.non_null().map(Self::read).transpose()
    }

    /// The `count` values from here on.
    ///
    /// # Errors
    /// `EFAULT`; `ENOMEM`.
    pub fn read_array(self, count: usize) -> Result<Vec<T>> {
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        for index in 0..count {
            values.push(self.element(index)?.read()?);
        }
        Ok(values)
    }
}

impl<T: 'static> Argument for UserPtr<T> {
    fn from_register(value: u64) -> Self {
        Self::new(UserAddr::from_register(value))
    }

    fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        UserAddr::show(value, out)
    }
}

/// A pointer to a NUL-terminated string in user memory.
#[derive(Clone, Copy, Debug)]
pub struct UserCString(pub UserAddr);

impl UserCString {
    /// The string without its NUL, as a path.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` past `PATH_MAX` with its NUL; `ENOMEM`.
    pub fn read_path(self) -> Result<Vec<u8>> {
        read_string(self.0, PATH_MAX as usize - 1, Errno::ENAMETOOLONG)
    }

    /// The string without its NUL, at most `limit` bytes.
    ///
    /// # Errors
    /// `EFAULT`; `too_long` if it is longer; `ENOMEM`.
    pub fn read(self, limit: usize, too_long: Errno) -> Result<Vec<u8>> {
        read_string(self.0, limit, too_long)
    }
}

impl Argument for UserCString {
    fn from_register(value: u64) -> Self {
        Self(UserAddr::from_register(value))
    }

    fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        match Self::from_register(value).read(256, Errno::ENAMETOOLONG) {
            Ok(text) => write!(out, "\"{}\"", text.escape_ascii()),
            Err(_) => UserAddr::show(value, out),
        }
    }
}
