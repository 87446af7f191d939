//! The system calls about sockets: making and naming them here, options in [`options`], data in [`transfer`] and
//! [`message`].

mod message;
mod options;
pub(super) mod transfer;

use alloc::sync::Arc;

use arch::addr::UserAddr;
use linux_raw_sys::net as abi;

use super::address::{ADDRESS_MAX, Address, FAMILY_BYTES};
use super::file::SocketFile;
use super::unix::{Kind, Shutdown, Socket};
use super::wait::Patience;
use crate::errno::{Errno, Result};
use crate::fs::{
    AnonymousInode, AnonymousKind, CloseOnExec, Fd, File, OpenFlags, Special, open_descriptor,
};
use crate::memory::user::{self, UserPtr};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Resource;

/// The tables of all areas.
pub const SYSCALLS: &[&[Syscall]] =
    &[CONNECTIONS, options::SYSCALLS, transfer::SYSCALLS, message::SYSCALLS];

const CONNECTIONS: &[Syscall] = &[
    syscall!(41, socket(domain: u32, kind: u32, protocol: u32)),
    syscall!(53, socketpair(domain: u32, kind: u32, protocol: u32, pair: UserPtr<[i32; 2]>)),
    syscall!(49, bind(socket: Fd, address: UserAddr, length: i32)),
    syscall!(50, listen(socket: Fd, backlog: i32)),
    syscall!(42, connect(socket: Fd, address: UserAddr, length: i32)),
    syscall!(43, accept(socket: Fd, address: UserAddr, length: UserPtr<u32>)),
    syscall!(288, accept4(socket: Fd, address: UserAddr, length: UserPtr<u32>, flags: u32)),
    syscall!(48, shutdown(socket: Fd, how: u32)),
    syscall!(51, getsockname(socket: Fd, address: UserAddr, length: UserPtr<u32>)),
    syscall!(52, getpeername(socket: Fd, address: UserAddr, length: UserPtr<u32>)),
];

/// SOCK_CLOEXEC and SOCK_NONBLOCK, which are O_CLOEXEC and O_NONBLOCK.
const OPEN_FLAGS: u32 = OpenFlags::CLOSE_ON_EXEC.union(OpenFlags::NONBLOCK).bits();
/// The bits of a socket's type that name the type.
const TYPE_MASK: u32 = 0xf;

/// The open file behind `descriptor`, which is a socket.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`.
fn socket_file(caller: &Caller<'_>, descriptor: Fd) -> Result<Arc<File>> {
    let file = caller.thread.files().get(descriptor)?;
    socket_of(&file)?;
    Ok(file)
}

