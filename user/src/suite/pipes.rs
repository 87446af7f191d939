//! Pipes, FIFOs, socket pairs.

use libc::{
    AF_UNIX, F_GETPIPE_SZ, F_SETPIPE_SZ, FIONREAD, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC,
    O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, SHUT_RD, SHUT_RDWR, SHUT_WR, SIGPIPE,
    SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};

use super::support::{
    Child, Random, Status, caught, child, default_action, ignore, in_child, nap, needs_root, pipe,
    read_all, record, until, write_text,
};
use crate::{fails, ok, sys};

super::area!("pipes":
    bytes_come_in_order,
    end_of_file_when_writers_are_gone,
    broken_pipe_is_epipe,
    broken_pipe_signal_kills,
    pipe_flags,
    nonblocking_pipe,
    small_writes_are_atomic,
    nonblocking_small_write_is_all_or_nothing,
    large_write_blocks_until_read,
    capacity_can_be_changed,
    bytes_waiting_are_counted,
    blocked_reader_wakes_for_each_writer,
    pipe_through_many_processes,
    pipe_ends_have_modes,
    fifo_connects_processes,
    fifo_partner_may_leave_at_once,
    fifo_nonblocking_open,
    fifo_for_reading_and_writing,
    proc_reopens_a_pipe,
    proc_reopens_a_pipe_without_writers,
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

fn bytes_come_in_order() {
    let (read_end, write_end) = pipe(0);
    for number in 0..100_u8 {
        ok!(SYS_write, write_end, &[number; 3], 3);
    }
    let mut buffer = [0_u8; 300];
    assert_eq!(ok!(SYS_read, read_end, &mut buffer, 7), 7);
    assert_eq!(ok!(SYS_read, read_end, &mut buffer[7..], 400), 293);
    assert!((0..300).all(|index| usize::from(buffer[index]) == index / 3));
}

fn end_of_file_when_writers_are_gone() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_close, read_end);
        nap(10);
        ok!(SYS_write, write_end, b"x", 1);
    });
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"x");
    child.success();
    assert_eq!(ok!(SYS_read, read_end, &mut [0_u8; 1], 1), 0);
}

fn broken_pipe_is_epipe() {
    ignore(SIGPIPE);
    let (read_end, write_end) = pipe(0);
    ok!(SYS_close, read_end);
    fails!(EPIPE: SYS_write, write_end, b"x", 1);
    record(SIGPIPE, 0);
    fails!(EPIPE: SYS_write, write_end, b"x", 1);
    assert_eq!(caught(SIGPIPE), 1);
}

fn broken_pipe_signal_kills() {
    let child = child(|| {
        default_action(SIGPIPE);
        let (read_end, write_end) = pipe(0);
        ok!(SYS_close, read_end);
        let _ = sys!(SYS_write, write_end, b"x", 1);
    });
    assert_eq!(child.status(), Status::Killed(SIGPIPE));
}

fn pipe_flags() {
    let (read_end, write_end) = pipe(O_CLOEXEC | O_NONBLOCK);
    for end in [read_end, write_end] {
        assert_eq!(ok!(SYS_fcntl, end, libc::F_GETFD), 1);
        assert!(ok!(SYS_fcntl, end, libc::F_GETFL) as i32 & O_NONBLOCK != 0);
    }
    let mut ends = [0_i32; 2];
    fails!(EINVAL: SYS_pipe2, &mut ends, libc::O_APPEND);
    fails!(EFAULT: SYS_pipe, 8);
    ok!(SYS_pipe, &mut ends);
    assert!(ends[0] > write_end);
}

fn nonblocking_pipe() {
    let (read_end, write_end) = pipe(O_NONBLOCK);
    fails!(EAGAIN: SYS_read, read_end, &mut [0_u8; 1], 1);
    let data = [1_u8; 4096];
    let mut total = 0;
    while let Ok(count) = sys!(SYS_write, write_end, &data, data.len()) {
        total += count;
    }
    fails!(EAGAIN: SYS_write, write_end, &data, 1);
    assert_eq!(total, ok!(SYS_fcntl, write_end, F_GETPIPE_SZ));
    assert_eq!(ok!(SYS_read, read_end, &mut [0_u8; 4096], 4096), 4096);
    assert_eq!(ok!(SYS_write, write_end, &data, 4096), 4096);
}

