//! Decoding what firmware leaves in tables and registers: plain functions on plain data.
//!
//! Used by the machine's `acpi` and `rtc`; here so that host tests reach them.

/// Finds `Name (_S5, Package () { a, b, .. })` in AML and returns its first two numbers (ACPI 6.5, 7.4.2 and 20.2).
#[must_use]
pub fn sleep_types(aml: &[u8]) -> Option<[u8; 2]> {
    const NAME_OP: u8 = 0x08;
    const PACKAGE_OP: u8 = 0x12;
    let at = aml.windows(4).enumerate().position(|(i, name)| {
        let before = |back: usize| i.checked_sub(back).and_then(|j| aml.get(j)).copied();
        name == b"_S5_"
            && (before(1) == Some(NAME_OP)
                || before(1) == Some(b'\\') && before(2) == Some(NAME_OP))
            && aml.get(i + 4) == Some(&PACKAGE_OP)
    })?;
    // The package's length has one to four bytes; the top two bits of the first say how many follow.
    let length_bytes = 1 + usize::from(aml.get(at + 5)? >> 6);
    let mut rest = aml.get(at + 5 + length_bytes + 1..)?;
    let first = take_integer(&mut rest)?;
    let second = take_integer(&mut rest).unwrap_or(first);
    Some([first, second])
}

/// Takes a constant integer off `aml`; sleep types fit a byte.
fn take_integer(aml: &mut &[u8]) -> Option<u8> {
    let (value, length) = match **aml {
        [0, ..] => (0, 1),
        [1, ..] => (1, 1),
        [0x0a, value, ..] => (value, 2),
        [0x0b, value, _, ..] => (value, 3),
        [0x0c, value, _, _, _, ..] => (value, 5),
        _ => return None,
    };
    *aml = &aml[length..];
    Some(value)
}

/// The CMOS clock's registers as they stand, undecoded (Motorola MC146818 data sheet).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockRegisters {
    /// 0 to 59.
    pub second: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23, or 1 to 12 with bit 7 set after noon.
    pub hour: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 to 12.
    pub month: u8,
    /// 0 to 99.
    pub year: u8,
    /// 19 or 20, or anything where there is no such register.
    pub century: u8,
}

/// Status B: numbers are binary, not decimal digits in half-bytes.
const BINARY: u8 = 1 << 2;
/// Status B: hours count to 24.
const HOURS_24: u8 = 1 << 1;
/// In the hour, where hours count to 12.
const AFTERNOON: u8 = 1 << 7;

impl ClockRegisters {
    /// The time they show, in seconds since 1970, by the format in status register B. `None` if it is no valid date.
    #[must_use]
    pub fn seconds_since_1970(self, status: u8) -> Option<u64> {
        let number = |value: u8| {
            let decimal = (value >> 4) * 10 + (value & 0xf);
            u64::from(if status & BINARY != 0 { value } else { decimal })
        };
        let mut hour = number(self.hour & !AFTERNOON);
        if status & HOURS_24 == 0 {
            hour = hour % 12 + if self.hour & AFTERNOON != 0 { 12 } else { 0 };
        }
        let century = match number(self.century) {
            century @ 19..=29 => century,
            // Clocks without a century register are read as Linux reads them: up to 69 is this century.
            _ if number(self.year) < 70 => 20,
            _ => 19,
        };
        let (year, month, day) =
            (century * 100 + number(self.year), number(self.month), number(self.day));
        let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24;
        let days = valid.then(|| days_since_1970(year, month, day))??;
        Some(days * 86_400 + hour * 3600 + number(self.minute) * 60 + number(self.second))
    }
}

/// Days from 1 January 1970 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 1 January 1970 by the same count.
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHRISTMAS: ClockRegisters = ClockRegisters {
        second: 0x59,
        minute: 0x30,
        hour: 0x23,
        day: 0x25,
        month: 0x12,
        year: 0x26,
        century: 0x20,
    };

    #[test]
    fn decimal_and_binary_clocks_show_the_same_time() {
        let binary = ClockRegisters {
            second: 59,
            minute: 30,
            hour: 23,
            day: 25,
            month: 12,
            year: 26,
            century: 20,
        };
        // date -u -d '2026-12-25 23:30:59' +%s
        assert_eq!(CHRISTMAS.seconds_since_1970(HOURS_24), Some(1_798_241_459));
        assert_eq!(binary.seconds_since_1970(HOURS_24 | BINARY), Some(1_798_241_459));
    }

    #[test]
    fn twelve_hour_clocks_start_their_halves_at_twelve() {
        let at = |hour| ClockRegisters { hour, ..CHRISTMAS }.seconds_since_1970(0);
        assert_eq!(at(0x11 | AFTERNOON), CHRISTMAS.seconds_since_1970(HOURS_24));
        assert_eq!(at(0x12).map(|seconds| seconds / 3600 % 24), Some(0));
        assert_eq!(at(0x12 | AFTERNOON).map(|seconds| seconds / 3600 % 24), Some(12));
    }

    #[test]
    fn leap_days_count_and_nonsense_does_not() {
        let epoch = ClockRegisters {
            second: 0,
            minute: 0,
            hour: 0,
            day: 1,
            month: 1,
            year: 0x70,
            century: 0,
        };
        assert_eq!(epoch.seconds_since_1970(HOURS_24), Some(0));
        let leap = ClockRegisters { day: 0x29, month: 2, year: 0x24, ..epoch };
        assert_eq!(leap.seconds_since_1970(HOURS_24), Some(1_709_164_800));
        assert_eq!(ClockRegisters { month: 0, ..epoch }.seconds_since_1970(HOURS_24), None);
        assert_eq!(ClockRegisters { hour: 0x24, ..epoch }.seconds_since_1970(HOURS_24), None);
    }

    #[test]
    fn sleep_types_are_found_in_every_encoding() {
        let bytes = b"junk\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\0\0";
        assert_eq!(sleep_types(bytes), Some([5, 6]));
        assert_eq!(sleep_types(b"\x08\\_S5_\x12\x06\x04\0\x01\0\0"), Some([0, 1]));
        assert_eq!(sleep_types(b"\x08_S5_\x12\x40\x06\x04\x0b\x07\0"), Some([7, 7]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_search_panic(
            prefix in proptest::collection::vec(0u8..=255, 0..8),
            suffix in proptest::collection::vec(0u8..=255, 0..8),
        ) {
            let aml = [&prefix[..], b"\x08_S5_\x12", &suffix[..]].concat();
            let _ = sleep_types(&aml);
        }
    }
}
