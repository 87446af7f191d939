//! poll, select, epoll.

use std::time::{Duration, Instant};

use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN,
    EPOLLONESHOT, EPOLLOUT, EPOLLRDHUP, O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT,
    SIGUSR1, SOCK_STREAM, timespec,
};

use super::support::{block, caught, child, nap, pipe, record, set_of, write_text};
use crate::{fails, ok, sys};

super::area!("events":
    poll_reports_readiness,
    poll_reports_hangup_and_error,
    poll_ignores_negative_and_names_bad,
    poll_times_out,
    poll_wakes_across_processes,
    poll_on_many_descriptors,
    poll_refuses,
    ppoll_swaps_the_mask,
    select_reports_and_rewrites,
    select_updates_the_rest,
    pselect_swaps_the_mask,
    files_are_always_ready,
    epoll_level_triggered,
    epoll_edge_triggered,
    epoll_one_shot,
    epoll_hangup,
    epoll_modify_and_delete,
    epoll_refuses,
    epoll_nests,
    epoll_is_pollable,
    epoll_forgets_closed_files,
    epoll_shares_fairly,
    epoll_wakes_across_threads,
    epoll_level_triggered_under_wakeups,
    epoll_pwait_swaps_the_mask,
);

/// One entry of poll: descriptor, events asked for; gives what came back, waiting `timeout` milliseconds.
#[track_caller]
pub(super) fn poll_one(fd: i32, events: i16, timeout: i32) -> i16 {
    let mut entry = libc::pollfd { fd, events, revents: 0x55 };
    let count = ok!(SYS_poll, &mut entry, 1, timeout);
    assert_eq!(count, usize::from(entry.revents != 0));
    entry.revents
}

fn poll_reports_readiness() {
    let (read_end, write_end) = pipe(O_NONBLOCK);
    assert_eq!(poll_one(read_end, POLLIN, 0), 0);
    assert_eq!(poll_one(write_end, POLLOUT, 0), POLLOUT);
    ok!(SYS_write, write_end, b"x", 1);
    assert_eq!(poll_one(read_end, POLLIN, -1), POLLIN);
    assert_eq!(poll_one(read_end, 0, 0), 0, "nobody asked");
    while sys!(SYS_write, write_end, &[0_u8; 4096], 4096).is_ok() {}
    assert_eq!(poll_one(write_end, POLLOUT, 0), 0);
}

fn poll_reports_hangup_and_error() {
    let (read_end, write_end) = pipe(0);
    ok!(SYS_write, write_end, b"x", 1);
    ok!(SYS_close, write_end);
    assert_eq!(poll_one(read_end, POLLIN, 0), POLLIN | POLLHUP);
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    assert_eq!(poll_one(read_end, POLLIN, 0), POLLHUP);
    let (read_end, write_end) = pipe(0);
    ok!(SYS_close, read_end);
    assert_eq!(poll_one(write_end, POLLOUT, 0), POLLOUT | POLLERR);
}

fn poll_ignores_negative_and_names_bad() {
    assert_eq!(poll_one(99, POLLIN, -1), POLLNVAL);
    assert_eq!(poll_one(-1, POLLIN, 0), 0);
}

fn poll_times_out() {
    let start = Instant::now();
    assert_eq!(ok!(SYS_poll, 0, 0, 15), 0);
    assert!(start.elapsed() >= Duration::from_millis(15));
    let (read_end, _write_end) = pipe(0);
    let start = Instant::now();
    assert_eq!(poll_one(read_end, POLLIN, 15), 0);
    assert!(start.elapsed() >= Duration::from_millis(15));
}

fn poll_wakes_across_processes() {
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        nap(15);
        ok!(SYS_write, write_end, b"x", 1);
    });
    assert_eq!(poll_one(read_end, POLLIN, -1), POLLIN);
    child.success();
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    let child = self::child(|| nap(15));
    ok!(SYS_close, write_end);
    assert_eq!(poll_one(read_end, POLLIN, -1), POLLHUP, "the last writer exits");
    child.success();
}

fn poll_on_many_descriptors() {
    let pipes: Vec<(i32, i32)> = (0..60).map(|_| pipe(0)).collect();
    let mut entries: Vec<libc::pollfd> =
        pipes.iter().map(|(fd, _)| libc::pollfd { fd: *fd, events: POLLIN, revents: 0 }).collect();
    let child = child(|| {
        nap(10);
        ok!(SYS_write, pipes[41].1, b"x", 1);
    });
    assert_eq!(ok!(SYS_poll, &mut entries[..], 60, -1), 1);
    assert!(entries.iter().enumerate().all(|(index, entry)| (entry.revents != 0) == (index == 41)));
    child.success();
}