fn small_writes_are_atomic() {
    let (read_end, write_end) = pipe(0);
    let children: Vec<Child> = (0..4_u8)
        .map(|number| {
            child(move || {
                let block = [number; 1000];
                for _ in 0..60 {
                    assert_eq!(ok!(SYS_write, write_end, &block, 1000), 1000);
                }
            })
        })
        .collect();
    ok!(SYS_close, write_end);
    let everything = read_all(read_end);
    assert_eq!(everything.len(), 240_000);
    assert!(everything.chunks(1000).all(|block| block.iter().all(|byte| *byte == block[0])));
    for child in children {
        child.success();
    }
}

fn nonblocking_small_write_is_all_or_nothing() {
    let (read_end, write_end) = pipe(O_NONBLOCK);
    let capacity = ok!(SYS_fcntl, write_end, F_GETPIPE_SZ);
    let filling = vec![0_u8; capacity - 100];
    assert_eq!(ok!(SYS_write, write_end, &filling[..], filling.len()), filling.len());
    fails!(EAGAIN: SYS_write, write_end, &[1_u8; 4096], 4096);
    assert_eq!(ok!(SYS_write, write_end, &[1_u8; 50], 50), 50);
    // More than PIPE_BUF may be cut.
    let large = vec![2_u8; 100_000];
    let written = sys!(SYS_write, write_end, &large[..], large.len());
    assert!(written.is_err() || written.is_ok_and(|count| count < large.len()));
    ok!(SYS_close, read_end);
}

fn large_write_blocks_until_read() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_close, read_end);
        let data: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        assert_eq!(ok!(SYS_write, write_end, &data[..], data.len()), data.len());
    });
    ok!(SYS_close, write_end);
    let received = read_all(read_end);
    assert_eq!(received.len(), 300_000);
    assert!(received.iter().enumerate().all(|(index, byte)| *byte == index as u8));
    child.success();
}

fn capacity_can_be_changed() {
    let (read_end, write_end) = pipe(O_NONBLOCK);
    assert_eq!(ok!(SYS_fcntl, read_end, F_GETPIPE_SZ), 65536);
    assert_eq!(ok!(SYS_fcntl, write_end, F_SETPIPE_SZ, 5000), 8192);
    assert_eq!(ok!(SYS_fcntl, read_end, F_SETPIPE_SZ, 1), 4096);
    ok!(SYS_write, write_end, &[0_u8; 4096], 4096);
    assert_eq!(ok!(SYS_fcntl, read_end, F_SETPIPE_SZ, 8192), 8192);
    ok!(SYS_write, write_end, &[0_u8; 4096], 4096);
    fails!(EBUSY: SYS_fcntl, read_end, F_SETPIPE_SZ, 4096);
    fails!(EINVAL: SYS_fcntl, read_end, F_SETPIPE_SZ, -1);
    fails!(EBADF: SYS_fcntl, 0, F_GETPIPE_SZ);
}

fn bytes_waiting_are_counted() {
    let (read_end, write_end) = pipe(0);
    ok!(SYS_write, write_end, b"12345", 5);
    let mut waiting = 0_i32;
    ok!(SYS_ioctl, read_end, FIONREAD, &mut waiting);
    assert_eq!(waiting, 5);
    fails!(ENOTTY: SYS_ioctl, read_end, libc::TCGETS, &mut [0_u8; 64]);
}

fn blocked_reader_wakes_for_each_writer() {
    let (read_end, write_end) = pipe(0);
    let (back_read, back_write) = pipe(0);
    let child = child(|| {
        let mut byte = [0_u8];
        for _ in 0..100 {
            ok!(SYS_read, read_end, &mut byte, 1);
            ok!(SYS_write, back_write, &byte, 1);
        }
    });
    for number in 0..100_u8 {
        ok!(SYS_write, write_end, &[number], 1);
        let mut byte = [0_u8];
        ok!(SYS_read, back_read, &mut byte, 1);
        assert_eq!(byte, [number]);
    }
    child.success();
}

