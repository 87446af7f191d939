//! Which socket has which name: the abstract namespace, and the sockets behind inodes.
//!
//! A [`Binding`] keeps its name registered and, for a path, the inode alive; dropping it frees the name. The table
//! holds weak references. Lock: `NAMES`, rank `SOCKET_NAMES`, for one operation on the map.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use arch::sync::{Rank, SpinLock};

use super::unix::Socket;
use crate::errno::{Errno, Result};
use crate::fs::Inode;

static NAMES: SpinLock<BTreeMap<Key, Weak<Socket>>> =
    SpinLock::new(Rank::SOCKET_NAMES, BTreeMap::new());

/// What a socket is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    /// A name in the abstract namespace.
    Abstract(Vec<u8>),
    /// The identity of an inode, which the binding keeps alive.
    Inode(usize),
}

impl Key {
    fn of_inode(inode: &Arc<dyn Inode>) -> Self {
        Self::Inode(Arc::as_ptr(inode).cast::<()>().addr())
    }
}

/// A registered name.
pub struct Binding {
    key: Key,
    _inode: Option<Arc<dyn Inode>>,
}

impl Drop for Binding {
    fn drop(&mut self) {
        let removed = NAMES.lock().remove(&self.key);
        drop(removed);
    }
}

/// Registers `socket` under the abstract name `name`.
///
/// # Errors
/// `EADDRINUSE`.
pub fn bind_abstract(name: &[u8], socket: &Arc<Socket>) -> Result<Binding> {
    bind(Key::Abstract(name.to_vec()), None, socket)
}

/// Registers `socket` behind `inode`, a socket node that was made for it.
///
/// # Errors
/// `EADDRINUSE`.
pub fn bind_inode(inode: Arc<dyn Inode>, socket: &Arc<Socket>) -> Result<Binding> {
    bind(Key::of_inode(&inode), Some(inode), socket)
}

fn bind(key: Key, inode: Option<Arc<dyn Inode>>, socket: &Arc<Socket>) -> Result<Binding> {
    let mut names = NAMES.lock();
    if names.contains_key(&key) {
        return Err(Errno::EADDRINUSE);
    }
    names.insert(key.clone(), Arc::downgrade(socket));
    Ok(Binding { key, _inode: inode })
}

/// The socket with the abstract name `name`.
///
/// # Errors
/// `ECONNREFUSED`.
pub fn find_abstract(name: &[u8]) -> Result<Arc<Socket>> {
    find(&Key::Abstract(name.to_vec()))
}

/// The socket behind `inode`.
///
/// # Errors
/// `ECONNREFUSED`.
pub fn find_inode(inode: &Arc<dyn Inode>) -> Result<Arc<Socket>> {
    find(&Key::of_inode(inode))
}

fn find(key: &Key) -> Result<Arc<Socket>> {
    NAMES.lock().get(key).and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)
}

#[cfg(test)]
mod tests {
    use super::super::unix::Kind;
    use super::*;

    #[test]
    fn a_name_is_taken_until_its_binding_goes() {
        let socket = Socket::new(Kind::Datagram);
        let binding = bind_abstract(b"names-test", &socket).expect("free");
        assert_eq!(bind_abstract(b"names-test", &socket).err(), Some(Errno::EADDRINUSE));
        assert!(Arc::ptr_eq(&find_abstract(b"names-test").expect("bound"), &socket));
        drop(binding);
        assert_eq!(find_abstract(b"names-test").err(), Some(Errno::ECONNREFUSED));
        drop(bind_abstract(b"names-test", &socket).expect("free again"));
    }
}