fn poll_refuses() {
    fails!(EFAULT: SYS_poll, 8, 1, 0);
    fails!(EINVAL: SYS_poll, 0, 1 << 30, 0);
    let bad = timespec { tv_sec: 0, tv_nsec: -1 };
    fails!(EINVAL: SYS_ppoll, 0, 0, &bad, 0, 8);
    fails!(EINVAL: SYS_ppoll, 0, 0, 0, &0_u64, 4);
}

/// The blocked set of this thread.
fn mask() -> u64 {
    let mut mask = 0_u64;
    ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
    mask
}

/// With SIGUSR1 blocked and pending, `wait` unblocks it for its own duration.
fn wait_takes_pending_signal(wait: impl FnOnce() -> crate::sys::SysResult) {
    record(SIGUSR1, 0);
    block(&[SIGUSR1]);
    ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
    assert_eq!(wait(), Err(crate::sys::Errno::EINTR));
    assert_eq!((caught(SIGUSR1), mask()), (1, set_of(&[SIGUSR1])));
}

fn ppoll_swaps_the_mask() {
    wait_takes_pending_signal(|| sys!(SYS_ppoll, 0, 0, 0, &0_u64, 8));
    let soon = timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    assert_eq!(ok!(SYS_ppoll, 0, 0, &soon, 0, 8), 0);
}

/// A set of descriptors for select.
fn set(fds: &[i32]) -> [u64; 16] {
    let mut set = [0_u64; 16];
    for fd in fds {
        set[*fd as usize / 64] |= 1 << (fd % 64);
    }
    set
}

fn select_reports_and_rewrites() {
    let ((first, first_write), (second, _)) = (pipe(0), pipe(0));
    ok!(SYS_write, first_write, b"x", 1);
    let (mut readable, mut writable) = (set(&[first, second]), set(&[first_write]));
    let count = ok!(SYS_select, 100, &mut readable, &mut writable, 0, 0);
    assert_eq!((count, readable, writable), (2, set(&[first]), set(&[first_write])));
    // Not above 63: Linux does not look beyond the size of the descriptor table.
    let mut wrong = set(&[50]);
    fails!(EBADF: SYS_select, 60, &mut wrong, 0, 0, 0);
    fails!(EINVAL: SYS_select, -1, 0, 0, 0, 0);
    fails!(EFAULT: SYS_select, 10, 8, 0, 0, 0);
    fails!(EINVAL: SYS_select, 0, 0, 0, 0, &[-1_i64, 0]);
}

fn select_updates_the_rest() {
    let (read_end, write_end) = pipe(0);
    let mut limit = [100_i64, 0];
    let child = child(|| {
        nap(10);
        ok!(SYS_write, write_end, b"x", 1);
    });
    assert_eq!(ok!(SYS_select, read_end + 1, &mut set(&[read_end]), 0, 0, &mut limit), 1);
    assert!((1..100).contains(&limit[0]), "{limit:?}");
    child.success();
    limit = [0, 2000];
    assert_eq!(ok!(SYS_select, 0, 0, 0, 0, &mut limit), 0);
    assert_eq!(limit, [0, 0]);
}

fn pselect_swaps_the_mask() {
    let empty = 0_u64;
    let argument = [(&raw const empty).expose_provenance(), 8];
    wait_takes_pending_signal(|| sys!(SYS_pselect6, 0, 0, 0, 0, 0, &argument));
}

fn files_are_always_ready() {
    write_text("file", "");
    let fd = ok!(SYS_open, c"file", libc::O_RDWR) as i32;
    assert_eq!(poll_one(fd, POLLIN | POLLOUT, -1), POLLIN | POLLOUT);
    let epoll = ok!(SYS_epoll_create1, 0);
    fails!(EPERM: SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event(EPOLLIN, 0));
}

/// `struct epoll_event`, packed on x86-64.
type Event = [u32; 3];

fn event(events: i32, data: u32) -> Event {
    [events as u32, data, 0]
}

struct Epoll(usize);

impl Epoll {
    #[track_caller]
    fn new() -> Self {
        Self(ok!(SYS_epoll_create1, libc::EPOLL_CLOEXEC))
    }

    #[track_caller]
    fn control(&self, operation: i32, fd: i32, events: i32, data: u32) {
        ok!(SYS_epoll_ctl, self.0, operation, fd, &event(events, data));
    }

