//! System calls by number, straight to the kernel.
//!
//! The suite tests the kernel and not a C library, so it calls without wrappers that check, cache or
//! retry. [`sys!`](crate::sys!) is the one door: it takes arguments of any type that is an [`Argument`] and returns
//! what the kernel returned. Being free of `errno`, it is also safe to use in signal handlers and in children
//! that share memory with their parent.

use core::arch::asm;
use core::ffi::{CStr, c_long};

pub use nix::errno::Errno;

/// What a system call returns: a non-negative word, or the error.
pub type SysResult = Result<usize, Errno>;

/// A value that fits into an argument register.
pub trait Argument {
    /// The register's content: integers are sign- or zero-extended, references become addresses.
    fn word(self) -> usize;
}

macro_rules! integer_arguments {
    ($($integer:ty),*) => {
        $(impl Argument for $integer {
            fn word(self) -> usize {
                self as usize
            }
        })*
    };
}

integer_arguments!(i16, u16, i32, u32, i64, u64, isize, usize);

impl<T> Argument for *const T {
    fn word(self) -> usize {
        self.expose_provenance()
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> usize {
        self.expose_provenance()
    }
}

impl<T> Argument for &T {
    fn word(self) -> usize {
        (&raw const *self).expose_provenance()
    }
}

impl<T> Argument for &mut T {
    fn word(self) -> usize {
        (&raw mut *self).expose_provenance()
    }
}

impl<T> Argument for &[T] {
    fn word(self) -> usize {
        self.as_ptr().expose_provenance()
    }
}

impl<T> Argument for &mut [T] {
    fn word(self) -> usize {
        self.as_mut_ptr().expose_provenance()
    }
}

impl Argument for &CStr {
    fn word(self) -> usize {
        self.as_ptr().expose_provenance()
    }
}

/// Performs system call `number`; missing arguments are zero.
///
/// # Safety
///
/// As the call asks: memory that the kernel is told to write must belong to the caller, and nothing that Rust
/// relies on (its stack, its mappings, its descriptors) may be pulled away.
pub unsafe fn raw(number: c_long, arguments: &[usize]) -> SysResult {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let result: isize;
    // SAFETY: the caller vouches for the call; the instruction clobbers rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") argument(0),
            in("rsi") argument(1),
            in("rdx") argument(2),
            in("r10") argument(3),
            in("r8") argument(4),
            in("r9") argument(5),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        Err(Errno::from_raw(-result as i32))
    } else {
        Ok(result as usize)
    }
}

/// `sys!(SYS_read, fd, &mut buffer[..], 16)`: a system call as a [`SysResult`].
///
/// The caller's contract is that of [`raw`]. A case of the suite that breaks it breaks only itself: each
/// runs in a process of its own.
#[macro_export]
macro_rules! sys {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // A match, so that temporaries among the arguments live until the call has returned.
        match &[$($crate::sys::Argument::word($argument)),*] as &[usize] {
            // SAFETY: whoever writes the call names only memory and descriptors that are its own to give, or
            // addresses that the kernel must refuse.
            arguments => unsafe { $crate::sys::raw(libc::$number, arguments) },
        }
    };
}

/// `ok!(SYS_close, fd)`: the call must succeed; gives its value.
#[macro_export]
macro_rules! ok {
    ($($call:tt)*) => {
        match $crate::sys!($($call)*) {
            Ok(value) => value,
            Err(errno) => panic!("{} failed: {errno:?}", stringify!($($call)*)),
        }
    };
}

/// `fails!(EBADF: SYS_close, -1)`: the call must fail with exactly this error.
#[macro_export]
macro_rules! fails {
    ($errno:ident: $($call:tt)*) => {
        assert_eq!(
            $crate::sys!($($call)*),
            Err($crate::sys::Errno::$errno),
            "{}",
            stringify!($($call)*)
        )
    };
}
