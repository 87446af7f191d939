//! Bytes without ancillary data: read and write of sockets, sendto(2), recvfrom(2).

use alloc::sync::Arc;

use arch::addr::UserAddr;
use linux_raw_sys::net as abi;

use super::super::receive::{Received, Reception, Taking};
use super::super::transmit::Transmission;
use super::super::unix::{Socket, real_credentials};
use super::super::wait::Patience;
use super::{read_address, socket_file, socket_of, write_address};
use crate::errno::{Errno, Result};
use crate::fs::{Fd, File, Sink, Source};
use crate::memory::user::UserPtr;
use crate::signal::{self, Signal};
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(44, sendto(
        socket: Fd, buffer: UserAddr, count: usize, flags: u32, address: UserAddr, length: i32
    )),
    syscall!(45, recvfrom(
        socket: Fd, buffer: UserAddr, count: usize, flags: u32, address: UserAddr,
        length: UserPtr<u32>
    )),
];

/// read(2) on a socket.
pub(in crate::socket) fn read(socket: &Socket, file: &File, sink: &mut Sink<'_>) -> Result {
    Ok(receive(socket, file, sink, 0)?.count)
}

/// write(2) on a socket.
pub(in crate::socket) fn write(
    socket: &Arc<Socket>,
    file: &File,
    source: &mut Source<'_>,
) -> Result {
    let transmission = Transmission {
        patience: send_patience(socket, file, 0),
        destination: None,
        rights: None,
        credentials: real_credentials(),
    };
    send(socket, source, transmission, 0)
}

/// How long a send call with `flags` may wait.
pub(super) fn send_patience(socket: &Socket, file: &File, flags: u32) -> Patience {
    let nonblocking = file.is_nonblocking() || flags & abi::MSG_DONTWAIT != 0;
    Patience::new(nonblocking, socket.options.send_timeout())
}

/// Sends, and raises SIGPIPE where a stream is broken and `flags` do not forbid it.
pub(super) fn send(
    socket: &Arc<Socket>,
    source: &mut Source<'_>,
    transmission: Transmission,
    flags: u32,
) -> Result {
    if flags & abi::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let sent = socket.transmit(source, transmission);
    let is_stream = socket.kind == super::super::unix::Kind::Stream;
    if sent == Err(Errno::EPIPE) && is_stream && flags & abi::MSG_NOSIGNAL == 0 {
        signal::send_to_current(Signal::SIGPIPE);
    }
    sent
}

/// Receives as `flags` say.
pub(super) fn receive(
    socket: &Socket,
    file: &File,
    sink: &mut Sink<'_>,
    flags: u32,
) -> Result<Received> {
    if flags & abi::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let nonblocking = file.is_nonblocking() || flags & abi::MSG_DONTWAIT != 0;
    let least = if flags & abi::MSG_WAITALL != 0 {
        sink.remaining()
    } else {
        socket.options.receive_low_water()
    };
    let reception = Reception {
        patience: Patience::new(nonblocking, socket.options.receive_timeout()),
        taking: if flags & abi::MSG_PEEK != 0 { Taking::Peek } else { Taking::Remove },
        least,
    };
    socket.receive(sink, reception)
}

/// What a receive call returns: with MSG_TRUNC, the whole length of a datagram.
pub(super) fn received_length(received: &Received, flags: u32) -> usize {
    if flags & abi::MSG_TRUNC != 0 { received.length } else { received.count }
}

/// sendto: sends bytes, perhaps to a named socket.
fn sendto(
    caller: &mut Caller<'_>,
    socket: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    address: UserAddr,
    length: i32,
) -> Result {
    let file = socket_file(caller, socket)?;
    let socket = socket_of(&file)?;
    let destination = if address.is_null() { None } else { Some(read_address(address, length)?) };
    let transmission = Transmission {
        patience: send_patience(socket, &file, flags),
        destination,
        rights: None,
        credentials: real_credentials(),
    };
    send(socket, &mut Source::user(buffer, count), transmission, flags)
}

/// recvfrom: receives bytes, and perhaps the sender's name.
fn recvfrom(
    caller: &mut Caller<'_>,
    socket: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    address: UserAddr,
    length: UserPtr<u32>,
) -> Result {
    let file = socket_file(caller, socket)?;
    let received = receive(socket_of(&file)?, &file, &mut Sink::user(buffer, count), flags)?;
    if !address.is_null() {
        match &received.sender {
            Some(sender) if !sender.is_unnamed() => write_address(sender, address, length)?,
            _ => length.write(&0)?,
        }
    }
    Ok(received_length(&received, flags))
}
