//! When signals that say that a file is ready are sent, and what their settings are beside each other (`O_ASYNC`; fcntl(2)).

use libc::{F_GETFL, F_GETOWN, F_SETFL, F_SETOWN, O_ASYNC, SIGIO};

use super::support::{block, child, pipe, record, set_of};
use crate::{fails, ok, sys};

super::area!("notifications":
    a_writer_that_sleeps_has_told,
    a_sender_that_sleeps_has_told,
    a_writer_has_told_when_it_returns,
    owner_and_signal_are_set_apart,
    no_change_is_no_error,
    master_tells_the_caller,
);

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_GETOWN_EX: i32 = 16;
const F_OWNER_PID: i32 = 1;
const REAL_TIME: i32 = 40;
const LARGE: usize = 1 << 20;

/// Has `fd` tell the calling process.
fn watch(fd: i32) {
    ok!(SYS_fcntl, fd, F_SETOWN, ok!(SYS_getpid));
    let flags = ok!(SYS_fcntl, fd, F_GETFL) as i32;
    ok!(SYS_fcntl, fd, F_SETFL, flags | O_ASYNC);
}

/// Takes a blocked `signal` that is pending, or comes within `seconds`. Says whether there was one.
fn take(signal: i32, seconds: i64) -> bool {
    sys!(SYS_rt_sigtimedwait, &set_of(&[signal]), 0, &[seconds, 0], 8).is_ok()
}

/// A process that sleeps until SIGIO says that there is input, and a writer with more to write than there is room for.
fn wait_for_a_large_write(reader: i32, writer: i32) {
    block(&[SIGIO]);
    watch(reader);
    let writer = child(|| {
        let bytes = vec![7_u8; LARGE];
        assert_eq!(ok!(SYS_write, writer, &bytes[..], LARGE), LARGE);
    });
    assert!(take(SIGIO, 60), "the writer sleeps, and nobody was told");
    let mut buffer = vec![0_u8; 65536];
    let mut read = 0;
    while read < LARGE {
        read += ok!(SYS_read, reader, &mut buffer[..], buffer.len());
    }
    writer.success();
}

fn a_writer_that_sleeps_has_told() {
    let (reader, writer) = pipe(0);
    wait_for_a_large_write(reader, writer);
}

fn a_sender_that_sleeps_has_told() {
    let mut pair = [0_i32; 2];
    ok!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut pair);
    wait_for_a_large_write(pair[0], pair[1]);
}

/// Each looks at its own signals alone; what the others tell at the same time must make no difference.
fn a_writer_has_told_when_it_returns() {
    let children: Vec<_> = (0..4)
        .map(|_| {
            child(|| {
                let (reader, writer) = pipe(0);
                block(&[SIGIO]);
                watch(reader);
                for round in 0..1000 {
                    assert_eq!(ok!(SYS_write, writer, b"x", 1), 1);
                    let mut pending = 0_u64;
                    ok!(SYS_rt_sigpending, &mut pending, 8);
                    assert_ne!(pending & set_of(&[SIGIO]), 0, "round {round}");
                    assert!(take(SIGIO, 0));
                    assert_eq!(ok!(SYS_read, reader, &mut [0_u8; 4], 4), 1);
                }
            })
        })
        .collect();
    children.into_iter().for_each(|child| child.success());
}

/// One thread changes the signal while another changes the owner: both changes stand.
fn owner_and_signal_are_set_apart() {
    let (reader, _writer) = pipe(0);
    let signals = std::thread::spawn(move || {
        for round in 0..2000 {
            let signal = REAL_TIME + round % 2;
            ok!(SYS_fcntl, reader, F_SETSIG, signal);
            assert_eq!(ok!(SYS_fcntl, reader, F_GETSIG) as i32, signal, "round {round}");
        }
    });
    let pid = ok!(SYS_getpid) as i32;
    for round in 0..2000 {
        let owner = if round % 2 == 0 { pid } else { 0 };
        ok!(SYS_fcntl, reader, F_SETOWN, owner);
        assert_eq!(ok!(SYS_fcntl, reader, F_GETOWN) as i32, owner, "round {round}");
    }
    signals.join().unwrap();
}

fn no_change_is_no_error() {
    let file = ok!(SYS_open, c"file", libc::O_RDWR | libc::O_CREAT, 0o600);
    ok!(SYS_ioctl, file, libc::FIOASYNC, &0_i32);
    fails!(ENOTTY: SYS_ioctl, file, libc::FIOASYNC, &1_i32);
    ok!(SYS_fcntl, file, F_SETFL, O_ASYNC);
    assert_eq!(ok!(SYS_fcntl, file, F_GETFL) as i32 & O_ASYNC, 0, "it has nothing to tell");
    let (reader, _writer) = pipe(0);
    for value in [0_i32, 1, 1, 0, 0] {
        ok!(SYS_ioctl, reader, libc::FIOASYNC, &value);
        let is_on = ok!(SYS_fcntl, reader, F_GETFL) as i32 & O_ASYNC != 0;
        assert_eq!(is_on, value != 0);
    }
}

/// A terminal's side has an owner from the start of `O_ASYNC` on: no group is in the master's foreground, so the caller.
fn master_tells_the_caller() {
    let master = ok!(SYS_open, c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY) as i32;
    let mut number = 0_u32;
    ok!(SYS_ioctl, master, libc::TIOCGPTN, &mut number);
    ok!(SYS_ioctl, master, libc::TIOCSPTLCK, &0_i32);
    let path = std::ffi::CString::new(format!("/dev/pts/{number}")).unwrap();
    let slave = ok!(SYS_open, path.as_c_str(), libc::O_RDWR | libc::O_NOCTTY) as i32;
    block(&[SIGIO]);
    record(SIGIO, 0);
    let flags = ok!(SYS_fcntl, master, F_GETFL) as i32;
    ok!(SYS_fcntl, master, F_SETFL, flags | O_ASYNC);
    let mut owner = [-1_i32; 2];
    ok!(SYS_fcntl, master, F_GETOWN_EX, &mut owner);
    assert_eq!(owner, [F_OWNER_PID, ok!(SYS_getpid) as i32]);
    ok!(SYS_write, slave, b"x", 1);
    assert!(take(SIGIO, 60));
}
