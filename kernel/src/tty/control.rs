//! ioctl(2) on terminals (ioctl_tty(2)).

use arch::addr::UserAddr;
use linux_raw_sys::general::{self as abi, termios, termios2, winsize};
use linux_raw_sys::ioctl;

use super::job::Claim;
use super::terminal::{Line, Terminal};
use super::termios::{ControlCharacter as Control, Termios};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::signal::Signal;
use crate::task::{self, Capability};

crate::plain_data!(Parameters, Parameters2, Window);

/// `struct termios`, as user memory holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Parameters(termios);

/// `struct termios2`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Parameters2(termios2);

/// `struct winsize`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Window(pub winsize);

/// When a change of parameters takes effect (tcsetattr(3)).
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// At once.
    Now,
    /// After everything written has left.
    Drained,
    /// After that, and unread input is thrown away.
    Flushed,
}

impl Terminal {
    /// Carries out `command`, which any open file of the terminal may bring.
    ///
    /// # Errors
    /// `ENOTTY` for an unknown command; those of each command.
    pub(super) fn control(&self, command: u32, argument: u64) -> Result {
        let address = address_of(argument);
        match command {
            ioctl::TIOCGWINSZ => {
                let window = self.line.lock().window;
                UserPtr::new(address).write(&Window(window))?;
            }
            ioctl::TIOCSWINSZ => self.set_window(UserPtr::<Window>::new(address).read()?.0),
            ioctl::TCSBRK | ioctl::TCSBRKP => {
                // There is no break condition to send: what is left of the command is to wait for the output.
                self.check_foreground(Signal::SIGTTOU)?;
                self.drain()?;
            }
            ioctl::TCXONC => self.flow(argument)?,
            ioctl::TCFLSH => {
                self.check_foreground(Signal::SIGTTOU)?;
                self.flush(argument)?;
            }
            ioctl::TIOCOUTQ => {
                let queued = self.line.lock().output.pending() + self.driver.unsent();
                UserPtr::new(address).write(&(queued as u32))?;
            }
            ioctl::TIOCSTI => self.fake_input(UserPtr::<u8>::new(address).read()?)?,
            ioctl::TIOCGETD => UserPtr::new(address).write(&0_u32)?,
            ioctl::TIOCSETD => {
                if UserPtr::<u32>::new(address).read()? != 0 {
                    return Err(Errno::EINVAL);
                }
            }
            _ => return self.control_job(command, argument),
        }
        Ok(0)
    }

    /// The commands about who uses the terminal.
    fn control_job(&self, command: u32, argument: u64) -> Result {
        let address = address_of(argument);
        match command {
            ioctl::TIOCSCTTY => self.claim_by_call(argument)?,
            ioctl::TIOCNOTTY => self.give_up()?,
            ioctl::TIOCGPGRP => UserPtr::new(address).write(&self.foreground_for_caller()?)?,
            ioctl::TIOCSPGRP => self.set_foreground(UserPtr::new(address).read()?)?,
            ioctl::TIOCGSID => UserPtr::new(address).write(&self.session_for_caller()?)?,
            ioctl::TIOCEXCL => self.line.lock().exclusive = true,
            ioctl::TIOCNXCL => self.line.lock().exclusive = false,
            ioctl::TIOCGEXCL => {
                let exclusive = u32::from(self.line.lock().exclusive);
                UserPtr::new(address).write(&exclusive)?;
            }
            ioctl::TIOCVHANGUP => {
                if !task::current().credentials().has(Capability::SysAdmin) {
                    return Err(Errno::EPERM);
                }
                self.hang_up_session();
            }
            _ => return self.control_parameters(command, address),
        }
        Ok(0)
    }

