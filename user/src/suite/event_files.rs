//! Files that are events: eventfd, timerfd, pidfd.

use std::time::{Duration, Instant};

use libc::{EFD_NONBLOCK, EFD_SEMAPHORE, POLLIN, POLLOUT, TFD_NONBLOCK, TFD_TIMER_ABSTIME};

use super::events::poll_one;
use super::support::{child, nap, pipe, read_all};
use crate::{fails, ok, sys};

super::area!("event_files":
    eventfd_adds_and_resets,
    eventfd_counts_down,
    eventfd_blocks_and_wakes,
    eventfd_limits,
    timerfd_expires,
    timerfd_repeats,
    timerfd_absolute,
    timerfd_settings,
    wait_for_pidfd,
);

#[track_caller]
fn add(fd: usize, value: u64) {
    assert_eq!(ok!(SYS_write, fd, &value, 8), 8);
}

#[track_caller]
fn take(fd: usize) -> u64 {
    let mut value = 0_u64;
    assert_eq!(ok!(SYS_read, fd, &mut value, 8), 8);
    value
}

fn eventfd_adds_and_resets() {
    let fd = ok!(SYS_eventfd2, 3, EFD_NONBLOCK);
    add(fd, 4);
    assert_eq!(poll_one(fd as i32, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
    assert_eq!(take(fd), 7);
    fails!(EAGAIN: SYS_read, fd, &mut 0_u64, 8);
    fails!(EINVAL: SYS_read, fd, &mut 0_u32, 4);
    fails!(EINVAL: SYS_eventfd2, 0, 0x40);
}

fn eventfd_counts_down() {
    let fd = ok!(SYS_eventfd2, 2, EFD_NONBLOCK | EFD_SEMAPHORE);
    assert_eq!((take(fd), take(fd)), (1, 1));
    fails!(EAGAIN: SYS_read, fd, &mut 0_u64, 8);
}

fn eventfd_blocks_and_wakes() {
    let fd = ok!(SYS_eventfd2, 0, 0);
    let child = child(|| {
        nap(10);
        add(fd, 9);
    });
    assert_eq!(take(fd), 9);
    child.success();
}

fn eventfd_limits() {
    let fd = ok!(SYS_eventfd2, 0, EFD_NONBLOCK);
    fails!(EINVAL: SYS_write, fd, &u64::MAX, 8);
    add(fd, u64::MAX - 1);
    fails!(EAGAIN: SYS_write, fd, &1_u64, 8);
    assert_eq!(poll_one(fd as i32, POLLOUT, 0), 0);
    assert_eq!(take(fd), u64::MAX - 1);
}

#[track_caller]
fn arm(fd: usize, flags: i32, interval: [i64; 2], value: [i64; 2]) {
    ok!(SYS_timerfd_settime, fd, flags, &[interval, value], 0);
}

fn timerfd_expires() {
    let fd = ok!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0);
    arm(fd, 0, [0, 0], [1_000_000, 0]);
    assert_eq!(poll_one(fd as i32, POLLIN, 0), 0, "a time far ahead has not come");
    let start = Instant::now();
    arm(fd, 0, [0, 0], [0, 15_000_000]);
    assert_eq!(take(fd), 1);
    assert!(start.elapsed() >= Duration::from_millis(15));
}

fn timerfd_repeats() {
    let fd = ok!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, TFD_NONBLOCK);
    arm(fd, 0, [0, 2_000_000], [0, 1]);
    nap(20);
    assert_eq!(poll_one(fd as i32, POLLIN, -1), POLLIN);
    assert!(take(fd) >= 5, "expirations that nobody read are counted");
    arm(fd, 0, [0, 0], [0, 0]);
    let _ = sys!(SYS_read, fd, &mut 0_u64, 8);
    nap(5);
    fails!(EAGAIN: SYS_read, fd, &mut 0_u64, 8);
}

fn timerfd_absolute() {
    let fd = ok!(SYS_timerfd_create, libc::CLOCK_REALTIME, 0);
    // A time that has passed.
    arm(fd, TFD_TIMER_ABSTIME, [0, 0], [1, 0]);
    assert_eq!(take(fd), 1);
}

fn timerfd_settings() {
    let fd = ok!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, TFD_NONBLOCK);
    arm(fd, 0, [5, 0], [100, 0]);
    let mut now = [[0_i64; 2]; 2];
    ok!(SYS_timerfd_gettime, fd, &mut now);
    assert_eq!(now[0], [5, 0]);
    assert!((1..=100).contains(&now[1][0]));
    fails!(EINVAL: SYS_timerfd_settime, fd, 0, &[[0_i64, 0], [0, 1_000_000_000]], 0);
    fails!(EINVAL: SYS_timerfd_create, 99, 0);
    fails!(EINVAL: SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0x40);
    fails!(EINVAL: SYS_timerfd_gettime, 0, &mut now);
}

fn wait_for_pidfd() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_close, write_end);
        read_all(read_end);
    });
    let fd = ok!(SYS_pidfd_open, child.pid(), 0);
    assert_eq!(poll_one(fd as i32, POLLIN, 0), 0);
    // The child lives until the pipe ends.
    ok!(SYS_close, write_end);
    assert_eq!(poll_one(fd as i32, POLLIN, -1) & POLLIN, POLLIN);
    child.success();
    fails!(ESRCH: SYS_pidfd_send_signal, fd, 0, 0, 0);
    fails!(EINVAL: SYS_pidfd_open, -1, 0);
    fails!(ESRCH: SYS_pidfd_open, 0x3fff_ffff, 0);
}
