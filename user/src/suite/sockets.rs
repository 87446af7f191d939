//! Pairs of sockets: streams, datagrams, packets, descriptors that travel in messages.

use libc::{
    AF_UNIX, FIONREAD, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, O_RDONLY, SHUT_RD,
    SHUT_RDWR, SHUT_WR, SIGPIPE, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};

use super::support::{
    Random, caught, child, ignore, in_child, needs_root, pipe, read_all, record, until, write_text,
};
use crate::{fails, ok, sys};

super::area!("sockets":
    stream_pair_goes_both_ways,
    stream_shutdown,
    stream_end_of_file,
    datagrams_keep_borders,
    packets_keep_borders_and_end,
    peek_leaves_data,
    descriptors_travel,
    descriptors_in_flight_survive_close,
    sockets_in_each_others_queues_are_closed,
    sockets_that_somebody_can_reach_stay_open,
    circles_of_sockets_do_not_use_up_the_allowance,
    credentials_of_the_peer,
    socketpair_refuses,
    socket_pair_between_processes,
    four_megabytes_pass,
);

#[track_caller]
fn socket_pair(kind: i32) -> (i32, i32) {
    let mut ends = [0_i32; 2];
    ok!(SYS_socketpair, AF_UNIX, kind, 0, &mut ends);
    (ends[0], ends[1])
}

fn stream_pair_goes_both_ways() {
    let (left, right) = socket_pair(SOCK_STREAM);
    ok!(SYS_write, left, b"abc", 3);
    ok!(SYS_write, left, b"def", 3);
    ok!(SYS_write, right, b"xyz", 3);
    let mut buffer = [0_u8; 16];
    assert_eq!(ok!(SYS_read, right, &mut buffer, 16), 6, "a stream has no borders");
    assert_eq!(&buffer[..6], b"abcdef");
    assert_eq!(ok!(SYS_recvfrom, left, &mut buffer, 2, 0, 0, 0), 2);
    assert_eq!(ok!(SYS_recvfrom, left, &mut buffer, 16, 0, 0, 0), 1);
    fails!(EAGAIN: SYS_recvfrom, left, &mut buffer, 16, MSG_DONTWAIT, 0, 0);
    fails!(ESPIPE: SYS_lseek, left, 0, 0);
}

fn stream_shutdown() {
    ignore(SIGPIPE);
    let (left, right) = socket_pair(SOCK_STREAM);
    ok!(SYS_write, left, b"last", 4);
    ok!(SYS_shutdown, left, SHUT_WR);
    fails!(EPIPE: SYS_write, left, b"x", 1);
    assert_eq!(read_all(right), b"last");
    ok!(SYS_write, right, b"back", 4);
    let mut buffer = [0_u8; 8];
    assert_eq!(ok!(SYS_read, left, &mut buffer, 8), 4);
    ok!(SYS_shutdown, left, SHUT_RD);
    assert_eq!(ok!(SYS_read, left, &mut buffer, 8), 0);
    fails!(EPIPE: SYS_sendto, right, b"x", 1, MSG_NOSIGNAL, 0, 0);
    ok!(SYS_shutdown, right, SHUT_RDWR);
    fails!(EINVAL: SYS_shutdown, right, 5);
    fails!(ENOTSOCK: SYS_shutdown, pipe(0).0, SHUT_RD);
}

fn stream_end_of_file() {
    let (left, right) = socket_pair(SOCK_STREAM);
    ok!(SYS_write, left, b"rest", 4);
    ok!(SYS_close, left);
    assert_eq!(read_all(right), b"rest");
    record(SIGPIPE, 0);
    fails!(EPIPE: SYS_write, right, b"x", 1);
    assert_eq!(caught(SIGPIPE), 1);
}

fn datagrams_keep_borders() {
    let (left, right) = socket_pair(SOCK_DGRAM);
    ok!(SYS_write, left, b"first", 5);
    ok!(SYS_write, left, b"", 0);
    ok!(SYS_write, left, b"second", 6);
    let mut buffer = [0_u8; 16];
    assert_eq!(ok!(SYS_read, right, &mut buffer, 3), 3, "the rest is lost");
    assert_eq!(ok!(SYS_read, right, &mut buffer, 16), 0, "an empty one");
    assert_eq!(ok!(SYS_recvfrom, right, &mut buffer, 2, MSG_TRUNC, 0, 0), 6, "its real length");
}

fn packets_keep_borders_and_end() {
    let (left, right) = socket_pair(SOCK_SEQPACKET);
    ok!(SYS_write, left, b"one", 3);
    ok!(SYS_write, left, b"three", 5);
    ok!(SYS_close, left);
    let mut buffer = [0_u8; 16];
    assert_eq!(ok!(SYS_read, right, &mut buffer, 16), 3);
    assert_eq!(ok!(SYS_read, right, &mut buffer, 16), 5);
    assert_eq!(ok!(SYS_read, right, &mut buffer, 16), 0);
}

