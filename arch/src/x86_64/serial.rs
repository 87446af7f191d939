//! The first serial port (16550 UART): the console.
//!
//! Registers and bits: National Semiconductor PC16550D data sheet, section 8. The port is driven by polling until
//! somebody asks for interrupts; panics poll always. The kernel's console driver serialises the rest.

use core::sync::atomic::{AtomicU8, Ordering};

use x86_64::instructions::port::Port;

/// Base port of COM1.
const BASE: u16 = 0x3f8;
/// The ISA interrupt line of COM1.
pub const INTERRUPT_LINE: u8 = 4;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const INTERRUPT_IDENTITY: u16 = 2;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const RECEIVED: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// Identity register: nothing interrupts.
const NONE_PENDING: u8 = 1;
/// Identity register: both bits say that the FIFOs work.
const FIFO_WORKS: u8 = 0xc0;
/// Bytes that the transmitter's FIFO holds.
const FIFO_BYTES: u8 = 16;

/// Bytes that fit the transmitter when it is empty.
static DEPTH: AtomicU8 = AtomicU8::new(1);
/// Bytes that still fit for certain, counted from when the transmitter was last seen empty.
static ROOM: AtomicU8 = AtomicU8::new(0);

/// Polls that a byte may take to leave before the port is taken for dead.
const PATIENCE: u32 = 1 << 20;

fn read(register: u16) -> u8 {
    // SAFETY: a register of COM1; reading has at most the device's own side effects.
    unsafe { Port::new(BASE + register).read() }
}

fn write(register: u16, value: u8) {
    // SAFETY: a register of COM1; it cannot affect memory.
    unsafe { Port::new(BASE + register).write(value) }
}

/// Sets the port to 115200 baud, 8 data bits, no parity, FIFOs on, interrupts off.
pub(super) fn init() {
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x80);
    write(DATA, 1);
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x03);
    write(FIFO_CONTROL, 0x07);
    write(MODEM_CONTROL, 0x0b);
    let works = read(INTERRUPT_IDENTITY) & FIFO_WORKS == FIFO_WORKS;
    DEPTH.store(if works { FIFO_BYTES } else { 1 }, Ordering::Relaxed);
}

/// Whether a port answers: its scratch register keeps what is written.
#[must_use]
pub fn is_present() -> bool {
    write(SCRATCH, 0xa5);
    read(SCRATCH) == 0xa5
}

/// Writes all of `bytes`, waiting for the port. Gives up on a port that does not take them. Line feeds are not
/// translated.
pub fn write_polled(bytes: &[u8]) {
    for &byte in bytes {
        let mut patience = PATIENCE;
        while !try_write(byte) {
            patience -= 1;
            if patience == 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }
}

/// The next received byte, if there is one.
#[must_use]
pub fn try_read() -> Option<u8> {
    let status = read(LINE_STATUS);
    // All ones: no port there.
    (status != 0xff && status & RECEIVED != 0).then(|| read(DATA))
}

/// Hands `byte` to the port if it has room for it now, and says whether it had. Callers take turns; a panic that does not
/// may lose a byte of what it interrupted.
#[must_use]
pub fn try_write(byte: u8) -> bool {
    // Relaxed: callers take turns.
    let mut room = ROOM.load(Ordering::Relaxed);
    if room == 0 && read(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
        room = DEPTH.load(Ordering::Relaxed);
    }
    if room == 0 {
        return false;
    }
    ROOM.store(room - 1, Ordering::Relaxed);
    write(DATA, byte);
    true
}

/// Chooses which events interrupt: received data, and room for data to send. Choosing the latter while there is room
/// interrupts at once.
pub fn set_interrupts(receive: bool, transmit: bool) {
    write(INTERRUPT_ENABLE, u8::from(receive) | u8::from(transmit) << 1);
}

/// Whether a chosen event waits. Looking takes note of room for data to send: that event is over then.
pub(super) fn is_interrupting() -> bool {
    read(INTERRUPT_IDENTITY) & NONE_PENDING == 0
}
