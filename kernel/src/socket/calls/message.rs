//! Messages with ancillary data: sendmsg(2), recvmsg(2), and the calls for several at once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::UserAddr;
use arch::time::Nanos;
use linux_raw_sys::net as abi;

use super::super::control::{self, CONTROL_MAX, Record, SenderCredentials, Writer};
use super::super::receive::Received;
use super::super::rights::Rights;
use super::super::transmit::Transmission;
use super::super::unix::{Socket, real_credentials};
use super::transfer::{receive, received_length, send, send_patience};
use super::{read_address, socket_file, socket_of, write_address};
use crate::errno::{Errno, Result};
use crate::fs::{CloseOnExec, Fd, File, Segment, Sink, Source};
use crate::memory::user::{self, UserPtr};
use crate::syscall;
use crate::syscall::{Argument, Caller, Syscall};
use crate::task::{Capability, INFINITY, Resource};

/// `struct msghdr` as seven words: name, its length, segments, their count, control, its length, flags.
type UserMessage = UserPtr<[u64; 7]>;
/// `struct mmsghdr`: a message, and the bytes that were moved.
type UserMessages = UserPtr<[u64; 8]>;

/// The most messages of one call (`UIO_MAXIOV`).
const MESSAGES_MAX: u32 = 1024;
/// MSG_WAITFORONE: only the first message is waited for.
const WAIT_FOR_ONE: u32 = 0x1_0000;

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(46, sendmsg(socket: Fd, message: UserMessage, flags: u32)),
    syscall!(47, recvmsg(socket: Fd, message: UserMessage, flags: u32)),
    syscall!(307, sendmmsg(socket: Fd, messages: UserMessages, count: u32, flags: u32)),
    syscall!(299, recvmmsg(
        socket: Fd, messages: UserMessages, count: u32, flags: u32, timeout: UserPtr<[i64; 2]>
    )),
];

/// A `struct msghdr`, read.
struct Header {
    name: UserAddr,
    name_length: i32,
    segments: Vec<Segment>,
    control: UserAddr,
    control_length: usize,
}

impl Header {
    fn read(message: UserMessage) -> Result<Self> {
        let [name, name_length, segments, count, control, control_length, _flags] =
            message.read()?;
        let name = UserAddr::from_register(name);
        let name_length = name_length as i32;
        if name_length < 0 {
            return Err(Errno::EINVAL);
        }
        let count = usize::try_from(count).map_err(|_| Errno::EMSGSIZE)?;
        if count > MESSAGES_MAX as usize {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Self {
            name,
            name_length: if name.is_null() { 0 } else { name_length },
            segments: read_segments(UserPtr::from_register(segments), count)?,
            control: UserAddr::from_register(control),
            control_length: usize::try_from(control_length).map_err(|_| Errno::ENOBUFS)?,
        })
    }
}

/// The segments of an `iovec` array.
fn read_segments(segments: UserPtr<[u64; 2]>, count: usize) -> Result<Vec<Segment>> {
    let raw = segments.read_array(count)?;
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    let mut total = 0_usize;
    for [base, length] in raw {
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        total = total.checked_add(length).ok_or(Errno::EINVAL)?;
        list.push(Segment { address: UserAddr::from_register(base), length });
    }
    if isize::try_from(total).is_err() {
        return Err(Errno::EINVAL);
    }
    Ok(list)
}

/// The places in a `struct msghdr` that recvmsg(2) writes back.
fn field<T>(message: UserMessage, word: usize) -> Result<UserPtr<T>> {
    let address = message.address().checked_add(word as u64 * 8).ok_or(Errno::EFAULT)?;
    Ok(UserPtr::new(address))
}

/// sendmsg: sends a message with ancillary data.
fn sendmsg(caller: &mut Caller<'_>, socket: Fd, message: UserMessage, flags: u32) -> Result {
    let file = socket_file(caller, socket)?;
    send_message(caller, &file, message, flags)
}