fn peek_leaves_data() {
    let (left, right) = socket_pair(SOCK_STREAM);
    ok!(SYS_write, left, b"abc", 3);
    let mut buffer = [0_u8; 8];
    for _ in 0..3 {
        assert_eq!(ok!(SYS_recvfrom, right, &mut buffer, 8, MSG_PEEK, 0, 0), 3);
    }
    let mut waiting = 0_i32;
    ok!(SYS_ioctl, right, FIONREAD, &mut waiting);
    assert_eq!(waiting, 3);
    assert_eq!(ok!(SYS_read, right, &mut buffer, 8), 3);
}

/// A message of one byte with room for descriptors.
struct Message {
    byte: [u8; 1],
    vector: [usize; 2],
    control: [u64; 4],
    header: [usize; 7],
}

impl Message {
    /// With `fd` to send, or with room to receive one.
    fn new(fd: i32) -> Box<Self> {
        let mut message =
            Box::new(Self { byte: *b"m", vector: [0; 2], control: [0; 4], header: [0; 7] });
        message.vector = [(&raw mut message.byte).expose_provenance(), 1];
        // cmsghdr: length, level and type, then one descriptor.
        message.control[0] = 20;
        message.control[1] = libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32;
        message.control[2] = u64::from(fd as u32);
        let vector = (&raw mut message.vector).expose_provenance();
        let control = (&raw mut message.control).expose_provenance();
        message.header = [0, 0, vector, 1, control, 24, 0];
        message
    }

    /// The descriptor that came.
    fn descriptor(&self) -> i32 {
        let control = std::hint::black_box(&self.control);
        assert_eq!(control[0], 20);
        control[2] as i32
    }
}

fn descriptors_travel() {
    write_text("file", "sent");
    let (left, right) = socket_pair(SOCK_STREAM);
    let fd = ok!(SYS_open, c"file", O_RDONLY) as i32;
    let child = child(|| {
        ok!(SYS_close, fd);
        let mut message = Message::new(0);
        assert_eq!(ok!(SYS_recvmsg, right, &mut message.header, libc::MSG_CMSG_CLOEXEC), 1);
        let received = message.descriptor();
        assert_eq!(ok!(SYS_fcntl, received, libc::F_GETFD), 1);
        assert_eq!(read_all(received), b"sent");
    });
    ok!(SYS_sendmsg, left, &Message::new(fd).header, 0);
    child.success();
    assert_eq!(ok!(SYS_lseek, fd, 0, libc::SEEK_CUR), 4, "one description, shared");
    fails!(EBADF: SYS_sendmsg, left, &Message::new(99).header, 0);
}

fn descriptors_in_flight_survive_close() {
    let (left, right) = socket_pair(SOCK_DGRAM);
    let (read_end, write_end) = pipe(0);
    ok!(SYS_sendmsg, left, &Message::new(write_end).header, 0);
    ok!(SYS_close, write_end);
    let mut message = Message::new(0);
    ok!(SYS_recvmsg, right, &mut message.header, 0);
    ok!(SYS_write, message.descriptor(), b"alive", 5);
    ok!(SYS_close, message.descriptor());
    assert_eq!(read_all(read_end), b"alive");
    // One that nobody receives is closed with the socket.
    let (read_end, write_end) = pipe(0);
    ok!(SYS_sendmsg, left, &Message::new(write_end).header, 0);
    ok!(SYS_close, write_end);
    ok!(SYS_close, left);
    ok!(SYS_close, right);
    assert_eq!(read_all(read_end), b"");
}

/// Makes two sockets that nobody can reach: each is in a queue of the other pair. Whatever `fd` is stays with them.
fn lose_in_a_circle(fd: i32) {
    let (left, right) = socket_pair(SOCK_DGRAM);
    let (other_left, other_right) = socket_pair(SOCK_DGRAM);
    // As many as a user may have in flight can be out of reach already; Linux finds them in its own time.
    let send = |socket: i32, fd: i32| {
        until("a file may be sent", || {
            close_a_socket();
            sys!(SYS_sendmsg, socket, &Message::new(fd).header, 0).is_ok()
        });
    };
    send(left, other_right);
    send(other_left, right);
    send(other_left, fd);
    for end in [right, other_right, left, other_left] {
        ok!(SYS_close, end);
    }
}

/// Closing any socket makes the kernel look for such circles.
fn close_a_socket() {
    let (left, right) = socket_pair(SOCK_STREAM);
    ok!(SYS_close, left);
    ok!(SYS_close, right);
}

