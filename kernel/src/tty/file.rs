//! An open file of a terminal, and of the console.

use alloc::sync::Arc;

use arch::sync::atomic::Ordering;

use linux_raw_sys::general as abi;

use super::input::Reader;
use super::terminal::Terminal;
use super::termios::LocalFlags;
use crate::errno::{Errno, Result};
use crate::fs::{
    File, FileOperations, OpenFlags, PollEvents, PollTable, Recipient, SignalOwner, Sink, Source,
};
use crate::signal::Signal;
use crate::task::group::ProcessGroup;
use crate::task::{self, Capability};

/// How a terminal was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// By a name of its own.
    Terminal,
    /// As /dev/console: never becomes a controlling terminal by itself, and survives hang-ups.
    Console,
}

/// An open terminal.
pub struct TerminalFile {
    terminal: Arc<Terminal>,
    role: Role,
    generation: u32,
}

impl TerminalFile {
    /// Opens `terminal`, and makes it the controlling one of a session leader that has none.
    ///
    /// # Errors
    /// `EBUSY` for a terminal in exclusive use, `EIO` for one whose other side is closed.
    pub fn open(
        terminal: Arc<Terminal>,
        role: Role,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOperations>> {
        if terminal.driver.is_closed() {
            return Err(Errno::EIO);
        }
        let exclusive = terminal.line.lock().exclusive;
        if exclusive && !task::current().credentials().has(Capability::SysAdmin) {
            return Err(Errno::EBUSY);
        }
        let claims = role == Role::Terminal
            && !flags.contains(OpenFlags::NO_CONTROLLING_TTY)
            && flags.access().can_read();
        if claims {
            terminal.claim_by_open();
        }
        terminal.opened();
        let generation = terminal.hang_up_count();
        Ok(Arc::new(Self { terminal, role, generation }))
    }

    /// The terminal, unless it was hung up since it was opened.
    fn alive(&self) -> bool {
        self.role == Role::Console || self.terminal.hang_up_count() == self.generation
    }

    fn party(&self, file: &File) -> Reader {
        let generation = match self.role {
            Role::Console => self.terminal.hang_up_count(),
            Role::Terminal => self.generation,
        };
        Reader { generation, nonblocking: file.is_nonblocking() }
    }
}

impl FileOperations for TerminalFile {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        if !self.alive() {
            return Ok(0);
        }
        if self.role == Role::Terminal {
            self.terminal.check_foreground(Signal::SIGTTIN)?;
        }
        self.terminal.read(sink, self.party(file))
    }

    fn write(&self, file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        if !self.alive() {
            return Err(Errno::EIO);
        }
        let stops = self.terminal.line.lock().termios.local.contains(LocalFlags::TOSTOP);
        if stops && self.role == Role::Terminal {
            self.terminal.check_foreground(Signal::SIGTTOU)?;
        }
        self.terminal.write(source, self.party(file))
    }

    fn default_signal_owner(&self) -> Option<SignalOwner> {
        Some(default_owner(self.terminal.foreground_group()))
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.terminal.readable);
        table.watch(&self.terminal.writable);
        if !self.alive() {
            return PollEvents::READABLE
                | PollEvents::WRITABLE
                | PollEvents::ERROR
                | PollEvents::HANG_UP;
        }
        let mut events = PollEvents::empty();
        if self.terminal.polls_readable(&self.terminal.line.lock()) {
            events |= PollEvents::READABLE;
        }
        if self.terminal.driver.is_closed() {
            events |= PollEvents::HANG_UP;
        } else if self.terminal.accepts_output() {
            events |= PollEvents::WRITABLE;
        }
        events
    }

    fn ioctl(&self, _file: &File, command: u32, argument: u64) -> Result {
        if !self.alive() {
            return Err(Errno::EIO);
        }
        self.terminal.control(command, argument)
    }

    fn readable_bytes(&self, _file: &File) -> Result {
        Ok(self.terminal.readable_now())
    }

    fn release(&self, _file: &File) {
        self.terminal.closed();
    }
}

/// Whom a terminal tells that is told of nobody: its foreground group, or else the caller.
pub(super) fn default_owner(foreground: Option<Arc<ProcessGroup>>) -> SignalOwner {
    let process = task::current().process().clone();
    let credentials = task::current().credentials();
    let sender = [credentials.user.real, credentials.user.effective];
    let (kind, recipient) = match foreground {
        Some(group) => (abi::F_OWNER_PGRP, Recipient::Group(Arc::downgrade(&group))),
        None => (abi::F_OWNER_PID, Recipient::Process(Arc::downgrade(&process))),
    };
    SignalOwner { kind: kind as i32, recipient, signal: 0, sender }
}

impl Terminal {
    /// One more open file.
    fn opened(&self) {
        self.opens.fetch_add(1, Ordering::AcqRel);
        self.driver.opened();
    }

    /// One open file less; the last one frees exclusive use.
    fn closed(&self) {
        if self.opens.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.line.lock().exclusive = false;
            self.driver.last_closed();
        }
    }
}
