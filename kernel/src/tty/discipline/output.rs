//! The way out of a terminal: post-processing, echo, and the queue of bytes that wait for the device.
//!
//! [`Output`] knows the cursor's column, because tabs, CR and erasing need it. Writers leave [`ECHO_RESERVE`] bytes of
//! the queue free, so that what a person types is echoed also while a program floods the screen.

use alloc::collections::TryReserveError;

use super::edit::is_continuation;
use crate::byte_ring::ByteRing;
use crate::tty::termios::{InputFlags, LocalFlags, OutputFlags, Termios};

/// Bytes that wait for the device.
const CAPACITY: usize = 8192;
/// The part of the queue that only echo may use.
const ECHO_RESERVE: usize = 1024;
/// Tab stops are this far apart.
const TAB: usize = 8;

/// Where the columns before an erased tab are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// An earlier tab, which ended at a tab stop.
    TabStop,
    /// The column where the line being typed began.
    LineStart,
}

/// The output side of a terminal.
#[derive(Debug)]
pub struct Output {
    queue: ByteRing,
    column: usize,
    line_start: usize,
}

impl Output {
    /// An empty output with the cursor in column 0.
    ///
    /// # Errors
    /// When there is no memory for the queue.
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self { queue: ByteRing::with_capacity(CAPACITY)?, column: 0, line_start: 0 })
    }

    /// The bytes that wait for the device.
    pub fn queue(&mut self) -> &mut ByteRing {
        &mut self.queue
    }

    /// The number of bytes that wait for the device.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// The space that a writer may still fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.queue.room().saturating_sub(ECHO_RESERVE)
    }

    /// Whether enough has drained that waking writers is worthwhile.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.room() >= (CAPACITY - ECHO_RESERVE) / 4
    }

    /// Throws away what waits for the device (TCOFLUSH).
    pub fn flush(&mut self) {
        self.queue.clear();
    }

    /// Post-processes and queues bytes of a program while there is room. Returns how many were taken.
    pub fn write(&mut self, bytes: &[u8], termios: &Termios) -> usize {
        if !termios.output.contains(OutputFlags::OPOST) {
            let count = bytes.len().min(self.room());
            return self.queue.push_slice(&bytes[..count]);
        }
        for (index, &byte) in bytes.iter().enumerate() {
            // No byte becomes more than a tab's worth of spaces.
            if self.room() < TAB {
                return index;
            }
            self.process(byte, termios);
        }
        bytes.len()
    }

    /// Echoes a received byte; a control character shows as `^X` if ECHOCTL says so.
    pub fn echo(&mut self, byte: u8, termios: &Termios) {
        let visible = termios.local.contains(LocalFlags::ECHOCTL);
        if visible && byte.is_ascii_control() && byte != b'\t' {
            self.put(b'^');
            self.put(byte ^ 0o100);
            self.column += 2;
        } else {
            self.echo_raw(byte, termios);
        }
    }

    /// Echoes a byte as it is, post-processed.
    pub fn echo_raw(&mut self, byte: u8, termios: &Termios) {
        if termios.output.contains(OutputFlags::OPOST) {
            self.process(byte, termios);
        } else {
            self.put(byte);
        }
    }

    /// Removes the character before the cursor from the screen.
    pub(super) fn erase_column(&mut self, termios: &Termios) {
        for byte in *b"\x08 \x08" {
            self.echo_raw(byte, termios);
        }
    }

    /// Moves the cursor back over a tab, before which `width` columns were typed since `origin`.
    pub(super) fn erase_tab(&mut self, width: usize, origin: Origin, termios: &Termios) {
        let column = match origin {
            Origin::TabStop => width,
            Origin::LineStart => width + self.line_start,
        };
        for _ in 0..TAB - column % TAB {
            self.echo_raw(b'\x08', termios);
        }
    }

    /// The line being typed begins at the cursor.
    pub(super) fn set_line_start(&mut self) {
        self.line_start = self.column;
    }

    /// Post-processes one byte (OPOST is set) and queues the result.
    fn process(&mut self, byte: u8, termios: &Termios) {
        let flags = termios.output;
        match byte {
            b'\n' => {
                if flags.contains(OutputFlags::ONLRET) {
                    self.column = 0;
                }
                if flags.contains(OutputFlags::ONLCR) {
                    self.put(b'\r');
                    self.column = 0;
                }
                self.line_start = self.column;
                self.put(b'\n');
            }
            b'\r' if flags.contains(OutputFlags::ONOCR) && self.column == 0 => {}
            b'\r' if flags.contains(OutputFlags::OCRNL) => {
                if flags.contains(OutputFlags::ONLRET) {
                    self.column = 0;
                    self.line_start = 0;
                }
                self.put(b'\n');
            }
            b'\r' => {
                self.column = 0;
                self.line_start = 0;
                self.put(b'\r');
            }
            b'\t' => self.tab(flags),
            b'\x08' => {
                self.column = self.column.saturating_sub(1);
                self.put(byte);
            }
            _ => self.printable(byte, termios),
        }
    }

    fn tab(&mut self, flags: OutputFlags) {
        let spaces = TAB - self.column % TAB;
        self.column += spaces;
        if flags.contains(OutputFlags::XTABS) {
            for _ in 0..spaces {
                self.put(b' ');
            }
        } else {
            self.put(b'\t');
        }
    }

    fn printable(&mut self, byte: u8, termios: &Termios) {
        if byte.is_ascii_control() {
            self.put(byte);
            return;
        }
        if !(termios.input.contains(InputFlags::IUTF8) && is_continuation(byte)) {
            self.column += 1;
        }
        let upper = termios.output.contains(OutputFlags::OLCUC);
        self.put(if upper { byte.to_ascii_uppercase() } else { byte });
    }

    /// Queues a byte for the device. Echo that finds the whole queue full is lost, as on Linux.
    fn put(&mut self, byte: u8) {
        let _lost_when_full = self.queue.push(byte);
    }
}
