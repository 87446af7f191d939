//! The line discipline of a terminal, as a state machine without locks, clocks or processes.
//!
//! Bytes and [`Termios`] go in; echo goes to [`Output`], received bytes to the [`InputQueue`], and everything that
//! the discipline cannot do itself comes back as a [`Reaction`]: a signal for the foreground process group, output to
//! be paused, resumed or thrown away, readers to be woken. [`super::terminal`] owns a [`Discipline`] under its lock and
//! carries the reaction out.
//!
//! - [`queue`]: the input queue, with marks where lines end; what a read takes.
//! - [`edit`]: erase, word erase and kill of canonical mode, with their echo.
//! - [`output`]: output post-processing (OPOST), echo, columns.
//!
//! The behaviour is that of Linux's N_TTY: termios(3), POSIX.1 chapter 11. Breaks, parity errors and EXTPROC do not
//! occur on the lines that there are and are not modelled.

mod edit;
mod output;
mod queue;
#[cfg(test)]
mod tests;

use alloc::collections::TryReserveError;

pub use output::Output;
pub use queue::{InputQueue, Taken};

use super::termios::{ControlCharacter as Control, DISABLED, InputFlags, LocalFlags, Termios};

/// A signal that a received character asks for. It goes to the foreground process group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TerminalSignal {
    /// INTR: SIGINT.
    Interrupt,
    /// QUIT: SIGQUIT.
    Quit,
    /// SUSP: SIGTSTP.
    Suspend,
}

/// What a received byte asks the owner of the discipline to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Reaction {
    /// A signal to send.
    pub signal: Option<TerminalSignal>,
    /// The output that waits for the device is to be thrown away: a signal flushed the queues.
    pub output_flushed: bool,
    /// Output is to be paused (`Some(true)`) or resumed (`Some(false)`).
    pub stop_output: Option<bool>,
    /// A reader may find something.
    pub readable: bool,
}

/// The state of N_TTY for one terminal.
#[derive(Debug)]
pub struct Discipline {
    input: InputQueue,
    /// The next byte is taken literally: LNEXT came before it.
    literal_next: bool,
    /// A `\` of ECHOPRT is open.
    erasing: bool,
    /// Output is paused by the STOP character, and START (or IXANY) resumes it.
    stopped: bool,
}