/// The socket of an open file.
///
/// # Errors
/// `ENOTSOCK`.
fn socket_of(file: &File) -> Result<&Arc<Socket>> {
    match file.operations().special() {
        Special::Socket(socket) => Ok(socket),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// The kind and flags that the arguments of socket(2) name.
fn kind_of(domain: u32, kind: u32, protocol: u32) -> Result<(Kind, OpenFlags)> {
    let flags = kind & !TYPE_MASK;
    if flags & !OPEN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if domain != abi::AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != abi::AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let flags = OpenFlags::from_bits_retain(flags) | OpenFlags::READ_WRITE;
    Ok((Kind::from_type(kind & TYPE_MASK)?, flags))
}

/// socket: a socket without name and peer.
fn socket(caller: &mut Caller<'_>, domain: u32, kind: u32, protocol: u32) -> Result {
    let (kind, flags) = kind_of(domain, kind, protocol)?;
    let file = Arc::new(SocketFile(Socket::new(kind)));
    open_descriptor(caller.thread, AnonymousKind::Socket, file, flags)
}

/// socketpair: two sockets connected to each other.
fn socketpair(
    caller: &mut Caller<'_>,
    domain: u32,
    kind: u32,
    protocol: u32,
    pair: UserPtr<[i32; 2]>,
) -> Result {
    let (kind, flags) = kind_of(domain, kind, protocol)?;
    let files = caller.thread.files();
    let limit = caller.thread.process().limit(Resource::OpenFiles);
    let reservations = [files.reserve(0, limit)?, files.reserve(0, limit)?];
    let (first, second) = Socket::pair(kind);
    let open = |socket| {
        let credentials = caller.thread.credentials();
        let inode = AnonymousInode::new(AnonymousKind::Socket, &credentials, None);
        inode.open_file(Arc::new(SocketFile(socket)), flags)
    };
    let opened = [open(first)?, open(second)?];
    let [one, other] = &reservations;
    pair.write(&[one.descriptor().0, other.descriptor().0])?;
    let close_on_exec = CloseOnExec::from_flag(flags.contains(OpenFlags::CLOSE_ON_EXEC));
    for (reservation, file) in reservations.into_iter().zip(opened) {
        reservation.install(file, close_on_exec)?;
    }
    Ok(0)
}

/// The address of `length` bytes at `address`.
///
/// # Errors
/// `EINVAL`, `EFAULT`, `ENOMEM`.
fn read_address(address: UserAddr, length: i32) -> Result<Address> {
    let mut bytes = [0; ADDRESS_MAX];
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    let bytes = bytes.get_mut(..length).ok_or(Errno::EINVAL)?;
    user::read_bytes(address, bytes)?;
    Address::parse(bytes)
}

/// Stores as much of `name` as fits, and its whole length, where a program wants an address.
///
/// # Errors
/// `EFAULT`; `EINVAL` for a negative size.
fn write_address(name: &Address, address: UserAddr, length: UserPtr<u32>) -> Result<()> {
    let room = length.read()?;
    if i32::try_from(room).is_err() {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; ADDRESS_MAX + 1];
    let whole = name.encode(&mut bytes);
    user::write_bytes(address, &bytes[..whole.min(room as usize)])?;
    length.write(&(whole as u32))
}

/// bind: gives a socket a name.
fn bind(caller: &mut Caller<'_>, socket: Fd, address: UserAddr, length: i32) -> Result {
    let file = socket_file(caller, socket)?;
    socket_of(&file)?.bind(read_address(address, length)?)?;
    Ok(0)
}

/// listen: lets others connect.
fn listen(caller: &mut Caller<'_>, socket: Fd, backlog: i32) -> Result {
    let file = socket_file(caller, socket)?;
    socket_of(&file)?.listen(backlog)?;
    Ok(0)
}

/// connect: connects a socket, or sets where its datagrams go.
fn connect(caller: &mut Caller<'_>, socket: Fd, address: UserAddr, length: i32) -> Result {
    let file = socket_file(caller, socket)?;
    let socket = socket_of(&file)?;
    if length >= FAMILY_BYTES as i32 && is_unspecified(address)? && socket.kind == Kind::Datagram {
        socket.disconnect()?;
        return Ok(0);
    }
    let address = read_address(address, length)?;
    let patience = Patience::new(file.is_nonblocking(), socket.options.send_timeout());
    socket.connect(&address, patience)?;
    Ok(0)
}

/// Whether the address is of family AF_UNSPEC.
fn is_unspecified(address: UserAddr) -> Result<bool> {
    Ok(u32::from(UserPtr::<u16>::new(address).read()?) == abi::AF_UNSPEC)
}

/// accept: the next connection of a listening socket.
fn accept(caller: &mut Caller<'_>, socket: Fd, address: UserAddr, length: UserPtr<u32>) -> Result {
    accept4(caller, socket, address, length, 0)
}

/// accept4: the next connection, with flags for its descriptor.
fn accept4(
    caller: &mut Caller<'_>,
    socket: Fd,
    address: UserAddr,
    length: UserPtr<u32>,
    flags: u32,
) -> Result {
    if flags & !OPEN_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let file = socket_file(caller, socket)?;
    let listener = socket_of(&file)?;
    let files = caller.thread.files();
    let reservation = files.reserve(0, caller.thread.process().limit(Resource::OpenFiles))?;
    let patience = Patience::new(file.is_nonblocking(), listener.options.receive_timeout());
    let accepted = listener.accept(patience)?;
    let name = accepted.peer().map(|peer| peer.address()).unwrap_or_default();
    let flags = OpenFlags::from_bits_retain(flags) | OpenFlags::READ_WRITE;
    let inode = AnonymousInode::new(AnonymousKind::Socket, &caller.thread.credentials(), None);
    let opened = inode.open_file(Arc::new(SocketFile(accepted)), flags)?;
    if !address.is_null() {
        write_address(&name, address, length)?;
    }
    let close_on_exec = CloseOnExec::from_flag(flags.contains(OpenFlags::CLOSE_ON_EXEC));
    Ok(reservation.install(opened, close_on_exec)?.0 as usize)
}

/// shutdown: ends one or both directions.
fn shutdown(caller: &mut Caller<'_>, socket: Fd, how: u32) -> Result {
    let file = socket_file(caller, socket)?;
    let how = match how {
        abi::SHUT_RD => Shutdown::READ,
        abi::SHUT_WR => Shutdown::WRITE,
        abi::SHUT_RDWR => Shutdown::all(),
        _ => return Err(Errno::EINVAL),
    };
    socket_of(&file)?.shut_down(how);
    Ok(0)
}

/// getsockname: the name of this end.
fn getsockname(
    caller: &mut Caller<'_>,
    socket: Fd,
    address: UserAddr,
    length: UserPtr<u32>,
) -> Result {
    let file = socket_file(caller, socket)?;
    write_address(&socket_of(&file)?.address(), address, length)?;
    Ok(0)
}

/// getpeername: the name of the other end.
fn getpeername(
    caller: &mut Caller<'_>,
    socket: Fd,
    address: UserAddr,
    length: UserPtr<u32>,
) -> Result {
    let file = socket_file(caller, socket)?;
    let peer = socket_of(&file)?.peer().ok_or(Errno::ENOTCONN)?;
    write_address(&peer.address(), address, length)?;
    Ok(0)
}
