//! /dev/console, /dev/ttyS0, /dev/tty, /dev/ptmx and the slaves of pseudo-terminals.

use alloc::sync::Arc;

use crate::errno::{Errno, Result};
use crate::fs::device::CharacterDevice;
use crate::fs::{DeviceNumber, FileOperations, OpenFlags, Path};
use crate::task::{self, family};
use crate::tty::{Role, Terminal, TerminalFile, pty, serial};

/// The first serial port.
pub(super) struct Serial;

/// The console, whichever terminal that is.
pub(super) struct Console;

/// The controlling terminal of whoever opens it.
pub(super) struct Controlling;

/// Makes a pseudo-terminal when it is opened.
pub(super) struct Multiplexer;

/// The slaves of pseudo-terminals, by minor number.
pub(super) struct Slaves;

impl CharacterDevice for Serial {
    fn open(&self, _minor: u32, _path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        TerminalFile::open(serial::console()?, Role::Terminal, flags)
    }
}

impl CharacterDevice for Console {
    fn open(&self, _minor: u32, _path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        TerminalFile::open(serial::console()?, Role::Console, flags)
    }
}

impl CharacterDevice for Controlling {
    fn open(&self, _minor: u32, _path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        // Whoever has a controlling terminal needs no other.
        let flags = flags | OpenFlags::NO_CONTROLLING_TTY;
        TerminalFile::open(controlling_terminal()?, Role::Terminal, flags)
    }
}

impl CharacterDevice for Multiplexer {
    fn open(
        &self,
        _minor: u32,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOperations>> {
        let credentials = task::current().credentials();
        Ok(Arc::new(pty::open_master(credentials.user.file_system, credentials.group.file_system)?))
    }
}

impl CharacterDevice for Slaves {
    fn open(&self, minor: u32, _path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        TerminalFile::open(pty::slave(minor)?, Role::Terminal, flags)
    }
}

/// The terminal that controls the caller's session.
///
/// # Errors
/// `ENXIO` if none does.
fn controlling_terminal() -> Result<Arc<Terminal>> {
    let thread = task::current();
    let session = {
        let family = family::lock();
        thread.process().session(&family)
    };
    let terminal = session.and_then(|session| session.terminal()).ok_or(Errno::ENXIO)?;
    find(terminal.device_number())
}

/// The terminal with device number `encoded`.
fn find(encoded: u64) -> Result<Arc<Terminal>> {
    let number = u32::try_from(encoded).map(DeviceNumber::decode).map_err(|_| Errno::ENXIO)?;
    match number.major {
        pty::SLAVE_MAJOR => pty::slave(number.minor),
        _ => serial::console(),
    }
}
