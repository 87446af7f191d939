//! Pipes and FIFOs.

use libc::{
    F_GETPIPE_SZ, F_SETPIPE_SZ, FIONREAD, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY,
    SIGPIPE,
};

use super::support::{
    Child, Status, caught, child, default_action, ignore, nap, pipe, read_all, record,
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
