//! A terminal: a line discipline, its parameters and its device, shared by everybody who has it open.
//!
//! [`Terminal`] is the value behind `/dev/ttyS0`, `/dev/console` and each `/dev/pts/N`. Its [`Driver`] is what the line
//! leads to: the serial port, or the master of a pseudo-terminal. Bytes from the line come in through
//! [`Terminal::receive`]; [`super::input`] and [`super::output`] are read(2) and write(2), [`super::job`] is job
//! control, [`super::control`] ioctl(2).
//!
//! Locks: `line` (rank `TTY`) guards the discipline and everything about the bytes; `job` (rank `TTY_JOB`) the session
//! and the foreground group. Neither is held while user memory is touched or a signal is sent. The sleeping mutexes
//! `reading` and `writing` come before both: one read and one write at a time.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};
use linux_raw_sys::general::winsize;

use super::discipline::{Discipline, Output, Reaction, TerminalSignal};
use super::job::Job;
use super::termios::Termios;
use crate::byte_ring::ByteRing;
use crate::errno::{Errno, Result};
use crate::fs::DeviceNumber;
use crate::scheduling::{Mutex, WaitQueue};

/// What a terminal's line leads to. Methods are called with the terminal's `line` lock held: they do not sleep and
/// take only locks that come after it.
pub trait Driver: Send + Sync {
    /// There is output in `queue`, or there may be room for it again: takes what it can.
    fn transmit(&self, queue: &mut ByteRing);

    /// Throws away what it has taken and not sent.
    fn discard_output(&self) {}

    /// How many bytes it has taken and not sent.
    fn unsent(&self) -> usize {
        0
    }

    /// Sends one byte before everything else (XON and XOFF for the other side).
    fn transmit_urgent(&self, _byte: u8) {}

    /// A reader made room for input.
    fn input_drained(&self) {}

    /// Whether the other side is closed, so that nothing will be received any more.
    fn is_closed(&self) -> bool {
        false
    }

    /// The terminal was opened once more.
    fn opened(&self) {}

    /// The last open file of the terminal was closed.
    fn last_closed(&self) {}

    /// Whether the line leads to the master of a pseudo-terminal.
    fn is_pseudo(&self) -> bool {
        false
    }

    /// Something happened that a pseudo-terminal's master in packet mode learns of (`TIOCPKT_*` bits).
    fn notify_master(&self, _status: u8) {}
}

/// What the `line` lock guards.
pub(super) struct Line {
    pub termios: Termios,
    pub discipline: Discipline,
    pub output: Output,
    pub window: winsize,
    /// Output is paused, by STOP or by tcflow(3).
    pub stopped: bool,
    /// The pause was tcflow's: characters do not end it.
    pub stopped_by_call: bool,
    /// TIOCEXCL: nobody else may open it.
    pub exclusive: bool,
    /// XOFF was sent to the other side because the input queue was nearly full.
    pub throttled: bool,
}

/// A terminal.
pub struct Terminal {
    this: Weak<Terminal>,
    number: DeviceNumber,
    pub(super) line: SpinLock<Line>,
    pub(super) job: SpinLock<Job>,
    pub(super) driver: Box<dyn Driver>,
    pub(super) reading: Mutex<()>,
    pub(super) writing: Mutex<()>,
    /// Readers, and pollers for input.
    pub(super) readable: WaitQueue,
    /// Writers, pollers for output, and those who wait until output has drained.
    pub(super) writable: WaitQueue,
    /// Counts hang-ups: an open file of an earlier count is dead. Pairs acquire and release.
    pub(super) hang_ups: AtomicU32,
    /// Open files.
    pub(super) opens: AtomicU32,
}

/// Eighty columns and twenty-four rows: what a serial line is taken for until somebody says otherwise.
const DEFAULT_WINDOW: winsize = winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
/// The size of a pseudo-terminal, which its master sets.
const UNKNOWN_WINDOW: winsize = winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };

