//! syslog(2): the kernel log in the old way, as `dmesg` of busybox reads it.

use core::fmt::Write;

use arch::addr::UserAddr;
use arch::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use arrayvec::ArrayString;

use crate::errno::{Errno, Result};
use crate::fs::Sink;
use crate::log::{self, Record};
use crate::scheduling::WaitQueue;
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// Who waits for new records: readers of /dev/kmsg and of syslog.
static NEWS: WaitQueue = WaitQueue::new();
/// The record that SYSLOG_ACTION_READ reads next.
static READ_NEXT: AtomicU64 = AtomicU64::new(0);
/// The first record that was not cleared (SYSLOG_ACTION_CLEAR).
static CLEARED: AtomicU64 = AtomicU64::new(0);
/// The console level before SYSLOG_ACTION_CONSOLE_OFF; [`NOT_SAVED`] if it is not off.
static SAVED_LEVEL: AtomicU8 = AtomicU8::new(NOT_SAVED);
const NOT_SAVED: u8 = u8::MAX;

/// What SYSLOG_ACTION_SIZE_BUFFER reports: room for the whole log as text.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest line as text.
const LINE_BYTES: usize = log::LINE_BYTES + 64;
/// The level that is shown on a console that is switched off: emergencies (`minimum_console_loglevel`).
const LEAST_LEVEL: u8 = 1;

/// The wait queue of those who wait for new records.
pub(super) fn news() -> &'static WaitQueue {
    &NEWS
}

/// Tells readers of new records. Called from the timer interrupt when [`log::take_news`] says that there are some.
pub fn announce_news() {
    NEWS.wake_all();
}

/// The system calls of this module.
pub const SYSCALLS: &[Syscall] =
    &[syscall!(103, syslog(action: i32, buffer: UserAddr, length: i32))];

/// syslog: reads and controls the log.
fn syslog(caller: &mut Caller<'_>, action: i32, buffer: UserAddr, length: i32) -> Result {
    let action = Action::from_number(action)?;
    let open_to_all = matches!(action, Action::ReadAll | Action::SizeOfBuffer);
    if !open_to_all && !caller.thread.credentials().has(Capability::Syslog) {
        return Err(Errno::EPERM);
    }
    match action {
        Action::Close | Action::Open => Ok(0),
        Action::Read => read(buffer, length),
        Action::ReadAll => read_all(buffer, length),
        Action::ReadClear => {
            let end = log::next_sequence();
            let count = read_all(buffer, length)?;
            CLEARED.store(end, Ordering::Relaxed);
            Ok(count)
        }
        Action::Clear => {
            CLEARED.store(log::next_sequence(), Ordering::Relaxed);
            Ok(0)
        }
        Action::ConsoleOff => {
            let current = log::console_level();
            let _first = SAVED_LEVEL.compare_exchange(
                NOT_SAVED,
                current,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            log::set_console_level(LEAST_LEVEL - 1);
            Ok(0)
        }
        Action::ConsoleOn => {
            match SAVED_LEVEL.swap(NOT_SAVED, Ordering::Relaxed) {
                NOT_SAVED => {}
                saved => log::set_console_level(saved),
            }
            Ok(0)
        }
        Action::ConsoleLevel => set_level(length),
        Action::SizeUnread => Ok(texts(unread()).map(|line| line.len()).sum()),
        Action::SizeOfBuffer => Ok(BUFFER_BYTES),
    }
}

/// What the first argument asks for (syslog(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Close,
    Open,
    Read,
    ReadAll,
    ReadClear,
    Clear,
    ConsoleOff,
    ConsoleOn,
    ConsoleLevel,
    SizeUnread,
    SizeOfBuffer,
}

impl Action {
    fn from_number(number: i32) -> Result<Self> {
        Ok(match number {
            0 => Self::Close,
            1 => Self::Open,
            2 => Self::Read,
            3 => Self::ReadAll,
            4 => Self::ReadClear,
            5 => Self::Clear,
            6 => Self::ConsoleOff,
            7 => Self::ConsoleOn,
            8 => Self::ConsoleLevel,
            9 => Self::SizeUnread,
            10 => Self::SizeOfBuffer,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// SYSLOG_ACTION_CONSOLE_LEVEL: levels below `level` are shown.
fn set_level(level: i32) -> Result {
    if !(1..=8).contains(&level) {
        return Err(Errno::EINVAL);
    }
    SAVED_LEVEL.store(NOT_SAVED, Ordering::Relaxed);
    log::set_console_level((level as u8).max(LEAST_LEVEL) - 1);
    Ok(0)
}

/// The number of the first record that SYSLOG_ACTION_READ has not read.
fn unread() -> u64 {
    READ_NEXT.load(Ordering::Relaxed).max(log::first_sequence())
}

/// The records from `first` on, as text.
fn texts(first: u64) -> impl Iterator<Item = ArrayString<LINE_BYTES>> {
    records(first).map(|record| format(&record))
}

fn records(first: u64) -> impl Iterator<Item = Record> {
    let mut next = first;
    core::iter::from_fn(move || {
        let record = log::read_from(next)?;
        next = record.sequence + 1;
        Some(record)
    })
}

/// A line as syslog(2) returns it: `<level>[seconds.micros] text`.
fn format(record: &Record) -> ArrayString<LINE_BYTES> {
    let mut line = ArrayString::new();
    let (seconds, micros) = (record.time.as_secs(), record.time.subsec_nanos() / 1000);
    // The buffer is large enough for every record by construction.
    let _fits = writeln!(line, "<{}>[{seconds:5}.{micros:06}] {}", record.level as u8, record.text);
    line
}

fn checked_length(buffer: UserAddr, length: i32) -> Result {
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if buffer.is_null() { Err(Errno::EINVAL) } else { Ok(length) }
}

/// SYSLOG_ACTION_READ: waits for records, and takes as many whole ones as fit.
fn read(buffer: UserAddr, length: i32) -> Result {
    let length = checked_length(buffer, length)?;
    if length == 0 {
        return Ok(0);
    }
    NEWS.wait_until(|| log::read_from(unread()).map(|_| ()))?;
    let mut sink = Sink::user(buffer, length);
    let mut total = 0;
    for record in records(unread()) {
        let line = format(&record);
        if line.len() > sink.remaining() {
            break;
        }
        match sink.put(line.as_bytes()) {
            Ok(stored) => total += stored,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
        READ_NEXT.store(record.sequence + 1, Ordering::Relaxed);
    }
    Ok(total)
}

/// SYSLOG_ACTION_READ_ALL: the last records that fit, since the log was cleared.
fn read_all(buffer: UserAddr, length: i32) -> Result {
    let length = checked_length(buffer, length)?;
    let first = CLEARED.load(Ordering::Relaxed).max(log::first_sequence());
    let mut excess = texts(first).map(|line| line.len()).sum::<usize>().saturating_sub(length);
    let mut sink = Sink::user(buffer, length);
    let mut total = 0;
    for line in texts(first) {
        if excess > 0 {
            excess = excess.saturating_sub(line.len());
            continue;
        }
        // A record that came after the lengths were added up may not fit any more.
        if line.len() > sink.remaining() {
            break;
        }
        match sink.put(line.as_bytes()) {
            Ok(stored) => total += stored,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
