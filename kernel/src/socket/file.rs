//! A socket as an open file.

use alloc::sync::Arc;

use linux_raw_sys::ioctl;

use super::calls::transfer;
use super::collect;
use super::unix::{Kind, Phase, Socket};
use crate::errno::{Errno, Result};
use crate::fs::{File, FileOperations, PollEvents, PollTable, SignalOwner, Sink, Source, Special};
use crate::memory::user::UserPtr;
use crate::syscall::Argument;

/// An open socket. Closing the last descriptor closes it.
pub(super) struct SocketFile(pub Arc<Socket>);

impl FileOperations for SocketFile {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        transfer::read(&self.0, file, sink)
    }

    fn write(&self, file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        transfer::write(&self.0, file, source)
    }

    fn special(&self) -> Special<'_> {
        Special::Socket(&self.0)
    }

    fn default_signal_owner(&self) -> Option<SignalOwner> {
        Some(SignalOwner::default())
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        self.0.poll(table)
    }

    fn ioctl(&self, _file: &File, command: u32, argument: u64) -> Result {
        match command {
            ioctl::TIOCOUTQ => {
                let unsent = self.0.send.used() as u32;
                UserPtr::<u32>::from_register(argument).write(&unsent)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn readable_bytes(&self, _file: &File) -> Result {
        let state = self.0.state.lock();
        match self.0.kind {
            _ if state.phase == Phase::Listening => Err(Errno::EINVAL),
            Kind::Stream | Kind::SequencedPacket => Ok(state.queue.bytes()),
            Kind::Datagram => Ok(state.queue.first_bytes()),
        }
    }

    fn held_memory(&self, _file: &File) -> usize {
        self.0.held_memory()
    }

    fn release(&self, _file: &File) {
        self.0.close();
        collect::collect();
    }
}
