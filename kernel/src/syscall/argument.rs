//! From registers to typed arguments, and back to text for the tracer.

use core::fmt;

use arch::addr::UserAddr;

/// A type that a system-call handler takes.
///
/// Decoding never fails: a register holds any 64 bits, and it is the handler that judges them in the order in which
/// Linux does. A C `int` argument ignores the upper half of its register, as the ABI says.
pub trait Argument: Sized {
    /// The argument in register image `value`.
    fn from_register(value: u64) -> Self;

    /// Writes the argument as a system-call tracer shows it.
    ///
    /// # Errors
    /// Those of the formatter.
    fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result;
}

macro_rules! integers {
    ($($type:ty => $format:literal),*) => {
        $(impl Argument for $type {
            fn from_register(value: u64) -> Self {
                value as Self
            }

            fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result {
                write!(out, $format, value as Self)
            }
        })*
    };
}

integers!(i32 => "{}", u32 => "{:#x}", i64 => "{}", u64 => "{:#x}", usize => "{}", isize => "{}", u16 => "{}");

/// A file descriptor as a program passes it: any `int`, perhaps negative, perhaps `AT_FDCWD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(pub i32);

impl Fd {
    /// `AT_FDCWD`: the current working directory where a directory descriptor is asked for.
    pub const CWD: Self = Self(linux_raw_sys::general::AT_FDCWD);
}

impl Argument for Fd {
    fn from_register(value: u64) -> Self {
        Self(value as i32)
    }

    fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        match Self::from_register(value) {
            Self::CWD => out.write_str("AT_FDCWD"),
            Self(number) => write!(out, "{number}"),
        }
    }
}

impl Argument for UserAddr {
    /// An address outside user space becomes [`UserAddr::END`], where every access faults.
    fn from_register(value: u64) -> Self {
        Self::try_new(value).unwrap_or(Self::END)
    }

    fn show(value: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        if value == 0 { out.write_str("NULL") } else { write!(out, "{value:#x}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: Argument>(value: u64) -> String {
        let mut text = String::new();
        T::show(value, &mut text).expect("a String takes everything");
        text
    }

    #[test]
    fn int_arguments_ignore_the_upper_half() {
        assert_eq!(i32::from_register(0xffff_ffff_0000_0001), 1);
        assert_eq!(Fd::from_register(0x1_ffff_ff9c), Fd::CWD);
    }

    #[test]
    fn addresses_outside_user_space_fault() {
        assert_eq!(UserAddr::from_register(u64::MAX), UserAddr::END);
    }

    #[test]
    fn the_tracer_shows_arguments_as_people_write_them() {
        assert_eq!(shown::<Fd>(-100_i64 as u64), "AT_FDCWD");
        assert_eq!(shown::<UserAddr>(0), "NULL");
        assert_eq!(shown::<i32>(u64::MAX), "-1");
    }
}
