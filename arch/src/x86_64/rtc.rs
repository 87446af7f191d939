//! The CMOS real-time clock (Motorola MC146818 data sheet): the date at boot.

use x86_64::instructions::port::Port;

const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_A: u8 = 0xa;
const STATUS_B: u8 = 0xb;

const UPDATING: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

/// The registers as they stand, undecoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Raw {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: u8,
}

fn register(index: u8) -> u8 {
    // SAFETY: selects and reads a register of the clock; bit 7 clear leaves NMIs enabled.
    unsafe {
        Port::<u8>::new(0x70).write(index);
        Port::<u8>::new(0x71).read()
    }
}

fn snapshot(century_register: u8) -> Raw {
    Raw {
        second: register(SECONDS),
        minute: register(MINUTES),
        hour: register(HOURS),
        day: register(DAY),
        month: register(MONTH),
        year: register(YEAR),
        century: if century_register == 0 { 0 } else { register(century_register & 0x7f) },
    }
}

/// Seconds since 1970 by the clock, which is taken to run in UTC; 0 where there is no clock. `century_register` is the
/// FADT's, 0 if it names none.
pub(super) fn read(century_register: u8) -> u64 {
    const PATIENCE: u32 = 100_000;
    // An update takes at most 2 ms; two equal readings outside one are consistent.
    for _ in 0..PATIENCE {
        if register(STATUS_A) & UPDATING != 0 {
            core::hint::spin_loop();
            continue;
        }
        let raw = snapshot(century_register);
        if register(STATUS_A) & UPDATING == 0 && raw == snapshot(century_register) {
            return decode(raw, register(STATUS_B)).unwrap_or(0);
        }
    }
    0
}

fn decode(raw: Raw, status: u8) -> Option<u64> {
    let number = |value: u8| {
        let decimal = (value >> 4) * 10 + (value & 0xf);
        u64::from(if status & BINARY != 0 { value } else { decimal })
    };
    let mut hour = number(raw.hour & !AFTERNOON);
    if status & HOURS_24 == 0 {
        hour = hour % 12 + if raw.hour & AFTERNOON != 0 { 12 } else { 0 };
    }
    let century = match number(raw.century) {
        century @ 19..=29 => century,
        // Clocks without a century register are read as Linux reads them: up to 69 is this century.
        _ if number(raw.year) < 70 => 20,
        _ => 19,
    };
    let (year, month, day) = (century * 100 + number(raw.year), number(raw.month), number(raw.day));
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24;
    let days = valid.then(|| days_since_1970(year, month, day))??;
    Some(days * 86_400 + hour * 3600 + number(raw.minute) * 60 + number(raw.second))
}

/// Days from 1 January 1970 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 1 January 1970 by the same count.
    days.checked_sub(719_468)
}