    /// The commands about parameters that a pseudo-terminal's master may bring too; they act on the slave.
    ///
    /// # Errors
    /// `EFAULT`.
    pub(super) fn control_parameters(&self, command: u32, address: UserAddr) -> Result {
        match command {
            ioctl::TCGETS => {
                let parameters = self.line.lock().termios.to_termios();
                UserPtr::new(address).write(&Parameters(parameters))?;
            }
            ioctl::TCGETS2 => {
                let parameters = self.line.lock().termios.to_termios2();
                UserPtr::new(address).write(&Parameters2(parameters))?;
            }
            ioctl::TCSETS => self.set_from(address, When::Now)?,
            ioctl::TCSETSW => self.set_from(address, When::Drained)?,
            ioctl::TCSETSF => self.set_from(address, When::Flushed)?,
            ioctl::TCSETS2 => self.set_from2(address, When::Now)?,
            ioctl::TCSETSW2 => self.set_from2(address, When::Drained)?,
            ioctl::TCSETSF2 => self.set_from2(address, When::Flushed)?,
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn set_from(&self, address: UserAddr, when: When) -> Result<()> {
        let wanted = UserPtr::<Parameters>::new(address).read()?.0;
        self.set_termios(when, |current| current.updated(&wanted))
    }

    fn set_from2(&self, address: UserAddr, when: When) -> Result<()> {
        let wanted = UserPtr::<Parameters2>::new(address).read()?.0;
        self.set_termios(when, |current| current.updated2(&wanted))
    }

    fn set_termios(&self, when: When, change: impl FnOnce(&Termios) -> Termios) -> Result<()> {
        self.check_foreground(Signal::SIGTTOU)?;
        if when != When::Now {
            self.drain()?;
        }
        {
            let mut line = self.line.lock();
            if when == When::Flushed {
                line.discipline.flush_input();
            }
            let old = line.termios;
            let new = change(&old);
            line.termios = new;
            let reaction = line.discipline.termios_changed(&old, &new);
            self.apply(&mut line, &reaction);
            self.notify_flow_change(&old, &new);
            self.start_output(&mut line);
            self.driver.input_drained();
        }
        self.readable.wake_all();
        self.writable.wake_all();
        Ok(())
    }

    /// A master in packet mode learns whether the usual flow-control characters work.
    fn notify_flow_change(&self, old: &Termios, new: &Termios) {
        let does_flow_control = |termios: &Termios| {
            termios.input.contains(super::termios::InputFlags::IXON)
                && termios.character(Control::Stop) == 0o23
                && termios.character(Control::Start) == 0o21
        };
        match (does_flow_control(old), does_flow_control(new)) {
            (true, false) => self.driver.notify_master(super::pty::STATUS_NO_STOP),
            (false, true) => self.driver.notify_master(super::pty::STATUS_DO_STOP),
            _ => {}
        }
    }

    /// Changes the window size; the foreground group hears of a real change by SIGWINCH.
    pub(super) fn set_window(&self, window: winsize) {
        let changed = {
            let mut line = self.line.lock();
            let old = core::mem::replace(&mut line.window, window);
            (old.ws_row, old.ws_col, old.ws_xpixel, old.ws_ypixel)
                != (window.ws_row, window.ws_col, window.ws_xpixel, window.ws_ypixel)
        };
        if changed {
            self.signal_foreground(Signal::SIGWINCH);
        }
    }

    /// The window size, as a pseudo-terminal's master asks for it.
    pub(super) fn window(&self) -> winsize {
        self.line.lock().window
    }

    /// TCXONC (tcflow(3)).
    fn flow(&self, action: u64) -> Result<()> {
        self.check_foreground(Signal::SIGTTOU)?;
        let mut line = self.line.lock();
        match u32::try_from(action).map_err(|_| Errno::EINVAL)? {
            abi::TCOOFF => {
                line.stopped_by_call = true;
                self.pause(&mut line);
            }
            abi::TCOON => {
                if core::mem::take(&mut line.stopped_by_call) {
                    self.resume(&mut line);
                    self.start_output(&mut line);
                }
            }
            abi::TCIOFF => self.send_character(&line, Control::Stop),
            abi::TCION => self.send_character(&line, Control::Start),
            _ => return Err(Errno::EINVAL),
        }
        drop(line);
        self.writable.wake_all();
        Ok(())
    }

    fn send_character(&self, line: &Line, which: Control) {
        let byte = line.termios.character(which);
        if byte != super::termios::DISABLED {
            self.driver.transmit_urgent(byte);
        }
    }

    /// TCFLSH (tcflush(3)).
    ///
    /// # Errors
    /// `EINVAL`.
    pub(super) fn flush(&self, queues: u64) -> Result<()> {
        let (input, output) = match u32::try_from(queues).map_err(|_| Errno::EINVAL)? {
            abi::TCIFLUSH => (true, false),
            abi::TCOFLUSH => (false, true),
            abi::TCIOFLUSH => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        {
            let mut line = self.line.lock();
            if input {
                line.discipline.flush_input();
                self.driver.notify_master(super::pty::STATUS_FLUSH_READ);
                self.driver.input_drained();
            }
            if output {
                line.output.flush();
                self.driver.discard_output();
                self.driver.notify_master(super::pty::STATUS_FLUSH_WRITE);
            }
        }
        self.writable.wake_all();
        Ok(())
    }

    /// TIOCSTI: a byte as if it had been typed.
    fn fake_input(&self, byte: u8) -> Result<()> {
        if !task::current().credentials().has(Capability::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if self.receive(&[byte]) == 1 { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// The bytes that a read would find (FIONREAD).
    pub(super) fn readable_now(&self) -> usize {
        let line = self.line.lock();
        line.discipline.input().readable(line.termios.canonical())
    }

    /// Becomes the controlling terminal of the opener if that makes sense (open(2) without O_NOCTTY).
    pub(super) fn claim_by_open(&self) {
        // A claim by opening is never an error: it changes something or nothing.
        let _claimed = self.claim(Claim::Open);
    }
}

/// The address in an ioctl's argument; one outside user space faults on access.
pub(super) fn address_of(argument: u64) -> UserAddr {
    UserAddr::try_new(argument).unwrap_or(UserAddr::END)
}
