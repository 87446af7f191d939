//! Locks on files: flock and the record locks of fcntl.

use libc::{F_GETLK, F_SETLK, F_SETLKW, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_RDONLY, SEEK_SET};

use super::files::{file_with, open};
use super::support::{child, in_child, nap, pipe, until_sleeping};
use crate::{fails, ok};

super::area!("file_locks":
    flock_between_descriptions,
    record_locks,
    record_locks_die_with_process,
    record_lock_deadlock,
);

fn flock_between_descriptions() {
    let first = file_with("");
    let second = open(c"file", O_RDONLY);
    ok!(SYS_flock, first, LOCK_SH);
    ok!(SYS_flock, second, LOCK_SH | LOCK_NB);
    fails!(EAGAIN: SYS_flock, first, LOCK_EX | LOCK_NB);
    ok!(SYS_flock, second, LOCK_UN);
    ok!(SYS_flock, first, LOCK_EX | LOCK_NB);
    fails!(EAGAIN: SYS_flock, second, LOCK_SH | LOCK_NB);
    // The lock belongs to the description: closing all its descriptors frees it.
    let copy = ok!(SYS_dup, first);
    ok!(SYS_close, first);
    fails!(EAGAIN: SYS_flock, second, LOCK_SH | LOCK_NB);
    ok!(SYS_close, copy);
    ok!(SYS_flock, second, LOCK_EX | LOCK_NB);
    fails!(EINVAL: SYS_flock, second, 77);
}

/// `struct flock` for a range from the file's start.
fn range(kind: i32, start: i64, length: i64) -> libc::flock {
    // SAFETY: a plain C struct of integers; zero is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as i16;
    lock.l_whence = SEEK_SET as i16;
    lock.l_start = start;
    lock.l_len = length;
    lock
}

fn record_locks() {
    let fd = file_with("0123456789");
    let parent = ok!(SYS_getpid) as i32;
    ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 2, 4));
    // Never in one's own way.
    ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_RDLCK, 2, 1));
    in_child(|| {
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_RDLCK, 2, 1));
        fails!(EAGAIN: SYS_fcntl, fd, F_SETLK, &range(libc::F_RDLCK, 3, 1));
        fails!(EAGAIN: SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 0, 0));
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 6, 0));
        let mut question = range(libc::F_WRLCK, 0, 0);
        ok!(SYS_fcntl, fd, F_GETLK, &mut question);
        assert_eq!((question.l_pid, question.l_start), (parent, 2));
    });
    ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_UNLCK, 3, 1));
    in_child(|| {
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 3, 1));
        fails!(EAGAIN: SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 4, 1));
    });
    fails!(EINVAL: SYS_fcntl, fd, F_SETLK, &range(9, 0, 0));
    fails!(EBADF: SYS_fcntl, open(c"file", O_RDONLY), F_SETLK, &range(libc::F_WRLCK, 0, 1));
}

fn record_locks_die_with_process() {
    let fd = file_with("");
    let (read_end, write_end) = pipe(0);
    let (seen, tell_seen) = pipe(0);
    let child = child(|| {
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 0, 0));
        ok!(SYS_write, write_end, b"l", 1);
        ok!(SYS_read, seen, &mut [0_u8; 1], 1);
        // Most often the parent waits for the lock by then.
        nap(15);
    });
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    fails!(EAGAIN: SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 0, 0));
    ok!(SYS_write, tell_seen, b"s", 1);
    // Waits for the child's end.
    ok!(SYS_fcntl, fd, F_SETLKW, &range(libc::F_WRLCK, 0, 0));
    child.success();
    // Closing any descriptor of the file drops the process's locks.
    ok!(SYS_close, open(c"file", O_RDONLY));
    in_child(|| {
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 0, 0));
    });
}

fn record_lock_deadlock() {
    let fd = file_with("");
    ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 0, 1));
    let (read_end, write_end) = pipe(0);
    let child = child(|| {
        ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_WRLCK, 1, 1));
        ok!(SYS_write, write_end, b"l", 1);
        // Waits for the parent, which is refused because that would be for ever.
        ok!(SYS_fcntl, fd, F_SETLKW, &range(libc::F_WRLCK, 0, 1));
    });
    ok!(SYS_read, read_end, &mut [0_u8; 1], 1);
    until_sleeping(child.pid());
    fails!(EDEADLK: SYS_fcntl, fd, F_SETLKW, &range(libc::F_WRLCK, 1, 1));
    ok!(SYS_fcntl, fd, F_SETLK, &range(libc::F_UNLCK, 0, 1));
    child.success();
}