fn send_message(caller: &Caller<'_>, file: &File, message: UserMessage, flags: u32) -> Result {
    let socket = socket_of(file)?;
    let header = Header::read(message)?;
    let destination = match header.name_length {
        0 => None,
        length => Some(read_address(header.name, length)?),
    };
    let (rights, credentials) = read_control(caller, &header)?;
    let transmission = Transmission {
        patience: send_patience(socket, file, flags),
        destination,
        rights,
        credentials,
    };
    send(socket, &mut Source::vector(&header.segments), transmission, flags)
}

/// What travels with a message: files, and who the sender says it is.
fn read_control(
    caller: &Caller<'_>,
    header: &Header,
) -> Result<(Option<Arc<Rights>>, SenderCredentials)> {
    let mut credentials = real_credentials();
    if header.control.is_null() || header.control_length == 0 {
        return Ok((None, credentials));
    }
    if header.control_length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(header.control_length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(header.control_length, 0);
    user::read_bytes(header.control, &mut bytes)?;
    let mut files = Vec::new();
    for record in control::parse(&bytes)? {
        match record {
            Record::Rights(descriptors) => collect_files(caller, &descriptors, &mut files)?,
            Record::Credentials(claimed) => {
                check_claim(caller, claimed)?;
                credentials = claimed;
            }
        }
    }
    if files.is_empty() {
        return Ok((None, credentials));
    }
    let limit = if caller.thread.credentials().has(Capability::SysResource) {
        INFINITY
    } else {
        caller.thread.process().limit(Resource::OpenFiles)
    };
    let user = caller.thread.credentials().user.real;
    Ok((Some(Rights::new(files, user, limit)?), credentials))
}

fn collect_files(
    caller: &Caller<'_>,
    descriptors: &[i32],
    files: &mut Vec<Arc<File>>,
) -> Result<()> {
    if files.len() + descriptors.len() > control::RIGHTS_MAX {
        return Err(Errno::EINVAL);
    }
    files.try_reserve(descriptors.len()).map_err(|_| Errno::ENOMEM)?;
    let table = caller.thread.files();
    for &descriptor in descriptors {
        files.push(table.get_any(Fd(descriptor))?);
    }
    Ok(())
}

/// Whether the caller may say that it is `claimed` (unix(7), SCM_CREDENTIALS).
fn check_claim(caller: &Caller<'_>, claimed: SenderCredentials) -> Result<()> {
    let own = caller.thread.credentials();
    let (users, groups) = (own.user, own.group);
    let process =
        claimed.process == caller.thread.process().pid().as_u32() || own.has(Capability::SysAdmin);
    let user = [users.real, users.effective, users.saved].contains(&claimed.user)
        || own.has(Capability::Setuid);
    let group = [groups.real, groups.effective, groups.saved].contains(&claimed.group)
        || own.has(Capability::Setgid);
    if process && user && group { Ok(()) } else { Err(Errno::EPERM) }
}

/// recvmsg: receives a message with ancillary data.
fn recvmsg(caller: &mut Caller<'_>, socket: Fd, message: UserMessage, flags: u32) -> Result {
    let file = socket_file(caller, socket)?;
    receive_message(caller, &file, message, flags)
}

fn receive_message(caller: &Caller<'_>, file: &File, message: UserMessage, flags: u32) -> Result {
    let socket = socket_of(file)?;
    let header = Header::read(message)?;
    let received = receive(socket, file, &mut Sink::vector(&header.segments), flags)?;
    let mut report = flags & abi::MSG_CMSG_CLOEXEC;
    if received.count < received.length {
        report |= abi::MSG_TRUNC;
    }
    let capacity = if header.control.is_null() { 0 } else { header.control_length };
    let mut writer = Writer::new(capacity);
    write_control(caller, socket, &received, flags, &mut writer)?;
    if writer.is_truncated() {
        report |= abi::MSG_CTRUNC;
    }
    user::write_bytes(header.control, writer.bytes())?;
    if !header.name.is_null() {
        let length = field::<u32>(message, 1)?;
        match &received.sender {
            Some(sender) if !sender.is_unnamed() => write_address(sender, header.name, length)?,
            _ => length.write(&0)?,
        }
    }
    field::<u64>(message, 5)?.write(&(writer.bytes().len() as u64))?;
    field::<u32>(message, 6)?.write(&report)?;
    Ok(received_length(&received, flags))
}

/// Lays out what came with a message, and gives the files descriptors.
fn write_control(
    caller: &Caller<'_>,
    socket: &Socket,
    received: &Received,
    flags: u32,
    writer: &mut Writer,
) -> Result<()> {
    if let Some(credentials) = received.credentials
        && socket.options.passes_credentials()
    {
        writer.push(abi::SCM_CREDENTIALS, &credentials.to_bytes())?;
    }
    let Some(rights) = &received.rights else { return Ok(()) };
    let close_on_exec = CloseOnExec::from_flag(flags & abi::MSG_CMSG_CLOEXEC != 0);
    let fitting = rights.files().len().min(writer.rights_room());
    let mut descriptors = Vec::new();
    descriptors.try_reserve_exact(fitting * 4).map_err(|_| Errno::ENOMEM)?;
    let table = caller.thread.files();
    let limit = caller.thread.process().limit(Resource::OpenFiles);
    rights.with_copies(|files| {
        for file in &files[..fitting] {
            // Without a free descriptor the rest of the files is lost, as on Linux.
            let Ok(reservation) = table.reserve(0, limit) else { break };
            let descriptor = reservation.install(file.clone(), close_on_exec)?;
            descriptors.extend_from_slice(&descriptor.0.to_ne_bytes());
        }
        Ok::<(), Errno>(())
    })?;
    if descriptors.len() < rights.files().len() * 4 {
        writer.truncate();
    }
    if descriptors.is_empty() { Ok(()) } else { writer.push(abi::SCM_RIGHTS, &descriptors) }
}

/// The message `index` of an array, and where its count of bytes goes.
fn element(messages: UserMessages, index: u32) -> Result<(UserMessage, UserPtr<u32>)> {
    let message = UserPtr::new(messages.element(index as usize)?.address());
    Ok((message, field(message, 7)?))
}

/// sendmmsg: sends several messages. Returns how many were sent before one failed.
fn sendmmsg(
    caller: &mut Caller<'_>,
    socket: Fd,
    messages: UserMessages,
    count: u32,
    flags: u32,
) -> Result {
    let file = socket_file(caller, socket)?;
    for index in 0..count.min(MESSAGES_MAX) {
        let sent = element(messages, index).and_then(|(message, length)| {
            let sent = send_message(caller, &file, message, flags)?;
            length.write(&(sent as u32))
        });
        match sent {
            Ok(()) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index as usize),
        }
    }
    Ok(count.min(MESSAGES_MAX) as usize)
}