impl Discipline {
    /// A discipline with an empty input queue.
    ///
    /// # Errors
    /// When there is no memory for the queue.
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self { input: InputQueue::new()?, literal_next: false, erasing: false, stopped: false })
    }

    /// The received bytes.
    #[must_use]
    pub fn input(&self) -> &InputQueue {
        &self.input
    }

    /// The received bytes, to read from or to flush.
    pub fn input_mut(&mut self) -> &mut InputQueue {
        &mut self.input
    }

    /// Whether another byte can be received without loss.
    ///
    /// In canonical mode this is always so while no line is complete: the byte that does not fit replaces the last
    /// one, so that the end of an overlong line can still be typed.
    #[must_use]
    pub fn can_receive(&self, termios: &Termios) -> bool {
        self.input.room() > 1 || (termios.canonical() && !self.input.has_line())
    }

    /// Notes that output was resumed by other means than a received character.
    pub fn note_started(&mut self) {
        self.stopped = false;
    }

    /// Forgets everything received and the state of editing (TCIFLUSH).
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.erasing = false;
        self.literal_next = false;
    }

    /// Adapts to a change of parameters from `old` to `new`.
    pub fn termios_changed(&mut self, old: &Termios, new: &Termios) -> Reaction {
        let mut reaction = Reaction::default();
        if old.canonical() != new.canonical() {
            self.input.set_canonical(new.canonical());
            self.erasing = false;
            self.literal_next = false;
        }
        let ixon_cleared =
            old.input.contains(InputFlags::IXON) && !new.input.contains(InputFlags::IXON);
        if ixon_cleared && self.stopped {
            self.resume(&mut reaction);
        }
        reaction.readable = true;
        reaction
    }

    /// Takes one byte that came from the line.
    pub fn receive(&mut self, byte: u8, termios: &Termios, output: &mut Output) -> Reaction {
        let mut reaction = Reaction::default();
        if self.literal_next {
            self.literal_next = false;
            self.receive_ordinary(strip(byte, termios), termios, output, &mut reaction);
            return reaction;
        }
        let byte = strip(byte, termios);
        if self.receive_flow_control(byte, termios, &mut reaction)
            || self.receive_signal(byte, termios, output, &mut reaction)
        {
            return reaction;
        }
        self.resume_on_any(termios, &mut reaction);
        let Some(byte) = translate(byte, termios) else { return reaction };
        if !termios.canonical() || !self.receive_editing(byte, termios, output, &mut reaction) {
            self.receive_ordinary(byte, termios, output, &mut reaction);
        }
        reaction
    }

    /// START and STOP. Returns whether `byte` was one of them.
    fn receive_flow_control(
        &mut self,
        byte: u8,
        termios: &Termios,
        reaction: &mut Reaction,
    ) -> bool {
        if !termios.input.contains(InputFlags::IXON) {
            return false;
        }
        if termios.is(byte, Control::Start) {
            self.resume(reaction);
            true
        } else if termios.is(byte, Control::Stop) {
            self.stopped = true;
            reaction.stop_output = Some(true);
            true
        } else {
            false
        }
    }

    /// INTR, QUIT and SUSP. Returns whether `byte` was one of them.
    fn receive_signal(
        &mut self,
        byte: u8,
        termios: &Termios,
        output: &mut Output,
        reaction: &mut Reaction,
    ) -> bool {
        if !termios.local.contains(LocalFlags::ISIG) {
            return false;
        }
        let signal = if termios.is(byte, Control::Intr) {
            TerminalSignal::Interrupt
        } else if termios.is(byte, Control::Quit) {
            TerminalSignal::Quit
        } else if termios.is(byte, Control::Susp) {
            TerminalSignal::Suspend
        } else {
            return false;
        };
        reaction.signal = Some(signal);
        if !termios.local.contains(LocalFlags::NOFLSH) {
            self.flush_input();
            output.flush();
            reaction.output_flushed = true;
        }
        if termios.input.contains(InputFlags::IXON) {
            self.resume(reaction);
        }
        if termios.local.contains(LocalFlags::ECHO) {
            output.echo(byte, termios);
        }
        true
    }

    /// The characters that mean something in canonical mode only. Returns whether `byte` was one of them.
    fn receive_editing(
        &mut self,
        byte: u8,
        termios: &Termios,
        output: &mut Output,
        reaction: &mut Reaction,
    ) -> bool {
        let extended = termios.local.contains(LocalFlags::IEXTEN);
        let echo = termios.local.contains(LocalFlags::ECHO);
        if let Some(erasure) = edit::Erasure::of(byte, termios) {
            self.erase(erasure, termios, output);
        } else if extended && termios.is(byte, Control::LiteralNext) {
            self.literal_next = true;
            if echo {
                self.finish_erasing(output, termios);
                if termios.local.contains(LocalFlags::ECHOCTL) {
                    output.echo_raw(b'^', termios);
                    output.echo_raw(b'\x08', termios);
                }
            }
        } else if extended && echo && termios.is(byte, Control::Reprint) {
            self.reprint(byte, termios, output);
        } else if byte == b'\n' {
            if echo || termios.local.contains(LocalFlags::ECHONL) {
                output.echo_raw(b'\n', termios);
            }
            self.end_line(byte, reaction);
        } else if termios.is(byte, Control::Eof) {
            self.end_line(DISABLED, reaction);
        } else if termios.is(byte, Control::Eol) || (extended && termios.is(byte, Control::Eol2)) {
            if echo {
                self.note_line_start(output);
                output.echo(byte, termios);
            }
            if byte == 0xff && termios.input.contains(InputFlags::PARMRK) {
                self.input.push(byte);
            }
            self.end_line(byte, reaction);
        } else {
            return false;
        }
        true
    }

    /// A byte that means nothing but itself.
    fn receive_ordinary(
        &mut self,
        byte: u8,
        termios: &Termios,
        output: &mut Output,
        reaction: &mut Reaction,
    ) {
        self.resume_on_any(termios, reaction);
        if termios.local.contains(LocalFlags::ECHO) {
            self.finish_erasing(output, termios);
            if byte == b'\n' {
                output.echo_raw(byte, termios);
            } else {
                self.note_line_start(output);
                output.echo(byte, termios);
            }
        }
        if byte == 0xff && termios.input.contains(InputFlags::PARMRK) {
            self.input.push(byte);
        }
        self.input.push(byte);
        reaction.readable |= !termios.canonical();
    }

    /// Completes the line being typed with `terminator`.
    fn end_line(&mut self, terminator: u8, reaction: &mut Reaction) {
        self.input.push_line_end(terminator);
        reaction.readable = true;
    }

    /// Prints the line being typed again (REPRINT).
    fn reprint(&mut self, byte: u8, termios: &Termios, output: &mut Output) {
        self.finish_erasing(output, termios);
        output.echo(byte, termios);
        output.echo_raw(b'\n', termios);
        for typed in self.input.unfinished() {
            output.echo(typed, termios);
        }
    }

    /// Remembers where on the screen the line being typed starts: tabs are erased relative to it.
    fn note_line_start(&self, output: &mut Output) {
        if !self.input.has_unfinished() {
            output.set_line_start();
        }
    }

    /// Closes the `\` of ECHOPRT.
    fn finish_erasing(&mut self, output: &mut Output, termios: &Termios) {
        if self.erasing {
            output.echo_raw(b'/', termios);
            self.erasing = false;
        }
    }

    fn resume(&mut self, reaction: &mut Reaction) {
        self.stopped = false;
        reaction.stop_output = Some(false);
    }

    fn resume_on_any(&mut self, termios: &Termios, reaction: &mut Reaction) {
        if self.stopped && termios.input.contains(InputFlags::IXON | InputFlags::IXANY) {
            self.resume(reaction);
        }
    }
}

/// ISTRIP and IUCLC, which change even what LNEXT protects.
fn strip(byte: u8, termios: &Termios) -> u8 {
    let byte = if termios.input.contains(InputFlags::ISTRIP) { byte & 0x7f } else { byte };
    if termios.input.contains(InputFlags::IUCLC) && termios.local.contains(LocalFlags::IEXTEN) {
        byte.to_ascii_lowercase()
    } else {
        byte
    }
}

/// IGNCR, ICRNL and INLCR. `None` where the byte is discarded.
fn translate(byte: u8, termios: &Termios) -> Option<u8> {
    match byte {
        b'\r' if termios.input.contains(InputFlags::IGNCR) => None,
        b'\r' if termios.input.contains(InputFlags::ICRNL) => Some(b'\n'),
        b'\n' if termios.input.contains(InputFlags::INLCR) => Some(b'\r'),
        other => Some(other),
    }
}
