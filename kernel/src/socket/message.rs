//! What one socket sends to another: a [`Message`] in a [`ReceiveQueue`], charged to the sender's [`SendBuffer`].
//!
//! A message's bytes never change once it is queued: a reader copies them out without the socket's lock, with
//! `Arc<Message>` in its hand, and then tells the queue how far it came.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::address::Address;
use super::control::SenderCredentials;
use super::rights::Rights;
use crate::errno::{Errno, Result};
use crate::fs::Source;
use crate::scheduling::WaitQueue;

/// What a queued message costs beside its bytes (Linux charges `sk_buff` and its shared part).
const OVERHEAD: usize = 576;
/// `net.core.wmem_default` and `rmem_default`.
pub const BUFFER_DEFAULT: usize = 212_992;
/// The smallest send buffer (`SOCK_MIN_SNDBUF`).
pub const SEND_BUFFER_MIN: usize = 4608;
/// The smallest receive buffer (`SOCK_MIN_RCVBUF`).
pub const RECEIVE_BUFFER_MIN: usize = 2304;

/// How much a socket has on its way.
#[derive(Debug)]
pub struct SendBuffer {
    /// Charged bytes. Charges add (relaxed: no data hangs on it), drops subtract and then wake `writable`.
    used: AtomicUsize,
    /// SO_SNDBUF.
    limit: AtomicUsize,
    /// The socket is closed; what it sent may still wait elsewhere. Set once (release), read when memory is counted.
    closed: AtomicBool,
    /// Senders that wait for space.
    pub(super) writable: WaitQueue,
}

impl SendBuffer {
    /// An empty buffer of the default size.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(BUFFER_DEFAULT),
            closed: AtomicBool::new(false),
            writable: WaitQueue::new(),
        })
    }

    /// What is on its way (SIOCOUTQ).
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// SO_SNDBUF.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets SO_SNDBUF.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
        self.writable.wake_all();
    }

    /// Whether a sender need not wait.
    #[must_use]
    pub fn has_space(&self) -> bool {
        self.used() < self.limit()
    }

    /// Whether poll(2) calls it writable: three quarters are free.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.used().saturating_mul(4) <= self.limit()
    }

    /// The socket closes. From now on what it sent counts as held by whoever has it queued.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let amount = bytes + OVERHEAD;
        self.used.fetch_add(amount, Ordering::AcqRel);
        Charge { buffer: self.clone(), amount }
    }
}

/// The part of a [`SendBuffer`] that one message takes, until the message is gone.
#[derive(Debug)]
struct Charge {
    buffer: Arc<SendBuffer>,
    amount: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.buffer.used.fetch_sub(self.amount, Ordering::AcqRel);
        if self.buffer.is_writable() {
            self.buffer.writable.wake_all();
        }
    }
}

/// Bytes on their way, and where they come from.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub data: Vec<u8>,
    /// The sender's address when it sent.
    pub sender: Arc<Address>,
    /// Who sent it.
    pub credentials: SenderCredentials,
    charge: Charge,
}

impl Message {
    /// A message with the next `length` bytes of `source`, charged to `buffer`.
    ///
    /// # Errors
    /// `EFAULT`; `ENOMEM`.
    pub fn new(
        source: &mut Source<'_>,
        length: usize,
        buffer: &Arc<SendBuffer>,
        sender: Arc<Address>,
        credentials: SenderCredentials,
    ) -> Result<Self> {
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        data.resize(length, 0);
        let mut fetched = 0;
        while fetched < length {
            match source.take(&mut data[fetched..])? {
                0 => return Err(Errno::EFAULT),
                count => fetched += count,
            }
        }
        Ok(Self { charge: buffer.charge(length), data, sender, credentials })
    }
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The message.
    pub message: Arc<Message>,
    /// How many of its bytes were read (stream sockets read it in parts).
    pub offset: usize,
    /// The open files that travel with its first byte.
    pub rights: Option<Arc<Rights>>,
}

/// Messages that wait to be received.
#[derive(Debug, Default)]
pub struct ReceiveQueue {
    messages: VecDeque<Queued>,
}

