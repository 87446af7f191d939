//! The master side of a pseudo-terminal as an open file.

use alloc::sync::Arc;

use arch::sync::atomic::Ordering;
use linux_raw_sys::general::{TIOCPKT_DATA, winsize};
use linux_raw_sys::ioctl;

use super::control::{Window, address_of};
use super::file::default_owner;
use super::pty::Link;
use super::terminal::Terminal;
use crate::errno::{Errno, Result};
use crate::fs::{File, FileOperations, PollEvents, PollTable, SignalOwner, Sink, Source};
use crate::memory::user::UserPtr;
use crate::signal::Signal;

/// Bytes that are carried at a time.
const CHUNK: usize = 512;

/// An open master.
pub struct Master {
    number: u32,
    slave: Arc<Terminal>,
    link: Arc<Link>,
}

impl Master {
    /// The master of pair `number`.
    pub(super) fn new(number: u32, slave: Arc<Terminal>, link: Arc<Link>) -> Self {
        Self { number, slave, link }
    }

    /// Takes output of the slave.
    fn take_output(&self, chunk: &mut [u8]) -> usize {
        let (count, writable) = {
            let mut line = self.slave.line.lock();
            let count = line.output.queue().pop_slice(chunk);
            (count, line.output.is_writable())
        };
        if count > 0 && writable {
            self.slave.writable.wake_all();
        }
        count
    }

    fn has_output(&self) -> bool {
        self.slave.line.lock().output.pending() > 0 || self.link.status.load(Ordering::Acquire) != 0
    }

    fn slave_is_closed(&self) -> bool {
        self.link.slave_closed.load(Ordering::Acquire)
    }

    fn accepts_input(&self) -> bool {
        let line = self.slave.line.lock();
        line.discipline.can_receive(&line.termios)
    }

    /// In packet mode the first byte of a read tells what follows. Returns whether it is data.
    fn read_packet_head(&self, sink: &mut Sink<'_>) -> Result<bool> {
        let status = self.link.status.swap(0, Ordering::AcqRel);
        sink.put(&[if status == 0 { TIOCPKT_DATA as u8 } else { status }])?;
        Ok(status == 0)
    }

    fn wait_for_output(&self, file: &File) -> Result<()> {
        if self.has_output() {
            return Ok(());
        }
        if self.slave_is_closed() {
            return Err(Errno::EIO);
        }
        if file.is_nonblocking() {
            return Err(Errno::EAGAIN);
        }
        self.link
            .readable
            .wait_until(|| (self.has_output() || self.slave_is_closed()).then_some(()))?;
        if self.has_output() { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Sends a signal that the master chooses to the slave's foreground group (TIOCSIG).
    fn send_signal(&self, number: u64) -> Result<()> {
        let signal = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP]
            .into_iter()
            .find(|signal| u64::from(signal.number()) == number)
            .ok_or(Errno::EINVAL)?;
        self.slave.signal_foreground(signal);
        Ok(())
    }

    fn set_packet_mode(&self, on: i32) {
        let was = self.link.packet_mode.swap(on != 0, Ordering::AcqRel);
        if !was {
            self.link.status.store(0, Ordering::Release);
        }
    }
}

impl FileOperations for Master {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        let mut chunk = [0; CHUNK];
        loop {
            self.wait_for_output(file)?;
            let mut total = 0;
            if self.link.packet_mode.load(Ordering::Acquire) {
                total = 1;
                if !self.read_packet_head(sink)? {
                    return Ok(total);
                }
            }
            while sink.remaining() > 0 {
                let room = sink.remaining().min(CHUNK);
                let count = self.take_output(&mut chunk[..room]);
                if count == 0 {
                    break;
                }
                match sink.put(&chunk[..count]) {
                    Ok(stored) => total += stored,
                    Err(_) if total > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            // Another reader may have been faster.
            if total > 0 {
                return Ok(total);
            }
        }
    }

    fn write(&self, file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        let mut total = 0;
        let mut chunk = [0; CHUNK];
        while source.remaining() > 0 {
            let count = match source.take(&mut chunk) {
                Ok(count) => count,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            };
            match self.write_chunk(file, &chunk[..count], &mut total) {
                Ok(()) => {}
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn default_signal_owner(&self) -> Option<SignalOwner> {
        // The groups are the slave's: none is in the foreground here.
        Some(default_owner(None))
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.link.readable);
        table.watch(&self.link.writable);
        let mut events = PollEvents::empty();
        if self.has_output() {
            events |= PollEvents::READABLE;
        }
        if self.link.status.load(Ordering::Acquire) != 0 {
            events |= PollEvents::PRIORITY;
        }
        if self.slave_is_closed() {
            events |= PollEvents::HANG_UP;
        }
        if self.accepts_input() {
            events |= PollEvents::WRITABLE;
        }
        events
    }

    fn ioctl(&self, _file: &File, command: u32, argument: u64) -> Result {
        let address = address_of(argument);
        let int = UserPtr::<i32>::new(address);
        let word = UserPtr::<u32>::new(address);
        match command {
            ioctl::TIOCGPTN => word.write(&self.number)?,
            ioctl::TIOCSPTLCK => {
                let locked = int.read()? != 0;
                self.link.locked.store(locked, Ordering::Release);
            }
            ioctl::TIOCGPTLCK => {
                word.write(&u32::from(self.link.locked.load(Ordering::Acquire)))?;
            }
            ioctl::TIOCPKT => self.set_packet_mode(int.read()?),
            ioctl::TIOCGPKT => {
                word.write(&u32::from(self.link.packet_mode.load(Ordering::Acquire)))?;
            }
            ioctl::TIOCSIG => self.send_signal(argument)?,
            ioctl::TIOCGWINSZ => UserPtr::new(address).write(&Window(self.slave.window()))?,
            ioctl::TIOCSWINSZ => {
                let window: winsize = UserPtr::<Window>::new(address).read()?.0;
                self.slave.set_window(window);
            }
            ioctl::TIOCGPGRP => word.write(&self.slave.foreground_number())?,
            ioctl::TIOCGSID => word.write(&self.slave.session_number()?)?,
            ioctl::TCFLSH => {
                self.slave.flush(argument)?;
            }
            _ => return self.slave.control_parameters(command, address),
        }
        Ok(0)
    }

    fn readable_bytes(&self, _file: &File) -> Result {
        Ok(self.slave.line.lock().output.pending())
    }

    fn release(&self, _file: &File) {
        self.link.master_closed.store(true, Ordering::Release);
        self.slave.hang_up_session();
    }
}

impl Master {
    /// Lets the slave receive all of `bytes`, waiting for room, and adds what it received to `total`.
    fn write_chunk(&self, file: &File, bytes: &[u8], total: &mut usize) -> Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            if self.slave_is_closed() {
                return Err(Errno::EIO);
            }
            let count = self.slave.receive(&bytes[written..]);
            written += count;
            *total += count;
            if count == 0 {
                if file.is_nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                self.link.writable.wait_until(|| {
                    (self.accepts_input() || self.slave_is_closed()).then_some(())
                })?;
            }
        }
        Ok(())
    }
}
