//! What the serial port sends next: lines of the kernel log between the output of programs.
//!
//! Pure: [`Transmitter`] holds two queues and decides. Log lines are whole lines. One that comes while the programs'
//! output is in the middle of a line waits for the end of that line, as long as more of it is on its way; if none is
//! (a prompt, say), the log starts on a line of its own.

use crate::byte_ring::ByteRing;

/// Bytes of programs that wait for the port.
const TERMINAL_CAPACITY: usize = 2048;
/// Bytes of the log that wait for the port.
const LOG_CAPACITY: usize = 16 * 1024;

/// The two queues in front of the port.
#[derive(Debug)]
pub struct Transmitter {
    terminal: ByteRing,
    log: ByteRing,
    /// A byte that goes before everything else: XON or XOFF.
    urgent: Option<u8>,
    /// Whether the last byte sent left the cursor at the start of a line.
    at_line_start: bool,
    /// Whether a line of the log is half sent.
    in_log_line: bool,
}

impl Transmitter {
    /// A transmitter with queues that hold nothing, for a time when memory cannot be had.
    #[must_use]
    pub const fn unbuffered() -> Self {
        Self {
            terminal: ByteRing::empty(),
            log: ByteRing::empty(),
            urgent: None,
            at_line_start: true,
            in_log_line: false,
        }
    }

    /// Gets its queues.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn allocate() -> Result<Self, alloc::collections::TryReserveError> {
        Ok(Self {
            terminal: ByteRing::with_capacity(TERMINAL_CAPACITY)?,
            log: ByteRing::with_capacity(LOG_CAPACITY)?,
            ..Self::unbuffered()
        })
    }

    /// The output of programs.
    pub fn terminal(&mut self) -> &mut ByteRing {
        &mut self.terminal
    }

    /// The number of bytes of programs that were not sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.terminal.len()
    }

    /// Whether nothing is to be sent.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.terminal.is_empty() && self.log.is_empty() && self.urgent.is_none()
    }

    /// Whether programs' output should be brought: less than half of the queue is full.
    #[must_use]
    pub fn is_hungry(&self) -> bool {
        self.terminal.room() >= TERMINAL_CAPACITY / 2
    }

    /// Queues a line of the log, whole. Returns whether it fitted.
    #[must_use]
    pub fn push_log(&mut self, line: &[u8]) -> bool {
        line.len() <= self.log.room() && self.log.push_slice(line) == line.len()
    }

    /// Sends `byte` next.
    pub fn push_urgent(&mut self, byte: u8) {
        self.urgent = Some(byte);
    }

    /// The next byte for the port.
    pub fn next_byte(&mut self) -> Option<u8> {
        if let Some(byte) = self.urgent.take() {
            return Some(byte);
        }
        if self.in_log_line {
            return self.next_of_log();
        }
        if !self.log.is_empty() && (self.at_line_start || self.terminal.is_empty()) {
            if self.at_line_start {
                return self.next_of_log();
            }
            self.at_line_start = true;
            self.urgent = Some(b'\n');
            return Some(b'\r');
        }
        let byte = self.terminal.pop()?;
        self.at_line_start = byte == b'\n' || (self.at_line_start && byte == b'\r');
        Some(byte)
    }

    fn next_of_log(&mut self) -> Option<u8> {
        let byte = self.log.pop();
        self.in_log_line = byte.is_some_and(|byte| byte != b'\n');
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transmitter() -> Transmitter {
        Transmitter::allocate().expect("memory")
    }

    fn sent(transmitter: &mut Transmitter) -> Vec<u8> {
        core::iter::from_fn(|| transmitter.next_byte()).collect()
    }

    #[test]
    fn the_log_waits_for_the_end_of_a_line_that_is_on_its_way() {
        let mut transmitter = transmitter();
        assert_eq!(transmitter.terminal().push_slice(b"one\ntwo\n"), 8);
        assert_eq!(transmitter.next_byte(), Some(b'o'));
        assert!(transmitter.push_log(b"[log]\r\n"));
        assert_eq!(sent(&mut transmitter), b"ne\n[log]\r\ntwo\n");
    }

    #[test]
    fn the_log_starts_a_line_of_its_own_behind_a_prompt() {
        let mut transmitter = transmitter();
        assert_eq!(transmitter.terminal().push_slice(b"# "), 2);
        assert_eq!(sent(&mut transmitter), b"# ");
        assert!(transmitter.push_log(b"[a]\r\n"));
        assert!(transmitter.push_log(b"[b]\r\n"));
        assert_eq!(sent(&mut transmitter), b"\r\n[a]\r\n[b]\r\n");
        assert!(transmitter.is_idle());
    }

    #[test]
    fn programs_do_not_break_into_a_line_of_the_log() {
        let mut transmitter = transmitter();
        assert!(transmitter.push_log(b"[log]\r\n"));
        assert_eq!(transmitter.next_byte(), Some(b'['));
        assert_eq!(transmitter.terminal().push_slice(b"x"), 1);
        assert_eq!(sent(&mut transmitter), b"log]\r\nx");
    }

    #[test]
    fn flow_control_goes_first() {
        let mut transmitter = transmitter();
        assert_eq!(transmitter.terminal().push_slice(b"x"), 1);
        transmitter.push_urgent(0x13);
        assert_eq!(sent(&mut transmitter), b"\x13x");
    }

    #[test]
    fn a_line_that_does_not_fit_is_refused_whole() {
        let mut transmitter = transmitter();
        assert!(!transmitter.push_log(&[b'x'; LOG_CAPACITY + 1]));
        assert!(transmitter.is_idle());
    }
}