    /// What is ready within so many milliseconds: events and data, sorted by data.
    #[track_caller]
    fn wait(&self, timeout: i32) -> Vec<(i32, u32)> {
        let mut events = [[0_u32; 3]; 8];
        let count = ok!(SYS_epoll_wait, self.0, &mut events, 8, timeout);
        let mut ready: Vec<(i32, u32)> =
            events[..count].iter().map(|event| (event[0] as i32, event[1])).collect();
        ready.sort_by_key(|entry| entry.1);
        ready
    }
}

fn epoll_level_triggered() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 7);
    epoll.control(EPOLL_CTL_ADD, write_end, EPOLLOUT, 8);
    assert_eq!(epoll.wait(0), [(EPOLLOUT, 8)]);
    ok!(SYS_write, write_end, b"xy", 2);
    for _ in 0..3 {
        assert_eq!(epoll.wait(-1), [(EPOLLIN, 7), (EPOLLOUT, 8)]);
    }
    ok!(SYS_read, read_end, &mut [0_u8; 2], 2);
    assert_eq!(epoll.wait(0), [(EPOLLOUT, 8)]);
}

fn epoll_edge_triggered() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN | EPOLLET, 1);
    ok!(SYS_write, write_end, b"x", 1);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 1)]);
    assert_eq!(epoll.wait(0), []);
    ok!(SYS_write, write_end, b"y", 1);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 1)], "new data is a new edge");
    assert_eq!(epoll.wait(0), []);
    // MOD looks again.
    epoll.control(EPOLL_CTL_MOD, read_end, EPOLLIN | EPOLLET, 2);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 2)]);
}

fn epoll_one_shot() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN | EPOLLONESHOT, 1);
    ok!(SYS_write, write_end, b"x", 1);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 1)]);
    ok!(SYS_write, write_end, b"x", 1);
    assert_eq!(epoll.wait(0), []);
    epoll.control(EPOLL_CTL_MOD, read_end, EPOLLIN | EPOLLONESHOT, 1);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 1)]);
}

#[track_caller]
fn socket_pair() -> (i32, i32) {
    let mut ends = [0_i32; 2];
    ok!(SYS_socketpair, libc::AF_UNIX, SOCK_STREAM, 0, &mut ends);
    (ends[0], ends[1])
}

fn epoll_hangup() {
    let ((left, right), epoll) = (socket_pair(), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, right, EPOLLIN | EPOLLRDHUP, 1);
    ok!(SYS_shutdown, left, libc::SHUT_WR);
    assert_eq!(epoll.wait(0), [(EPOLLIN | EPOLLRDHUP, 1)]);
    ok!(SYS_close, left);
    assert_eq!(epoll.wait(0), [(EPOLLIN | EPOLLRDHUP | EPOLLHUP, 1)]);
    // Hang-up and error need not be asked for.
    let (read_end, write_end) = pipe(0);
    epoll.control(EPOLL_CTL_DEL, right, 0, 0);
    epoll.control(EPOLL_CTL_ADD, write_end, 0, 2);
    assert_eq!(epoll.wait(0), []);
    ok!(SYS_close, read_end);
    assert_eq!(epoll.wait(0), [(EPOLLERR, 2)]);
}

fn epoll_modify_and_delete() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, write_end, EPOLLIN, 1);
    assert_eq!(epoll.wait(0), []);
    epoll.control(EPOLL_CTL_MOD, write_end, EPOLLOUT, 5);
    assert_eq!(epoll.wait(0), [(EPOLLOUT, 5)]);
    ok!(SYS_epoll_ctl, epoll.0, EPOLL_CTL_DEL, write_end, 0);
    assert_eq!(epoll.wait(0), []);
    fails!(ENOENT: SYS_epoll_ctl, epoll.0, EPOLL_CTL_MOD, write_end, &event(0, 0));
    fails!(ENOENT: SYS_epoll_ctl, epoll.0, EPOLL_CTL_DEL, read_end, 0);
}

fn epoll_refuses() {
    let ((read_end, _), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 0);
    fails!(EEXIST: SYS_epoll_ctl, epoll.0, EPOLL_CTL_ADD, read_end, &event(EPOLLIN, 0));
    fails!(EBADF: SYS_epoll_ctl, epoll.0, EPOLL_CTL_ADD, 99, &event(EPOLLIN, 0));
    fails!(EINVAL: SYS_epoll_ctl, epoll.0, EPOLL_CTL_ADD, epoll.0, &event(EPOLLIN, 0));
    fails!(EINVAL: SYS_epoll_ctl, read_end, EPOLL_CTL_ADD, read_end, &event(EPOLLIN, 0));
    fails!(EINVAL: SYS_epoll_ctl, epoll.0, 9, read_end, &event(EPOLLIN, 0));
    fails!(EFAULT: SYS_epoll_ctl, epoll.0, EPOLL_CTL_MOD, read_end, 8);
    fails!(EINVAL: SYS_epoll_wait, epoll.0, &mut [0_u32; 3], 0, 0);
    fails!(EINVAL: SYS_epoll_wait, read_end, &mut [0_u32; 3], 1, 0);
    fails!(EINVAL: SYS_epoll_create, 0);
    fails!(EINVAL: SYS_epoll_create1, 1);
}

