//! Sending: send(2) and its relatives, once the system call is decoded.

use alloc::sync::Arc;

use arch::sync::atomic::Ordering;

use super::address::Address;
use super::control::SenderCredentials;
use super::message::Message;
use super::rights::{NESTING_MAX, Rights};
use super::unix::{Kind, Phase, Shutdown, Socket};
use super::wait::Patience;
use crate::errno::{Errno, Result};
use crate::fs::{Source, Special};

/// The bytes of a stream that one message carries at most.
const CHUNK: usize = 32 * 1024;
/// What a datagram must leave free of the send buffer.
const DATAGRAM_MARGIN: usize = 32;

/// What accompanies the bytes of a send call.
pub struct Transmission {
    /// How long the call may wait.
    pub patience: Patience,
    /// The destination that the call names.
    pub destination: Option<Address>,
    /// Open files that travel along.
    pub rights: Option<Arc<Rights>>,
    /// Who sends.
    pub credentials: SenderCredentials,
}

impl Socket {
    /// Sends the bytes of `source`. `EPIPE` comes without its signal: the caller knows whether it is wanted.
    ///
    /// # Errors
    /// `EPIPE`, `ENOTCONN`, `EISCONN`, `EOPNOTSUPP`, `EMSGSIZE`, `ECONNREFUSED`, `ECONNRESET`, `EPERM`,
    /// `ETOOMANYREFS`, `EFAULT`, `ENOMEM`, and those of a wait.
    pub fn transmit(
        self: &Arc<Self>,
        source: &mut Source<'_>,
        transmission: Transmission,
    ) -> Result {
        if let Some(rights) = &transmission.rights {
            let depth = nesting_of(rights);
            if depth > NESTING_MAX {
                return Err(Errno::ETOOMANYREFS);
            }
        }
        match self.kind {
            Kind::Stream => self.transmit_stream(source, transmission),
            Kind::Datagram => self.transmit_datagram(source, transmission),
            Kind::SequencedPacket => {
                if self.state.lock().phase != Phase::Connected {
                    return Err(Errno::ENOTCONN);
                }
                let destination = None;
                self.transmit_datagram(source, Transmission { destination, ..transmission })
            }
        }
    }

    fn transmit_stream(&self, source: &mut Source<'_>, transmission: Transmission) -> Result {
        let Transmission { patience, destination, mut rights, credentials } = transmission;
        let peer = {
            let state = self.state.lock();
            match (destination, state.phase) {
                (Some(_), Phase::Connected) => return Err(Errno::EISCONN),
                (Some(_), _) => return Err(Errno::EOPNOTSUPP),
                (None, _) => state.peer.clone().ok_or(Errno::ENOTCONN)?,
            }
        };
        let chunk_max = CHUNK.min((self.send.limit() / 2).saturating_sub(64)).max(1);
        let mut sent = 0;
        while source.remaining() > 0 {
            let chunk = source.remaining().min(chunk_max);
            let delivered = self
                .message(source, chunk, patience, credentials)
                .and_then(|message| peer.deliver(message, rights.take()));
            match delivered {
                Ok(()) => sent += chunk,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn transmit_datagram(
        self: &Arc<Self>,
        source: &mut Source<'_>,
        transmission: Transmission,
    ) -> Result {
        let Transmission { patience, destination, rights, credentials } = transmission;
        let length = source.remaining();
        if length > self.send.limit().saturating_sub(DATAGRAM_MARGIN) {
            return Err(Errno::EMSGSIZE);
        }
        let peer = match destination {
            Some(address) => self.find(&address)?,
            None => self.peer().ok_or(Errno::ENOTCONN)?,
        };
        if !peer.accepts_datagrams_of(self) {
            return Err(Errno::EPERM);
        }
        let message = self.message(source, length, patience, credentials)?;
        patience.wait(&peer.drained, || self.may_send_to(&peer))??;
        peer.deliver(message, rights)?;
        Ok(length)
    }

    /// Whether the wait for room in the queue of `peer` is over, and how.
    fn may_send_to(&self, peer: &Socket) -> Option<Result<()>> {
        let (phase, shutdown) = {
            let state = peer.state.lock();
            (state.phase, state.shutdown)
        };
        if phase == Phase::Closed {
            let refused =
                if self.kind == Kind::Datagram { Errno::ECONNREFUSED } else { Errno::EPIPE };
            Some(Err(refused))
        } else if shutdown.contains(Shutdown::READ) {
            Some(Err(Errno::EPIPE))
        } else if self.kind == Kind::Datagram && peer.refuses_datagrams_of(self) {
            None
        } else {
            Some(Ok(()))
        }
    }

    /// A message with the next `length` bytes of `source`, once there is space for it in the send buffer.
    fn message(
        &self,
        source: &mut Source<'_>,
        length: usize,
        patience: Patience,
        credentials: SenderCredentials,
    ) -> Result<Message> {
        patience.wait(&self.send.writable, || self.has_send_space())??;
        Message::new(source, length, &self.send, self.address(), credentials)
    }

    /// Whether the wait for space in the send buffer is over, and how.
    fn has_send_space(&self) -> Option<Result<()>> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Some(Err(error));
        }
        if state.shutdown.contains(Shutdown::WRITE) {
            return Some(Err(Errno::EPIPE));
        }
        drop(state);
        self.send.has_space().then_some(Ok(()))
    }

    /// Puts a message into the queue here.
    fn deliver(&self, message: Message, rights: Option<Arc<Rights>>) -> Result<()> {
        if let Some(rights) = &rights {
            self.note_nesting(nesting_of(rights));
        }
        let message = Arc::new(message);
        self.enqueue_message(&message, &rights)?;
        self.readable.wake_all();
        Ok(())
    }

    /// Queues a message. The caller keeps its references until the lock is released, because dropping the last one may
    /// close files.
    fn enqueue_message(&self, message: &Arc<Message>, rights: &Option<Arc<Rights>>) -> Result<()> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed || state.shutdown.contains(Shutdown::READ) {
            return Err(Errno::EPIPE);
        }
        state.queue.reserve()?;
        state.queue.push(message.clone(), rights.clone());
        Ok(())
    }
}

/// How deep a socket is nested whose queue gets `rights`: zero if no sockets travel with them.
fn nesting_of(rights: &Rights) -> u32 {
    let nestings = rights.files().iter().filter_map(|file| match file.operations().special() {
        Special::Socket(socket) => Some(socket.nesting.load(Ordering::Relaxed) + 1),
        _ => None,
    });
    nestings.max().unwrap_or(0)
}
