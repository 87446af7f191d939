//! Calls that a signal interrupts: which restart, which fail with EINTR, which report a part.

use libc::{SA_RESTART, SIGUSR1};

use super::support::{
    Child, caught, child, ignore, interrupter, nap, pipe, record, until_sleeping, wait_for,
};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("restarts":
    read_is_interrupted,
    read_restarts,
    partial_write_is_reported,
    poll_never_restarts,
    nanosleep_reports_the_rest,
    open_of_fifo_restarts,
    lock_wait_is_interrupted,
    stop_and_continue_restart_everything,
    ignored_signal_does_not_interrupt,
);

/// A child that sends SIGUSR1 here once this process sleeps, and a moment later does `afterwards`.
fn pesterer(afterwards: impl FnOnce()) -> Child {
    interrupter(SIGUSR1, || {
        nap(20);
        afterwards();
    })
}

fn read_is_interrupted() {
    record(SIGUSR1, 0);
    let (read_end, _write_end) = pipe(0);
    let child = pesterer(|| {});
    fails!(EINTR: SYS_read, read_end, &mut [0_u8; 4], 4);
    child.success();
}

fn read_restarts() {
    record(SIGUSR1, SA_RESTART);
    let (read_end, write_end) = pipe(0);
    let child = pesterer(|| _ = ok!(SYS_write, write_end, b"late", 4));
    let mut buffer = [0_u8; 8];
    assert_eq!(ok!(SYS_read, read_end, &mut buffer, 8), 4);
    assert_eq!((&buffer[..4], caught(SIGUSR1)), (&b"late"[..], 1));
    child.success();
}

fn partial_write_is_reported() {
    record(SIGUSR1, SA_RESTART);
    let (_read_end, write_end) = pipe(0);
    let data = vec![1_u8; 1 << 20];
    let child = pesterer(|| {});
    let written = ok!(SYS_write, write_end, &data[..], data.len());
    assert!(written > 0 && written < data.len(), "{written}");
    child.success();
}

fn poll_never_restarts() {
    record(SIGUSR1, SA_RESTART);
    let child = pesterer(|| {});
    fails!(EINTR: SYS_poll, 0, 0, 60_000);
    child.success();
    let (read_end, _write_end) = pipe(0);
    let child = pesterer(|| {});
    let mut set = [0_u64; 16];
    set[read_end as usize / 64] |= 1 << (read_end % 64);
    fails!(EINTR: SYS_select, read_end + 1, &mut set, 0, 0, 0);
    child.success();
    let epoll = ok!(SYS_epoll_create1, 0);
    let child = pesterer(|| {});
    fails!(EINTR: SYS_epoll_wait, epoll, &mut [0_u8; 12], 1, -1);
    child.success();
}

fn nanosleep_reports_the_rest() {
    record(SIGUSR1, SA_RESTART);
    let child = pesterer(|| {});
    let request = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    let mut rest = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    fails!(EINTR: SYS_nanosleep, &request, &mut rest);
    assert!((1..100).contains(&rest.tv_sec), "{}", rest.tv_sec);
    child.success();
}

fn open_of_fifo_restarts() {
    ok!(SYS_mknod, c"fifo", libc::S_IFIFO | 0o600, 0);
    record(SIGUSR1, SA_RESTART);
    let child = pesterer(|| _ = ok!(SYS_open, c"fifo", libc::O_WRONLY));
    let reader = ok!(SYS_open, c"fifo", libc::O_RDONLY);
    assert_eq!(caught(SIGUSR1), 1);
    ok!(SYS_close, reader);
    child.success();
    record(SIGUSR1, 0);
    let child = pesterer(|| {});
    fails!(EINTR: SYS_open, c"fifo", libc::O_WRONLY);
    child.success();
}

fn lock_wait_is_interrupted() {
    record(SIGUSR1, 0);
    let fd = ok!(SYS_open, c"lock", libc::O_CREAT | libc::O_RDWR, 0o600);
    let (ready_read, ready_write) = pipe(0);
    let holder = child(|| {
        let own = ok!(SYS_open, c"lock", libc::O_RDWR);
        ok!(SYS_flock, own, libc::LOCK_EX);
        ok!(SYS_write, ready_write, b"r", 1);
        nap(100_000);
    });
    ok!(SYS_read, ready_read, &mut [0_u8; 1], 1);
    let child = pesterer(|| {});
    fails!(EINTR: SYS_flock, fd, libc::LOCK_EX);
    child.success();
    holder.finish();
    ok!(SYS_flock, fd, libc::LOCK_EX);
}

fn stop_and_continue_restart_everything() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        let mut buffer = [0_u8; 1];
        assert_eq!(sys!(SYS_read, read_end, &mut buffer, 1), Ok(1));
    });
    until_sleeping(child.pid());
    child.kill(libc::SIGSTOP);
    wait_for(child.pid(), libc::WUNTRACED).unwrap();
    child.kill(libc::SIGCONT);
    wait_for(child.pid(), libc::WCONTINUED).unwrap();
    ok!(SYS_write, write_end, b"x", 1);
    child.success();
}

fn ignored_signal_does_not_interrupt() {
    ignore(SIGUSR1);
    let (read_end, write_end) = pipe(0);
    let child = pesterer(|| _ = ok!(SYS_write, write_end, b"x", 1));
    assert_eq!(sys!(SYS_read, read_end, &mut [0_u8; 1], 1), Ok::<usize, Errno>(1));
    child.success();
}
