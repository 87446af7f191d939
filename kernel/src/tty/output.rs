//! Writing to a terminal.

use super::input::Reader;
use super::terminal::Terminal;
use crate::errno::{Errno, Result};
use crate::fs::Source;

/// Bytes that are taken from user memory at a time.
const CHUNK: usize = 512;

impl Terminal {
    /// Writes the bytes of `source`, post-processed.
    ///
    /// # Errors
    /// `EAGAIN`, `ERESTARTSYS`, `EIO` when the line is cut, `EFAULT`.
    pub(super) fn write(&self, source: &mut Source<'_>, writer: Reader) -> Result {
        let _turn = match (writer.nonblocking, self.writing.try_lock()) {
            (_, Some(turn)) => turn,
            (true, None) => return Err(Errno::EAGAIN),
            (false, None) => self.writing.lock_interruptible()?,
        };
        let mut total = 0;
        let mut chunk = [0; CHUNK];
        while source.remaining() > 0 {
            let result = source
                .take(&mut chunk)
                .and_then(|count| self.write_chunk(&chunk[..count], writer, &mut total));
            match result {
                Ok(()) => {}
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Writes all of `bytes`, waiting for room, and adds what was written to `total`.
    fn write_chunk(&self, bytes: &[u8], writer: Reader, total: &mut usize) -> Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            if self.is_cut(writer) {
                return Err(Errno::EIO);
            }
            let count = self.write_some(&bytes[written..]);
            written += count;
            *total += count;
            if count == 0 {
                if writer.nonblocking {
                    return Err(Errno::EAGAIN);
                }
                self.writable
                    .wait_until(|| (self.is_cut(writer) || self.accepts_output()).then_some(()))?;
            }
        }
        Ok(())
    }

    /// Writes as much of `bytes` as there is room for.
    fn write_some(&self, bytes: &[u8]) -> usize {
        let mut line = self.line.lock();
        if line.stopped {
            return 0;
        }
        let termios = line.termios;
        let count = line.output.write(bytes, &termios);
        self.start_output(&mut line);
        count
    }

    /// Whether nothing that is written gets anywhere.
    fn is_cut(&self, writer: Reader) -> bool {
        self.hang_up_count() != writer.generation || self.driver.is_closed()
    }

    /// Whether a write would be taken now, at least in part.
    pub(super) fn accepts_output(&self) -> bool {
        let line = self.line.lock();
        !line.stopped && line.output.is_writable()
    }

    /// Waits until everything written has left (tcdrain(3)).
    ///
    /// # Errors
    /// `ERESTARTSYS`.
    pub(super) fn drain(&self) -> Result<()> {
        // What a pseudo-terminal's slave wrote has arrived where it goes.
        if self.is_pseudo() {
            return Ok(());
        }
        self.writable.wait_until(|| {
            let line = self.line.lock();
            (line.output.pending() == 0 && self.driver.unsent() == 0).then_some(())
        })
    }
}
