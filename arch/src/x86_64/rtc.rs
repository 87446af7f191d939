//! The CMOS real-time clock (Motorola MC146818 data sheet): the date at boot.

use x86_64::instructions::port::Port;

use crate::firmware::ClockRegisters;

const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_A: u8 = 0xa;
const STATUS_B: u8 = 0xb;

/// Status A: the registers are about to change.
const UPDATING: u8 = 1 << 7;

fn register(index: u8) -> u8 {
    // SAFETY: selects and reads a register of the clock; bit 7 clear leaves NMIs enabled.
    unsafe {
        Port::<u8>::new(0x70).write(index);
        Port::<u8>::new(0x71).read()
    }
}

fn snapshot(century_register: u8) -> ClockRegisters {
    ClockRegisters {
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
    const PATIENCE: u32 = 20_000;
    // An update takes at most 2 ms; two equal readings outside one are consistent.
    for _ in 0..PATIENCE {
        if register(STATUS_A) & UPDATING != 0 {
            core::hint::spin_loop();
            continue;
        }
        let raw = snapshot(century_register);
        if register(STATUS_A) & UPDATING == 0 && raw == snapshot(century_register) {
            return raw.seconds_since_1970(register(STATUS_B)).unwrap_or(0);
        }
    }
    0
}