fn sockets_in_each_others_queues_are_closed() {
    let (read_end, write_end) = pipe(libc::O_NONBLOCK);
    lose_in_a_circle(write_end);
    ok!(SYS_close, write_end);
    until("the pipe in the circle is closed", || {
        close_a_socket();
        sys!(SYS_read, read_end, &mut [0_u8; 1], 1) == Ok(0)
    });
}

fn sockets_that_somebody_can_reach_stay_open() {
    let (left, right) = socket_pair(SOCK_DGRAM);
    let (far, near) = socket_pair(SOCK_DGRAM);
    let (read_end, write_end) = pipe(0);
    // `near` waits at `right`, and has the pipe waiting for it; only `right` has a descriptor.
    ok!(SYS_sendmsg, far, &Message::new(write_end).header, 0);
    ok!(SYS_sendmsg, far, &Message::new(near).header, 0);
    ok!(SYS_sendmsg, left, &Message::new(near).header, 0);
    for end in [near, far, left, write_end] {
        ok!(SYS_close, end);
    }
    for _ in 0..3 {
        close_a_socket();
    }
    let mut message = Message::new(0);
    ok!(SYS_recvmsg, right, &mut message.header, 0);
    let near = message.descriptor();
    let mut message = Message::new(0);
    ok!(SYS_recvmsg, near, &mut message.header, 0);
    ok!(SYS_write, message.descriptor(), b"alive", 5);
    ok!(SYS_close, message.descriptor());
    assert_eq!(read_all(read_end), b"alive");
}

fn circles_of_sockets_do_not_use_up_the_allowance() {
    needs_root();
    in_child(|| {
        ok!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &[64_u64, 64], 0);
        ok!(SYS_setresuid, 54323, 54323, 54323);
        let (_read_end, write_end) = pipe(0);
        for _ in 0..200 {
            lose_in_a_circle(write_end);
        }
    });
}

fn credentials_of_the_peer() {
    let (left, _right) = socket_pair(SOCK_STREAM);
    let mut credentials = [0_u32; 3];
    let mut length = 12_u32;
    ok!(SYS_getsockopt, left, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut credentials, &mut length);
    assert_eq!(credentials[0] as usize, ok!(SYS_getpid));
    assert_eq!(credentials[1] as usize, ok!(SYS_geteuid));
    let mut kind = [0_i32];
    length = 4;
    ok!(SYS_getsockopt, left, libc::SOL_SOCKET, libc::SO_TYPE, &mut kind, &mut length);
    assert_eq!(kind, [SOCK_STREAM]);
}

fn socketpair_refuses() {
    let mut ends = [0_i32; 2];
    fails!(EAFNOSUPPORT: SYS_socketpair, 99, SOCK_STREAM, 0, &mut ends);
    fails!(EINVAL: SYS_socketpair, AF_UNIX, 77, 0, &mut ends);
    fails!(EPROTONOSUPPORT: SYS_socketpair, AF_UNIX, SOCK_STREAM, 9, &mut ends);
    fails!(EFAULT: SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8);
    let (left, _) = socket_pair(SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    assert_eq!(ok!(SYS_fcntl, left, libc::F_GETFD), 1);
    fails!(EAGAIN: SYS_read, left, &mut [0_u8; 1], 1);
}

fn socket_pair_between_processes() {
    let (left, right) = socket_pair(SOCK_STREAM);
    let child = child(|| {
        ok!(SYS_close, left);
        let mut buffer = [0_u8; 64];
        loop {
            let count = ok!(SYS_read, right, &mut buffer, 64);
            if count == 0 {
                break;
            }
            buffer[..count].make_ascii_uppercase();
            ok!(SYS_write, right, &buffer, count);
        }
    });
    ok!(SYS_close, right);
    for word in ["several", "words", "there and back"] {
        ok!(SYS_write, left, word.as_bytes(), word.len());
        let mut buffer = [0_u8; 64];
        let count = ok!(SYS_read, left, &mut buffer, 64);
        assert_eq!(std::str::from_utf8(&buffer[..count]).unwrap(), word.to_uppercase());
    }
    ok!(SYS_close, left);
    child.success();
}

fn four_megabytes_pass() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_close, read_end);
        let mut random = Random::new(5);
        for _ in 0..64 {
            let block: Vec<u64> = (0..8192).map(|_| random.bits()).collect();
            assert_eq!(ok!(SYS_write, write_end, &block[..], 65536), 65536);
        }
    });
    ok!(SYS_close, write_end);
    let mut random = Random::new(5);
    let (mut total, mut word) = (0_usize, [0_u8; 8]);
    let mut buffer = vec![0_u8; 50_000];
    loop {
        let count = ok!(SYS_read, read_end, &mut buffer[..], 50_000);
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            if total % 8 == 0 {
                word = random.bits().to_le_bytes();
            }
            assert_eq!(*byte, word[total % 8]);
            total += 1;
        }
    }
    assert_eq!(total, 4 << 20);
    child.success();
}
