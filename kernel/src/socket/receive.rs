//! Receiving: recv(2) and its relatives, once the system call is decoded.
//!
//! Readers of one socket take turns (`Socket::receiving`), so that the message at the front stays there while its
//! bytes are copied to user memory without the state's lock. A reader that waits gives its turn up.

use alloc::sync::Arc;

use arch::sync::atomic::Ordering;

use super::address::Address;
use super::control::SenderCredentials;
use super::message::Queued;
use super::rights::Rights;
use super::unix::{Kind, Phase, Shutdown, Socket};
use super::wait::Patience;
use crate::errno::{Errno, Result};
use crate::fs::Sink;

/// Whether what is read leaves the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taking {
    /// It does.
    Remove,
    /// It stays (MSG_PEEK).
    Peek,
}

/// How a receive call wants it.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// How long the call may wait.
    pub patience: Patience,
    /// Whether it removes what it reads.
    pub taking: Taking,
    /// How many bytes of a stream the call waits for.
    pub least: usize,
}

/// What was received beside the bytes.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes stored.
    pub count: usize,
    /// The whole length of a datagram, of which `count` bytes fitted.
    pub length: usize,
    /// The sender's address.
    pub sender: Option<Arc<Address>>,
    /// Who sent it.
    pub credentials: Option<SenderCredentials>,
    /// Open files that came along.
    pub rights: Option<Arc<Rights>>,
}

impl Received {
    fn add(&mut self, queued: &Queued, count: usize) {
        self.count += count;
        self.length += count;
        self.sender = Some(queued.message.sender.clone());
        self.credentials = Some(queued.message.credentials);
        if queued.rights.is_some() {
            self.rights.clone_from(&queued.rights);
        }
    }
}

impl Socket {
    /// Receives into `sink`.
    ///
    /// # Errors
    /// `EINVAL` or `ENOTCONN` without a connection, the pending error of the socket, `EFAULT`, and those of a wait.
    pub fn receive(&self, sink: &mut Sink<'_>, reception: Reception) -> Result<Received> {
        let received = match self.kind {
            Kind::Stream => self.receive_stream(sink, reception),
            Kind::Datagram => self.receive_message(sink, reception),
            Kind::SequencedPacket => {
                if self.state.lock().phase != Phase::Connected {
                    return Err(Errno::ENOTCONN);
                }
                self.receive_message(sink, reception)
            }
        }?;
        if received.rights.is_some() {
            // As Linux does: what was nested here is out again.
            self.nesting.store(0, Ordering::Relaxed);
        }
        Ok(received)
    }

    fn receive_stream(&self, sink: &mut Sink<'_>, reception: Reception) -> Result<Received> {
        if self.state.lock().phase != Phase::Connected {
            return Err(Errno::EINVAL);
        }
        let least = reception.least.min(sink.remaining());
        let mut received = Received::default();
        let mut turn = self.receiving.lock();
        // Messages before this one were peeked at.
        let mut index = 0;
        while sink.remaining() > 0 {
            let next = self.state.lock().queue.get(index);
            let Some(queued) = next else {
                if received.count >= least && received.count > 0 {
                    break;
                }
                drop(turn);
                let waited = reception.patience.wait(&self.readable, || self.has_received(index));
                match waited.and_then(|ready| ready) {
                    Ok(Arrival::Message) => {}
                    Ok(Arrival::End) => return Ok(received),
                    Err(_) if received.count > 0 => return Ok(received),
                    Err(error) => return Err(error),
                }
                turn = self.receiving.lock();
                continue;
            };
            if received.count > 0 && self.separates(&received, &queued) {
                break;
            }
            let bytes = &queued.message.data[queued.offset..];
            let copied = match sink.put(bytes) {
                Ok(copied) => copied,
                Err(_) if received.count > 0 => break,
                Err(error) => return Err(error),
            };
            received.add(&queued, copied);
            match reception.taking {
                Taking::Peek => index += 1,
                Taking::Remove => {
                    let consumed = self.state.lock().queue.consume(copied);
                    drop(consumed);
                }
            }
            // Files belong to the bytes that they came with: nothing is glued to those.
            if queued.rights.is_some() || copied < bytes.len() {
                break;
            }
        }
        drop(turn);
        Ok(received)
    }

    /// Whether `queued` must not be read in one call with what was received: with SO_PASSCRED, when somebody else
    /// sent it.
    fn separates(&self, received: &Received, queued: &Queued) -> bool {
        self.options.passes_credentials()
            && received.credentials != Some(queued.message.credentials)
    }

    fn receive_message(&self, sink: &mut Sink<'_>, reception: Reception) -> Result<Received> {
        loop {
            let turn = self.receiving.lock();
            let front = self.state.lock().queue.get(0);
            if let Some(queued) = front {
                let received = self.take_message(sink, &queued, reception.taking);
                drop(turn);
                if reception.taking == Taking::Remove {
                    self.drained.wake_all();
                }
                return received;
            }
            drop(turn);
            match reception.patience.wait(&self.readable, || self.has_received(0)) {
                Ok(Ok(Arrival::Message)) => {}
                Ok(Ok(Arrival::End)) => return Ok(Received::default()),
                Ok(Err(error)) | Err(error) => return Err(error),
            }
        }
    }

    fn take_message(
        &self,
        sink: &mut Sink<'_>,
        queued: &Queued,
        taking: Taking,
    ) -> Result<Received> {
        if taking == Taking::Remove {
            let popped = self.state.lock().queue.pop();
            drop(popped);
        }
        let mut received = Received::default();
        let copied = sink.put(&queued.message.data)?;
        if copied < queued.message.data.len() && sink.remaining() > 0 {
            return Err(Errno::EFAULT);
        }
        received.add(queued, copied);
        received.length = queued.message.data.len();
        Ok(received)
    }

    /// Whether the wait for message `index` is over, and how.
    fn has_received(&self, index: usize) -> Option<Result<Arrival>> {
        let mut state = self.state.lock();
        if state.queue.len() > index {
            return Some(Ok(Arrival::Message));
        }
        if let Some(error) = state.error.take() {
            return Some(Err(error));
        }
        state.shutdown.contains(Shutdown::READ).then_some(Ok(Arrival::End))
    }
}

/// Why a wait for a message is over.
enum Arrival {
    /// There is one.
    Message,
    /// There will be none.
    End,
}
