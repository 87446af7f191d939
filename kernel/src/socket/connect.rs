//! Naming and connecting: bind(2), listen(2), connect(2), accept(2).
//!
//! A connection exists as soon as connect(2) returns: the accepting side's socket is made by the connecting one and
//! waits in the listener's backlog, where data may already be sent to it.

use alloc::format;
use alloc::sync::Arc;

use arch::sync::atomic::{AtomicU32, Ordering};

use super::address::Address;
use super::names;
use super::unix::{Kind, Phase, Shutdown, Socket, effective_credentials};
use super::wait::Patience;
use crate::errno::{Errno, Result};

/// The largest backlog (`net.core.somaxconn`).
const BACKLOG_MAX: u32 = 4096;
/// Names that the kernel can choose by itself: five hexadecimal digits.
const AUTOMATIC_NAMES: u32 = 1 << 20;

impl Socket {
    /// Gives the socket a name. Without one in `address`, the kernel chooses an abstract name.
    ///
    /// # Errors
    /// `EINVAL` if it has a name, `EADDRINUSE`, and the errors of making a node at a path.
    pub fn bind(self: &Arc<Self>, address: Address) -> Result<()> {
        let _turn = self.naming.lock();
        if !self.address().is_unnamed() {
            return Err(Errno::EINVAL);
        }
        let (address, binding) = match address {
            Address::Unnamed => self.automatic_name()?,
            Address::Abstract(name) => {
                let binding = names::bind_abstract(&name, self)?;
                (Address::Abstract(name), binding)
            }
            Address::Path(path) => {
                let inode = super::node::create(&path)?;
                (Address::Path(path), names::bind_inode(inode, self)?)
            }
        };
        let mut state = self.state.lock();
        state.address = Arc::new(address);
        state.binding = Some(binding);
        Ok(())
    }

