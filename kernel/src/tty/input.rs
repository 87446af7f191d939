//! Reading from a terminal.

use arch::time::Nanos;

use super::discipline::Taken;
use super::terminal::{Line, Terminal};
use super::termios::{ControlCharacter as Control, InputFlags, Termios};
use crate::errno::{Errno, Result};
use crate::fs::Sink;
use crate::scheduling::WaitEnd;

/// Bytes that leave the queue at a time, on their way to user memory.
const CHUNK: usize = 256;
/// With IXOFF, XOFF is sent when fewer bytes than this fit.
const THROTTLE_ROOM: usize = 128;
/// And XON when more bytes than this fit again.
const UNTHROTTLE_ROOM: usize = 3 * 1024;
/// VTIME counts tenths of a second.
const DECISECOND: Nanos = Nanos::from_millis(100);

/// How a reader waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reader {
    /// Hang-ups before the file was opened.
    pub generation: u32,
    /// Whether it fails rather than wait.
    pub nonblocking: bool,
}

/// What a raw read waits for: at least `minimum` bytes, and `timeout` between them, or at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Patience {
    minimum: usize,
    /// Before the first byte.
    first: Option<Nanos>,
    /// After each byte.
    next: Option<Nanos>,
}

impl Patience {
    /// VMIN and VTIME in canonical and raw mode (termios(3)).
    fn of(termios: &Termios) -> Self {
        if termios.canonical() {
            return Self { minimum: 0, first: None, next: None };
        }
        let minimum = usize::from(termios.character(Control::Min));
        let time = Nanos(DECISECOND.0 * u64::from(termios.character(Control::Time)));
        match (minimum, time) {
            (0, time) => Self { minimum: 1, first: Some(time), next: None },
            (minimum, Nanos::ZERO) => Self { minimum, first: None, next: None },
            (minimum, time) => Self { minimum, first: None, next: Some(time) },
        }
    }
}

/// What one look at the queue gave.
enum Look {
    /// Bytes, perhaps none at an end of file.
    Bytes(Taken),
    /// Nothing yet.
    Nothing,
}

impl Terminal {
    /// Reads into `sink`: a line, or what VMIN and VTIME ask for.
    ///
    /// # Errors
    /// `EAGAIN`, `ERESTARTSYS`, `EIO` when the other side is closed, `EFAULT`.
    pub(super) fn read(&self, sink: &mut Sink<'_>, reader: Reader) -> Result {
        let _turn = match (reader.nonblocking, self.reading.try_lock()) {
            (_, Some(turn)) => turn,
            (true, None) => return Err(Errno::EAGAIN),
            (false, None) => self.reading.lock_interruptible()?,
        };
        let patience = Patience::of(&self.line.lock().termios);
        let mut timeout = patience.first;
        let mut total = 0;
        let mut chunk = [0; CHUNK];
        while sink.remaining() > 0 {
            if self.hang_up_count() != reader.generation {
                break;
            }
            let room = sink.remaining().min(CHUNK);
            let taken = match self.look(&mut chunk[..room]) {
                Look::Bytes(taken) => taken,
                Look::Nothing if total > 0 && total >= patience.minimum => break,
                Look::Nothing => match self.wait_for_input(reader, timeout) {
                    Ok(Waited::Input) => continue,
                    Ok(Waited::End) => break,
                    Err(_) if total > 0 => break,
                    Err(error) => return Err(error),
                },
            };
            match sink.put(&chunk[..taken.count]) {
                Ok(stored) => total += stored,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
            let more_of_line = !taken.ends_line && self.line.lock().termios.canonical();
            if taken.ends_line || (total >= patience.minimum && !more_of_line && taken.count < room)
            {
                break;
            }
            timeout = patience.next;
        }
        self.unthrottle();
        Ok(total)
    }

    /// Takes what is there.
    fn look(&self, chunk: &mut [u8]) -> Look {
        let mut line = self.line.lock();
        let canonical = line.termios.canonical();
        let input = line.discipline.input_mut();
        if canonical {
            if input.has_line() { Look::Bytes(input.take_line(chunk)) } else { Look::Nothing }
        } else if input.is_empty() {
            Look::Nothing
        } else {
            Look::Bytes(Taken { count: input.take_raw(chunk), ends_line: false })
        }
    }

    fn wait_for_input(&self, reader: Reader, timeout: Option<Nanos>) -> Result<Waited> {
        if self.driver.is_closed() {
            return Err(Errno::EIO);
        }
        if timeout == Some(Nanos::ZERO) {
            return Ok(Waited::End);
        }
        if reader.nonblocking {
            return Err(Errno::EAGAIN);
        }
        let deadline = timeout.map(|timeout| arch::clock::now().saturating_add(timeout));
        let changed = || {
            let over = self.hang_up_count() != reader.generation || self.driver.is_closed();
            (over || self.has_input(&self.line.lock())).then_some(())
        };
        match self.readable.wait_until_deadline(deadline, changed) {
            Ok(()) => Ok(Waited::Input),
            Err(WaitEnd::TimedOut) => Ok(Waited::End),
            Err(WaitEnd::Interrupted) => Err(Errno::ERESTARTSYS),
        }
    }

    /// Whether a read finds anything.
    fn has_input(&self, line: &Line) -> bool {
        let input = line.discipline.input();
        if line.termios.canonical() { input.has_line() } else { !input.is_empty() }
    }

    /// Whether poll(2) calls the terminal readable: as a read, but with VMIN and no VTIME that many bytes.
    pub(super) fn polls_readable(&self, line: &Line) -> bool {
        let minimum = usize::from(line.termios.character(Control::Min));
        let timed = line.termios.character(Control::Time) != 0;
        if line.termios.canonical() || timed || minimum == 0 {
            self.has_input(line)
        } else {
            line.discipline.input().len() >= minimum
        }
    }

    /// IXOFF: asks the other side to pause when the input queue is nearly full.
    pub(super) fn throttle(&self, line: &mut Line) {
        let wanted = line.termios.input.contains(InputFlags::IXOFF);
        if wanted && !line.throttled && line.discipline.input().room() < THROTTLE_ROOM {
            line.throttled = true;
            self.driver.transmit_urgent(line.termios.character(Control::Stop));
        }
    }

    /// A reader made room: whoever has input that did not fit brings it, and XON follows an XOFF.
    fn unthrottle(&self) {
        let mut line = self.line.lock();
        if line.throttled && line.discipline.input().room() > UNTHROTTLE_ROOM {
            line.throttled = false;
            self.driver.transmit_urgent(line.termios.character(Control::Start));
        }
        self.driver.input_drained();
    }
}

/// How a wait for input ended.
enum Waited {
    /// There may be some.
    Input,
    /// There is none, and the read is over.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tty::termios::LocalFlags;

    fn raw(minimum: u8, time: u8) -> Patience {
        let mut termios = Termios::console();
        termios.local -= LocalFlags::ICANON;
        termios.characters[Control::Min as usize] = minimum;
        termios.characters[Control::Time as usize] = time;
        Patience::of(&termios)
    }

    #[test]
    fn the_four_cases_of_raw_reads() {
        let second = Some(Nanos::from_secs(1));
        assert_eq!(raw(0, 0), Patience { minimum: 1, first: Some(Nanos::ZERO), next: None });
        assert_eq!(raw(0, 10), Patience { minimum: 1, first: second, next: None });
        assert_eq!(raw(5, 0), Patience { minimum: 5, first: None, next: None });
        assert_eq!(raw(5, 10), Patience { minimum: 5, first: None, next: second });
    }
}