fn pipe_through_many_processes() {
    let (first_read, first_write) = pipe(0);
    let mut previous = first_read;
    let mut children = Vec::new();
    for _ in 0..8 {
        let (read_end, write_end) = pipe(0);
        children.push(child(|| {
            ok!(SYS_close, first_write);
            ok!(SYS_close, read_end);
            let data: Vec<u8> = read_all(previous).iter().map(|byte| byte + 1).collect();
            ok!(SYS_write, write_end, &data[..], data.len());
        }));
        ok!(SYS_close, write_end);
        ok!(SYS_close, previous);
        previous = read_end;
    }
    ok!(SYS_write, first_write, b"aaaa", 4);
    ok!(SYS_close, first_write);
    assert_eq!(read_all(previous), b"iiii");
    for child in children {
        child.success();
    }
}

fn pipe_ends_have_modes() {
    let (read_end, write_end) = pipe(0);
    fails!(EBADF: SYS_write, read_end, b"x", 1);
    fails!(EBADF: SYS_read, write_end, &mut [0_u8; 1], 1);
    let mut status = [0_u64; 18];
    ok!(SYS_fstat, read_end, &mut status);
    assert_eq!(status[3] as u32 & libc::S_IFMT, libc::S_IFIFO);
}

fn make_fifo() {
    ok!(SYS_mknod, c"fifo", libc::S_IFIFO | 0o600, 0);
}

fn fifo_connects_processes() {
    make_fifo();
    let child = child(|| {
        // Blocks until a reader comes.
        let fd = ok!(SYS_open, c"fifo", O_WRONLY);
        ok!(SYS_write, fd, b"through a name", 14);
    });
    let fd = ok!(SYS_open, c"fifo", O_RDONLY) as i32;
    assert_eq!(read_all(fd), b"through a name");
    child.success();
}

fn fifo_partner_may_leave_at_once() {
    // Whichever side comes first, and however soon the writer closes after the reader has let it in: both opens return.
    make_fifo();
    for _ in 0..60 {
        let child = child(|| {
            ok!(SYS_open, c"fifo", O_WRONLY);
        });
        let fd = ok!(SYS_open, c"fifo", O_RDONLY) as i32;
        assert_eq!(read_all(fd), b"");
        ok!(SYS_close, fd);
        child.success();
    }
}

fn fifo_nonblocking_open() {
    make_fifo();
    fails!(ENXIO: SYS_open, c"fifo", O_WRONLY | O_NONBLOCK);
    let reader = ok!(SYS_open, c"fifo", O_RDONLY | O_NONBLOCK);
    assert_eq!(ok!(SYS_read, reader, &mut [0_u8; 1], 1), 0, "no writer: end of file");
    let writer = ok!(SYS_open, c"fifo", O_WRONLY | O_NONBLOCK);
    fails!(EAGAIN: SYS_read, reader, &mut [0_u8; 1], 1);
    ok!(SYS_write, writer, b"x", 1);
    assert_eq!(ok!(SYS_read, reader, &mut [0_u8; 1], 1), 1);
}

fn fifo_for_reading_and_writing() {
    make_fifo();
    let both = ok!(SYS_open, c"fifo", O_RDWR);
    ok!(SYS_write, both, b"ab", 2);
    assert_eq!(ok!(SYS_read, both, &mut [0_u8; 8], 8), 2);
    fails!(ESPIPE: SYS_lseek, both, 0, 0);
}

fn proc_reopens_a_pipe() {
    let (read_end, write_end) = pipe(0);
    let path = std::ffi::CString::new(format!("/proc/self/fd/{write_end}")).unwrap();
    let another = ok!(SYS_open, path.as_c_str(), O_WRONLY);
    ok!(SYS_close, write_end);
    ok!(SYS_write, another, b"x", 1);
    ok!(SYS_close, another);
    assert_eq!(read_all(read_end), b"x");
}

fn proc_reopens_a_pipe_without_writers() {
    let (read_end, write_end) = pipe(0);
    ok!(SYS_write, write_end, b"x", 1);
    ok!(SYS_close, write_end);
    // Unlike a FIFO, a pipe without a name never waits for a partner.
    let path = std::ffi::CString::new(format!("/proc/self/fd/{read_end}")).unwrap();
    let another = ok!(SYS_open, path.as_c_str(), O_RDONLY) as i32;
    ok!(SYS_close, read_end);
    assert_eq!(read_all(another), b"x");
}

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