    fn automatic_name(self: &Arc<Self>) -> Result<(Address, names::Binding)> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        for _ in 0..AUTOMATIC_NAMES {
            // Relaxed: the table of names decides who gets one.
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % AUTOMATIC_NAMES;
            let name = format!("{number:05x}").into_bytes();
            match names::bind_abstract(&name, self) {
                Ok(binding) => return Ok((Address::Abstract(name), binding)),
                Err(Errno::EADDRINUSE) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Lets others connect; up to about `backlog` of them wait for accept(2).
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams, `EINVAL` without a name or with a peer.
    pub fn listen(&self, backlog: i32) -> Result<()> {
        if !self.kind.is_connected_kind() {
            return Err(Errno::EOPNOTSUPP);
        }
        // Linux reads a negative backlog as a huge one.
        let backlog = (backlog as u32).min(BACKLOG_MAX) as usize;
        let credentials = effective_credentials();
        let mut state = self.state.lock();
        if state.address.is_unnamed() || !matches!(state.phase, Phase::Idle | Phase::Listening) {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.backlog_max = backlog;
        state.peer_credentials = Some(credentials);
        drop(state);
        self.drained.wake_all();
        Ok(())
    }

    /// Connects to the socket called `address`, or sets where datagrams go.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `EPROTOTYPE`, `EISCONN`, `EINVAL`, `EPERM` for a datagram socket connected elsewhere; `EAGAIN`
    /// if the backlog is full, and those of a wait or a path walk.
    pub fn connect(self: &Arc<Self>, address: &Address, patience: Patience) -> Result<()> {
        let _turn = self.naming.lock();
        if self.kind == Kind::Datagram {
            return self.connect_datagram(address);
        }
        match self.state.lock().phase {
            Phase::Idle => {}
            Phase::Connected => return Err(Errno::EISCONN),
            Phase::Listening | Phase::Closed => return Err(Errno::EINVAL),
        }
        let server = Self::new(self.kind);
        let credentials = effective_credentials();
        server.connect_to(self.clone(), credentials);
        loop {
            let listener = self.find(address)?;
            if self.enqueue(&listener, &server)? == Enqueued::Yes {
                listener.readable.wake_all();
                return Ok(());
            }
            patience.wait(&listener.drained, || listener.can_enqueue().then_some(()))?;
        }
    }

    /// Makes `server` this socket's peer and puts it into the backlog of `listener`, if there is room.
    fn enqueue(&self, listener: &Arc<Socket>, server: &Arc<Socket>) -> Result<Enqueued> {
        let (address, listener_credentials) = {
            let state = listener.state.lock();
            (state.address.clone(), state.peer_credentials)
        };
        server.state.lock().address = address;
        // The own side is complete before anybody can accept the other.
        self.connect_to(server.clone(), listener_credentials.unwrap_or_else(effective_credentials));
        let result = listener.push_backlog(server);
        if !matches!(result, Ok(Enqueued::Yes)) {
            let mut state = self.state.lock();
            state.phase = Phase::Idle;
            state.peer_credentials = None;
            let peer = state.peer.take();
            drop(state);
            drop(peer);
        }
        result
    }

    fn push_backlog(&self, server: &Arc<Socket>) -> Result<Enqueued> {
        let mut state = self.state.lock();
        if state.phase != Phase::Listening || state.shutdown.contains(Shutdown::READ) {
            return Err(Errno::ECONNREFUSED);
        }
        if state.backlog.len() > state.backlog_max {
            return Ok(Enqueued::No);
        }
        state.backlog.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        state.backlog.push_back(server.clone());
        Ok(Enqueued::Yes)
    }

    /// Whether a connection attempt need not wait for room any more; it may fail.
    fn can_enqueue(&self) -> bool {
        let state = self.state.lock();
        state.phase != Phase::Listening
            || state.shutdown.contains(Shutdown::READ)
            || state.backlog.len() <= state.backlog_max
    }

    fn connect_datagram(self: &Arc<Self>, address: &Address) -> Result<()> {
        if address.is_unnamed() {
            return Err(Errno::EINVAL);
        }
        let peer = self.find(address)?;
        if !peer.accepts_datagrams_of(self) {
            return Err(Errno::EPERM);
        }
        self.connect_to(peer, effective_credentials());
        Ok(())
    }

    /// Undoes connect(2) of a datagram socket (an address of family AF_UNSPEC).
    ///
    /// # Errors
    /// `EINVAL` for other kinds.
    pub fn disconnect(&self) -> Result<()> {
        if self.kind != Kind::Datagram {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        let peer = state.peer.take();
        state.peer_credentials = None;
        if state.phase == Phase::Connected {
            state.phase = Phase::Idle;
        }
        drop(state);
        drop(peer);
        Ok(())
    }

    /// The socket called `address`, of the same kind as this one.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `EPROTOTYPE`, `EINVAL` for no name, and those of a path walk.
    pub(super) fn find(&self, address: &Address) -> Result<Arc<Socket>> {
        let found = match address {
            Address::Unnamed => return Err(Errno::EINVAL),
            Address::Abstract(name) => names::find_abstract(name)?,
            Address::Path(path) => names::find_inode(&super::node::find(path)?)?,
        };
        if found.kind == self.kind { Ok(found) } else { Err(Errno::EPROTOTYPE) }
    }

    /// Whether `sender` may send datagrams here: a connected socket takes them from its peer alone.
    pub(super) fn accepts_datagrams_of(&self, sender: &Arc<Socket>) -> bool {
        self.state.lock().peer.as_ref().is_none_or(|peer| Arc::ptr_eq(peer, sender))
    }

    /// The next connection of a listening socket.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams, `EINVAL` if it does not listen, and those of the wait.
    pub fn accept(&self, patience: Patience) -> Result<Arc<Socket>> {
        if !self.kind.is_connected_kind() {
            return Err(Errno::EOPNOTSUPP);
        }
        let accepted = patience.wait(&self.readable, || {
            let mut state = self.state.lock();
            if state.phase != Phase::Listening {
                return Some(Err(Errno::EINVAL));
            }
            match state.backlog.pop_front() {
                Some(socket) => Some(Ok(socket)),
                None if state.shutdown.contains(Shutdown::READ) => Some(Err(Errno::EINVAL)),
                None => None,
            }
        })??;
        self.drained.wake_all();
        Ok(accepted)
    }
}

/// Whether a connection found room in the backlog.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enqueued {
    Yes,
    No,
}