/// recvmmsg: receives several messages. The time-out is looked at after each, as on Linux.
fn recvmmsg(
    caller: &mut Caller<'_>,
    socket: Fd,
    messages: UserMessages,
    count: u32,
    flags: u32,
    timeout: UserPtr<[i64; 2]>,
) -> Result {
    let file = socket_file(caller, socket)?;
    let deadline = match timeout.read_if_present()? {
        None => None,
        Some([seconds, nanos]) if seconds >= 0 && (0..1_000_000_000).contains(&nanos) => {
            let span = Nanos::from_secs(seconds as u64).saturating_add(Nanos(nanos as u64));
            Some(arch::clock::now().saturating_add(span))
        }
        Some(_) => return Err(Errno::EINVAL),
    };
    let mut flags = flags;
    let wait_for_one = flags & WAIT_FOR_ONE != 0;
    flags &= !WAIT_FOR_ONE;
    for index in 0..count.min(MESSAGES_MAX) {
        let received = element(messages, index).and_then(|(message, length)| {
            let received = receive_message(caller, &file, message, flags)?;
            length.write(&(received as u32))
        });
        match received {
            Ok(()) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index as usize),
        }
        if wait_for_one {
            flags |= abi::MSG_DONTWAIT;
        }
        if deadline.is_some_and(|deadline| arch::clock::now() >= deadline) {
            return Ok(index as usize + 1);
        }
    }
    Ok(count.min(MESSAGES_MAX) as usize)
}
