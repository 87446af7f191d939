//! An AF_UNIX socket: [`Socket`], its state and its end.
//!
//! Lock: `state` (rank `FILE`), held for a few instructions; no two sockets' states are ever held together. Two
//! sleeping mutexes come before it: `naming` serialises bind(2) and connect(2) of one socket, `receiving` its readers.
//! A connected pair refers to each other strongly; [`Socket::close`], which the last close of the descriptor runs,
//! takes the references apart. Whoever changes what a condition looks at wakes the queue afterwards:
//!
//! - `readable`: messages, connections to accept, errors and shutdowns;
//! - `send.writable`: space of the own send buffer, errors and shutdowns;
//! - `drained`: space in the own receive queue or backlog, for those who send or connect here.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};
use arch::sync::{Rank, SpinLock};
use bitflags::bitflags;
use linux_raw_sys::net as abi;

use super::address::Address;
use super::control::SenderCredentials;
use super::message::{ReceiveQueue, SendBuffer};
use super::names::Binding;
use super::options::Options;
use crate::errno::{Errno, Result};
use crate::fs::{PollEvents, PollTable};
use crate::scheduling::{Mutex, WaitQueue};
use crate::task;

/// Messages that a datagram socket holds before senders wait (`net.unix.max_dgram_qlen`).
const DATAGRAMS_MAX: usize = 10;

/// The type of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A stream of bytes between two sockets.
    Stream,
    /// Messages to any socket.
    Datagram,
    /// Messages between two sockets, in order.
    SequencedPacket,
}

impl Kind {
    /// The kind that the `type` argument of socket(2) names.
    ///
    /// # Errors
    /// `ESOCKTNOSUPPORT`.
    pub fn from_type(number: u32) -> Result<Self> {
        match number {
            abi::SOCK_STREAM => Ok(Self::Stream),
            // Linux takes SOCK_RAW for a datagram socket here.
            abi::SOCK_DGRAM | abi::SOCK_RAW => Ok(Self::Datagram),
            abi::SOCK_SEQPACKET => Ok(Self::SequencedPacket),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// What SO_TYPE reports.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Stream => abi::SOCK_STREAM,
            Self::Datagram => abi::SOCK_DGRAM,
            Self::SequencedPacket => abi::SOCK_SEQPACKET,
        }
    }

    /// Whether two sockets must be connected before they exchange anything.
    #[must_use]
    pub const fn is_connected_kind(self) -> bool {
        matches!(self, Self::Stream | Self::SequencedPacket)
    }
}

bitflags! {
    /// The directions that are shut down.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Shutdown: u8 {
        /// Nothing more is received.
        const READ = 1;
        /// Nothing more is sent.
        const WRITE = 2;
    }
}

/// Where a socket is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Neither connected nor listening.
    Idle,
    /// Accepts connections.
    Listening,
    /// Has, or had, a peer.
    Connected,
    /// No descriptor is left.
    Closed,
}

/// What the lock of a socket guards.
pub(super) struct State {
    pub phase: Phase,
    /// The name bound to the socket, or that of the listener which accepted it.
    pub address: Arc<Address>,
    /// What keeps the name registered.
    pub binding: Option<Binding>,
    pub peer: Option<Arc<Socket>>,
    pub peer_credentials: Option<SenderCredentials>,
    pub shutdown: Shutdown,
    /// What the next call reports (SO_ERROR).
    pub error: Option<Errno>,
    pub queue: ReceiveQueue,
    /// Sockets that connected and wait for accept(2).
    pub backlog: VecDeque<Arc<Socket>>,
    pub backlog_max: usize,
}

/// An AF_UNIX socket.
pub struct Socket {
    /// Its type.
    pub kind: Kind,
    pub(super) state: SpinLock<State>,
    pub(super) naming: Mutex<()>,
    pub(super) receiving: Mutex<()>,
    pub(super) send: Arc<SendBuffer>,
    pub(super) readable: WaitQueue,
    pub(super) drained: WaitQueue,
    pub(super) options: Options,
    /// How deep the sockets in this one's queue are nested (see [`super::rights`]). Relaxed: a bound, not a count.
    pub(super) nesting: AtomicU32,
}

impl Socket {
    /// A socket without name and peer.
    #[must_use]
    pub fn new(kind: Kind) -> Arc<Self> {
        let state = State {
            phase: Phase::Idle,
            address: Arc::new(Address::Unnamed),
            binding: None,
            peer: None,
            peer_credentials: None,
            shutdown: Shutdown::empty(),
            error: None,
            queue: ReceiveQueue::new(),
            backlog: VecDeque::new(),
            backlog_max: DATAGRAMS_MAX,
        };
        Arc::new(Self {
            kind,
            state: SpinLock::new(Rank::FILE, state),
            naming: Mutex::new(()),
            receiving: Mutex::new(()),
            send: SendBuffer::new(),
            readable: WaitQueue::new(),
            drained: WaitQueue::new(),
            options: Options::new(),
            nesting: AtomicU32::new(0),
        })
    }

    /// Two sockets connected to each other (socketpair(2)).
    #[must_use]
    pub fn pair(kind: Kind) -> (Arc<Self>, Arc<Self>) {
        let (first, second) = (Self::new(kind), Self::new(kind));
        let credentials = effective_credentials();
        first.connect_to(second.clone(), credentials);
        second.connect_to(first.clone(), credentials);
        (first, second)
    }

    /// Makes `peer` the other end.
    pub(super) fn connect_to(&self, peer: Arc<Socket>, credentials: SenderCredentials) {
        let mut state = self.state.lock();
        state.phase = Phase::Connected;
        state.peer_credentials = Some(credentials);
        let former = state.peer.replace(peer);
        drop(state);
        drop(former);
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Option<Arc<Socket>> {
        self.state.lock().peer.clone()
    }

    /// The name of this end.
    #[must_use]
    pub fn address(&self) -> Arc<Address> {
        self.state.lock().address.clone()
    }

    /// Takes the pending error, if there is one.
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }

    /// Wakes everybody who waits for something of this socket.
    pub(super) fn wake_all(&self) {
        self.readable.wake_all();
        self.send.writable.wake_all();
        self.drained.wake_all();
    }

    /// Shuts directions down, here and, for a connection, the opposite ones at the peer.
    pub fn shut_down(&self, how: Shutdown) {
        let peer = {
            let mut state = self.state.lock();
            state.shutdown |= how;
            if self.kind.is_connected_kind() { state.peer.clone() } else { None }
        };
        self.wake_all();
        if let Some(peer) = peer {
            let mut opposite = Shutdown::empty();
            opposite.set(Shutdown::WRITE, how.contains(Shutdown::READ));
            opposite.set(Shutdown::READ, how.contains(Shutdown::WRITE));
            peer.state.lock().shutdown |= opposite;
            peer.wake_all();
        }
    }

    /// The last descriptor is gone: unbinds the name, tells the peer, refuses who waits to be accepted.
    pub(super) fn close(&self) {
        let (binding, peer, mut queue, backlog) = {
            let mut state = self.state.lock();
            state.phase = Phase::Closed;
            state.shutdown = Shutdown::all();
            (
                state.binding.take(),
                state.peer.take(),
                state.queue.take_all(),
                core::mem::take(&mut state.backlog),
            )
        };
        if let Some(peer) = peer.filter(|_| self.kind.is_connected_kind()) {
            peer.peer_closed(if queue.is_empty() { Unread::Nothing } else { Unread::Data });
        }
        for waiting in backlog {
            waiting.refuse();
        }
        self.send.close();
        self.wake_all();
        drop(binding);
        // One by one: dropping a message may close a socket whose queue holds messages.
        while let Some(message) = queue.pop() {
            drop(message);
        }
    }

    /// The listener of this socket, which nobody accepted, is gone.
    fn refuse(&self) {
        let peer = self.state.lock().peer.clone();
        if let Some(peer) = peer {
            peer.peer_closed(Unread::Data);
        }
        self.close();
    }

    /// The peer is gone.
    fn peer_closed(&self, unread: Unread) {
        {
            let mut state = self.state.lock();
            state.shutdown = Shutdown::all();
            if unread == Unread::Data {
                state.error = Some(Errno::ECONNRESET);
            }
        }
        self.wake_all();
    }

    /// Bytes of kernel memory that closing this socket gives back: what it has on its way, wherever that waits, and what
    /// waits here from senders that are gone.
    pub(super) fn held_memory(&self) -> usize {
        size_of::<Self>() + self.send.used() + self.state.lock().queue.orphaned_bytes()
    }

    /// What poll(2) reports.
    pub(super) fn poll(&self, table: &mut PollTable) -> PollEvents {
        table.watch(&self.readable);
        table.watch(&self.send.writable);
        let (mut events, peer, phase) = {
            let state = self.state.lock();
            (self.state_events(&state), state.peer.clone(), state.phase)
        };
        let blocked_by_peer = self.kind == Kind::Datagram
            && peer.is_some_and(|peer| {
                table.watch(&peer.drained);
                peer.refuses_datagrams_of(self)
            });
        if phase != Phase::Listening && self.send.is_writable() && !blocked_by_peer {
            events |= PollEvents::WRITABLE | PollEvents::WRITE_BAND;
        }
        events
    }

    fn state_events(&self, state: &State) -> PollEvents {
        let mut events = PollEvents::empty();
        if state.error.is_some() {
            events |= PollEvents::ERROR;
        }
        if state.shutdown == Shutdown::all() {
            events |= PollEvents::HANG_UP;
        }
        if state.shutdown.contains(Shutdown::READ) {
            events |= PollEvents::READ_HANG_UP | PollEvents::READABLE;
        }
        if !state.queue.is_empty() || !state.backlog.is_empty() {
            events |= PollEvents::READABLE;
        }
        if self.kind.is_connected_kind() && matches!(state.phase, Phase::Idle | Phase::Closed) {
            events |= PollEvents::HANG_UP;
        }
        events
    }

    /// Whether a datagram from `sender` would have to wait for room in the queue here. Two sockets connected to each
    /// other never wait for that: the send buffer is their bound.
    pub(super) fn refuses_datagrams_of(&self, sender: &Socket) -> bool {
        let state = self.state.lock();
        let is_peer =
            state.peer.as_ref().is_some_and(|peer| core::ptr::eq(&raw const **peer, sender));
        !is_peer && !core::ptr::eq(self, sender) && state.queue.len() > state.backlog_max
    }

    /// Notes that sockets nested `depth` deep were queued here.
    pub(super) fn note_nesting(&self, depth: u32) {
        self.nesting.fetch_max(depth, Ordering::Relaxed);
    }
}

/// What a socket that closes leaves unread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    Nothing,
    Data,
}

/// The caller as SO_PEERCRED of the other side shows it.
#[must_use]
pub(super) fn effective_credentials() -> SenderCredentials {
    let thread = task::current();
    let credentials = thread.credentials();
    SenderCredentials {
        process: thread.process().pid().as_u32(),
        user: credentials.user.effective,
        group: credentials.group.effective,
    }
}

/// The caller as SCM_CREDENTIALS shows it unless it says otherwise.
#[must_use]
pub(super) fn real_credentials() -> SenderCredentials {
    let thread = task::current();
    let credentials = thread.credentials();
    SenderCredentials {
        process: thread.process().pid().as_u32(),
        user: credentials.user.real,
        group: credentials.group.real,
    }
}