fn epoll_nests() {
    let ((read_end, write_end), inner, outer) = (pipe(0), Epoll::new(), Epoll::new());
    inner.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 1);
    outer.control(EPOLL_CTL_ADD, inner.0 as i32, EPOLLIN, 2);
    assert_eq!(outer.wait(0), []);
    ok!(SYS_write, write_end, b"x", 1);
    assert_eq!(outer.wait(-1), [(EPOLLIN, 2)]);
    fails!(ELOOP: SYS_epoll_ctl, inner.0, EPOLL_CTL_ADD, outer.0, &event(EPOLLIN, 0));
}

fn epoll_is_pollable() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 1);
    assert_eq!(poll_one(epoll.0 as i32, POLLIN, 0), 0);
    let child = child(|| {
        nap(10);
        ok!(SYS_write, write_end, b"x", 1);
    });
    assert_eq!(poll_one(epoll.0 as i32, POLLIN, -1), POLLIN);
    child.success();
}

fn epoll_forgets_closed_files() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 1);
    let copy = ok!(SYS_dup, read_end);
    ok!(SYS_write, write_end, b"x", 1);
    ok!(SYS_close, read_end);
    assert_eq!(epoll.wait(0), [(EPOLLIN, 1)], "the description is still open");
    ok!(SYS_close, copy);
    assert_eq!(epoll.wait(0), []);
}

fn epoll_shares_fairly() {
    // With room for one event, both ready files get their turn.
    let (pipes, epoll) = ([pipe(0), pipe(0)], Epoll::new());
    for (index, (read_end, write_end)) in pipes.iter().enumerate() {
        epoll.control(EPOLL_CTL_ADD, *read_end, EPOLLIN, index as u32);
        ok!(SYS_write, *write_end, b"x", 1);
    }
    let mut seen = [0; 2];
    for _ in 0..6 {
        let mut one = [0_u32; 3];
        assert_eq!(ok!(SYS_epoll_wait, epoll.0, &mut one, 1, 0), 1);
        seen[one[1] as usize] += 1;
    }
    assert_eq!(seen, [3, 3]);
}

/// Wake-ups that arrive while another thread collects events of the same level-triggered file.
fn epoll_level_triggered_under_wakeups() {
    const BYTES: usize = 4000;
    let ((read_end, write_end), epoll) = (pipe(O_NONBLOCK), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN, 7);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..BYTES / 2 {
                    ok!(SYS_write, write_end, b"x", 1);
                }
            });
        }
        let mut seen = 0;
        while seen < BYTES {
            assert_eq!(epoll.wait(-1), [(EPOLLIN, 7)]);
            seen += ok!(SYS_read, read_end, &mut [0_u8; 3], 3) as usize;
        }
    });
    assert_eq!(epoll.wait(0), []);
}

fn epoll_wakes_across_threads() {
    let ((read_end, write_end), epoll) = (pipe(0), Epoll::new());
    epoll.control(EPOLL_CTL_ADD, read_end, EPOLLIN | EPOLLONESHOT, 1);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| epoll.wait(60_000));
        nap(10);
        ok!(SYS_write, write_end, b"x", 1);
        assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 1)]);
    });
    // Something added while another thread waits counts too.
    let (other_read, other_write) = pipe(0);
    ok!(SYS_write, other_write, b"x", 1);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| epoll.wait(60_000));
        nap(10);
        epoll.control(EPOLL_CTL_ADD, other_read, EPOLLIN, 2);
        assert_eq!(waiter.join().unwrap(), [(EPOLLIN, 2)]);
    });
}

fn epoll_pwait_swaps_the_mask() {
    let epoll = Epoll::new();
    wait_takes_pending_signal(|| sys!(SYS_epoll_pwait, epoll.0, &mut [0_u32; 3], 1, -1, &0_u64, 8));
    let limit = timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    assert_eq!(ok!(SYS_epoll_pwait2, epoll.0, &mut [0_u32; 3], 1, &limit, 0, 8), 0);
}
