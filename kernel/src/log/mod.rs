//! The kernel log: leveled lines with time and CPU, kept in a ring and copied to the console.
//!
//! [`record`] may be called from anywhere, interrupt handlers included; it neither allocates nor sleeps. Lines go
//! into the [`Ring`](ring::Ring) (read by `dmesg` and `/dev/kmsg`) and, if their level is severe enough, to the console
//! function. The ring's lock has the innermost rank but is never held while the console is written.

mod panic;
mod ring;
pub mod symbols;

use core::fmt::{self, Write};

use arch::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use arrayvec::ArrayString;

pub use panic::{die, panicking};
pub use ring::Record;

/// How severe a line is: syslog(3)'s levels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// The system is unusable.
    Emergency = 0,
    /// Action must be taken at once.
    Alert = 1,
    /// Critical conditions.
    Critical = 2,
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// Debug-level messages.
    Debug = 7,
}

impl Level {
    /// The level of number `number`; numbers past the last mean [`Level::Debug`].
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// Logs an error.
#[macro_export]
macro_rules! log_error {
    ($($argument:tt)*) => { $crate::log::record($crate::log::Level::Error, format_args!($($argument)*)) };
}

/// Logs a warning.
#[macro_export]
macro_rules! log_warn {
    ($($argument:tt)*) => { $crate::log::record($crate::log::Level::Warning, format_args!($($argument)*)) };
}

/// Logs what a person who watches the system wants to know.
#[macro_export]
macro_rules! log_info {
    ($($argument:tt)*) => { $crate::log::record($crate::log::Level::Info, format_args!($($argument)*)) };
}

/// Logs what only a developer wants to know.
#[macro_export]
macro_rules! log_debug {
    ($($argument:tt)*) => { $crate::log::record($crate::log::Level::Debug, format_args!($($argument)*)) };
}

/// The longest line; what is longer is cut.
pub const LINE_BYTES: usize = 1024;

/// A line as it is built, without allocation.
type Line = ArrayString<LINE_BYTES>;

static RING: SpinLock<ring::Ring, Irq> = SpinLock::new(Rank::LOG, ring::Ring::new());
static CONSOLE_LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// The console driver's function; until there is one, the serial port is polled.
static CONSOLE: spin::Once<fn(&[u8])> = spin::Once::new();
/// Set when a line is added, cleared when readers are told.
static NEWS: AtomicBool = AtomicBool::new(false);

/// Adds a line to the log and, if it is severe enough, writes it to the console.
pub fn record(level: Level, message: fmt::Arguments<'_>) {
    let now = arch::clock::now();
    let cpu = arch::current_cpu();
    let mut text = Line::new();
    // A full buffer cuts the line: that is what LINE_BYTES promises.
    let _ = Cut(&mut text).write_fmt(message);
    if panicking() {
        // The lock's holder may have been stopped for good.
        RING.try_lock().iter_mut().for_each(|ring| ring.push(level, now, cpu, &text));
    } else {
        RING.lock().push(level, now, cpu, &text);
    }
    // Release: pairs with the Acquire in `take_news`, whose caller then reads the ring.
    NEWS.store(true, Ordering::Release);
    if level as u8 <= CONSOLE_LEVEL.load(Ordering::Relaxed) || panicking() {
        let mut line = ArrayString::<{ LINE_BYTES + 40 }>::new();
        let micros = now.subsec_nanos() / 1_000;
        let _ = writeln!(line, "[{:5}.{micros:06}] CPU{cpu} {text}\r", now.as_secs());
        write_console(line.as_bytes());
    }
}

/// A line from the machine layer.
pub fn machine_line(message: fmt::Arguments<'_>) {
    record(Level::Info, message);
}

/// Lines with a level number of at most `level` are shown on the console from now on.
pub fn set_console_level(level: u8) {
    CONSOLE_LEVEL.store(level, Ordering::Relaxed);
}

/// The present console level number.
#[must_use]
pub fn console_level() -> u8 {
    CONSOLE_LEVEL.load(Ordering::Relaxed)
}

/// Sends console lines through `write` from now on (the console driver), instead of polling the serial port.
pub fn set_console(write: fn(&[u8])) {
    CONSOLE.call_once(|| write);
}

/// Whether lines were added since the last call. The timer interrupt asks, and wakes readers if so.
#[must_use]
pub fn take_news() -> bool {
    NEWS.load(Ordering::Relaxed) && NEWS.swap(false, Ordering::Acquire)
}

/// The oldest record at or after `sequence`, if there is one.
#[must_use]
pub fn read_from(sequence: u64) -> Option<Record> {
    RING.lock().read_from(sequence)
}

/// The sequence number that the next record will get.
#[must_use]
pub fn next_sequence() -> u64 {
    RING.lock().next_sequence()
}

/// The sequence number of the oldest record that is still kept.
#[must_use]
pub fn first_sequence() -> u64 {
    RING.lock().first_sequence()
}

fn write_console(bytes: &[u8]) {
    match CONSOLE.get() {
        Some(write) if !panicking() => write(bytes),
        _ => arch::serial::write_polled(bytes),
    }
}

/// A writer that keeps what fits.
struct Cut<'a>(&'a mut Line);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.remaining_capacity();
        let end = text.floor_char_boundary(room.min(text.len()));
        self.0.push_str(&text[..end]);
        Ok(())
    }
}