impl Terminal {
    /// The terminal of a serial line.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn serial(number: DeviceNumber, driver: Box<dyn Driver>) -> Result<Arc<Self>> {
        Self::new(number, Termios::console(), DEFAULT_WINDOW, driver)
    }

    /// The slave side of a pseudo-terminal.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn pseudo(number: DeviceNumber, driver: Box<dyn Driver>) -> Result<Arc<Self>> {
        Self::new(number, Termios::pseudo_terminal(), UNKNOWN_WINDOW, driver)
    }

    fn new(
        number: DeviceNumber,
        termios: Termios,
        window: winsize,
        driver: Box<dyn Driver>,
    ) -> Result<Arc<Self>> {
        let line = Line {
            termios,
            discipline: Discipline::new().map_err(|_| Errno::ENOMEM)?,
            output: Output::new().map_err(|_| Errno::ENOMEM)?,
            window,
            stopped: false,
            stopped_by_call: false,
            exclusive: false,
            throttled: false,
        };
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            number,
            line: SpinLock::new(Rank::TTY, line),
            job: SpinLock::new(Rank::TTY_JOB, Job::default()),
            driver,
            reading: Mutex::new(()),
            writing: Mutex::new(()),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            hang_ups: AtomicU32::new(0),
            opens: AtomicU32::new(0),
        }))
    }

    /// The device number.
    #[must_use]
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// A counted reference to this terminal.
    #[must_use]
    pub fn to_arc(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Whether this is the slave side of a pseudo-terminal.
    #[must_use]
    pub fn is_pseudo(&self) -> bool {
        self.driver.is_pseudo()
    }

    /// How often the terminal was hung up so far.
    #[must_use]
    pub fn hang_up_count(&self) -> u32 {
        self.hang_ups.load(Ordering::Acquire)
    }

    /// Takes bytes that came from the line; returns how many. The rest waits until a reader makes room.
    pub fn receive(&self, bytes: &[u8]) -> usize {
        let mut received = 0;
        while received < bytes.len() {
            let (count, all) = self.receive_until_signal(&bytes[received..]);
            received += count;
            if all.readable {
                self.readable.wake_all();
            }
            if all.output_flushed || all.stop_output == Some(false) {
                self.writable.wake_all();
            }
            if let Some(signal) = all.signal {
                self.signal_foreground(signal.number());
            } else if count == 0 || received == bytes.len() {
                break;
            }
        }
        received
    }

    /// Receives bytes up to one that asks for a signal, which is sent without the lock.
    fn receive_until_signal(&self, bytes: &[u8]) -> (usize, Reaction) {
        let mut all = Reaction::default();
        let mut line = self.line.lock();
        let mut count = 0;
        for &byte in bytes {
            let Line { termios, discipline, output, .. } = &mut *line;
            if !discipline.can_receive(termios) {
                break;
            }
            let one = discipline.receive(byte, termios, output);
            count += 1;
            self.apply(&mut line, &one);
            all.readable |= one.readable;
            all.output_flushed |= one.output_flushed;
            all.stop_output = one.stop_output.or(all.stop_output);
            all.signal = one.signal;
            if all.signal.is_some() {
                break;
            }
        }
        self.throttle(&mut line);
        self.start_output(&mut line);
        (count, all)
    }

    /// Carries out the part of a reaction that concerns the line itself.
    pub(super) fn apply(&self, line: &mut Line, reaction: &Reaction) {
        if reaction.output_flushed {
            self.driver.discard_output();
        }
        match reaction.stop_output {
            Some(true) => self.pause(line),
            Some(false) if !line.stopped_by_call => self.resume(line),
            _ => {}
        }
    }

    /// Pauses output.
    pub(super) fn pause(&self, line: &mut Line) {
        if !line.stopped {
            line.stopped = true;
            self.driver.notify_master(super::pty::STATUS_STOP);
        }
    }

    /// Resumes output.
    pub(super) fn resume(&self, line: &mut Line) {
        line.discipline.note_started();
        if line.stopped {
            line.stopped = false;
            self.driver.notify_master(super::pty::STATUS_START);
        }
    }

    /// Lets the driver take output, unless it is paused.
    pub(super) fn start_output(&self, line: &mut Line) {
        if !line.stopped {
            self.driver.transmit(line.output.queue());
        }
    }

    /// The driver may have room again: goes on with output and wakes writers.
    pub fn continue_output(&self) {
        let writable = {
            let mut line = self.line.lock();
            self.start_output(&mut line);
            line.output.is_writable()
        };
        if writable {
            self.writable.wake_all();
        }
    }

    /// Cuts the terminal off from everybody who has it open: reads end, writes fail, the queues are emptied.
    pub fn hang_up(&self) {
        self.hang_ups.fetch_add(1, Ordering::AcqRel);
        {
            let mut line = self.line.lock();
            line.discipline.flush_input();
            line.output.flush();
            line.stopped = false;
            line.stopped_by_call = false;
        }
        self.readable.wake_all();
        self.writable.wake_all();
    }
}

impl TerminalSignal {
    /// The signal's number.
    #[must_use]
    pub const fn number(self) -> crate::signal::Signal {
        use crate::signal::Signal;
        match self {
            Self::Interrupt => Signal::SIGINT,
            Self::Quit => Signal::SIGQUIT,
            Self::Suspend => Signal::SIGTSTP,
        }
    }
}