impl ReceiveQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: VecDeque::new() }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The bytes that wait, in all messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|queued| queued.message.data.len() - queued.offset).sum()
    }

    /// Bytes of kernel memory in messages whose sender is closed: nobody but the owner of this queue keeps these.
    #[must_use]
    pub fn orphaned_bytes(&self) -> usize {
        let charges = self.messages.iter().map(|queued| &queued.message.charge);
        let orphaned = charges.filter(|charge| charge.buffer.closed.load(Ordering::Acquire));
        orphaned.map(|charge| charge.amount).sum()
    }

    /// The bytes of the first message.
    #[must_use]
    pub fn first_bytes(&self) -> usize {
        self.messages.front().map_or(0, |queued| queued.message.data.len() - queued.offset)
    }

    /// The messages, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.messages.iter()
    }

    /// Makes room for one more message.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn reserve(&mut self) -> Result<()> {
        self.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    /// Appends a message, for which room was made.
    pub fn push(&mut self, message: Arc<Message>, rights: Option<Arc<Rights>>) {
        self.messages.push_back(Queued { message, offset: 0, rights });
    }

    /// The message at `index`, if there are that many.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Queued> {
        self.messages.get(index).cloned()
    }

    /// Takes the first message out.
    pub fn pop(&mut self) -> Option<Queued> {
        self.messages.pop_front()
    }

    /// The first `count` bytes of the first message were read, and what travelled with them was taken. Returns the
    /// message if it is read to its end: it leaves the queue, and the caller drops it without locks held.
    #[must_use = "dropping a message may close files, which must happen without locks"]
    pub fn consume(&mut self, count: usize) -> Consumed {
        let Some(first) = self.messages.front_mut() else { return Consumed::default() };
        first.offset += count;
        let rights = first.rights.take();
        let finished = first.offset >= first.message.data.len();
        Consumed {
            _rights: rights,
            _message: if finished { self.messages.pop_front() } else { None },
        }
    }

    /// Takes everything out.
    #[must_use = "dropping messages may close files, which must happen without locks"]
    pub fn take_all(&mut self) -> Self {
        core::mem::take(self)
    }
}

/// What left a queue, kept until no lock is held.
#[derive(Debug, Default)]
pub struct Consumed {
    _rights: Option<Arc<Rights>>,
    _message: Option<Queued>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(buffer: &Arc<SendBuffer>, bytes: &[u8]) -> Arc<Message> {
        let credentials = SenderCredentials { process: 1, user: 0, group: 0 };
        let sender = Arc::new(Address::Unnamed);
        let source = &mut Source::kernel(bytes);
        let message = Message::new(source, bytes.len(), buffer, sender, credentials);
        Arc::new(message.expect("memory"))
    }

    #[test]
    fn a_message_is_charged_until_it_is_gone() {
        let buffer = SendBuffer::new();
        let mut queue = ReceiveQueue::new();
        queue.push(message(&buffer, b"hello"), None);
        assert_eq!(buffer.used(), OVERHEAD + 5);
        drop(queue.consume(3));
        assert_eq!(queue.bytes(), 2);
        assert_eq!(buffer.used(), OVERHEAD + 5);
        drop(queue.consume(2));
        assert!(queue.is_empty());
        assert_eq!(buffer.used(), 0);
    }

    #[test]
    fn a_reader_that_holds_a_message_keeps_its_charge() {
        let buffer = SendBuffer::new();
        let mut queue = ReceiveQueue::new();
        queue.push(message(&buffer, b"x"), None);
        let held = queue.get(0).expect("queued");
        drop(queue.take_all());
        assert!(buffer.used() > 0);
        drop(held);
        assert_eq!(buffer.used(), 0);
    }

    #[test]
    fn small_messages_cannot_pile_up_without_end() {
        let buffer = SendBuffer::new();
        let mut queue = ReceiveQueue::new();
        while buffer.has_space() {
            queue.push(message(&buffer, b"x"), None);
        }
        assert!(queue.len() <= BUFFER_DEFAULT / OVERHEAD + 1);
        assert!(!buffer.is_writable());
    }
}
