//! The restart class of each system call that a signal can interrupt, seen from outside.
//!
//! `kernel/src/syscall/restarts.rs` has the table of classes and names the cases here. Each case lets a child wait in a call three
//! times: it is stopped and continued; a handler with `SA_RESTART` runs; a handler without it runs. Either the child
//! goes back to sleep each time, or the call fails with `EINTR`.

use std::ffi::CStr;

use libc::{
    AF_UNIX, O_NONBLOCK, O_RDWR, SA_RESTART, SIGCONT, SIGSTOP, SIGUSR1, SIGUSR2, SOCK_STREAM,
};

use super::support::{
    Child, Mapping, Status, child, exit_now, install, nap, pipe, set_of, state_of, until, wait_for,
};
use super::tty;
use crate::sys::{Errno, SysResult};
use crate::{ok, sys};

super::area!("interruptions":
    read_of_pipes,
    read_of_a_terminal,
    read_of_event_files,
    write_to_pipes,
    write_to_event_counters,
    splice_tee_and_sendfile,
    open_of_fifos,
    accept_and_connect,
    receive_without_a_time_out,
    receive_with_a_time_out,
    send_without_a_time_out,
    send_with_a_time_out,
    wait_for_children,
    file_locks,
    futex_without_a_time_out,
    futex_with_a_time_out,
    futex_vectors,
    futex_locks,
    waits_for_handlers,
    select_and_ppoll,
    poll_of_descriptors,
    epoll_of_descriptors,
    sleep_until_a_time,
    sleep_for_a_span,
    signals_of_a_set,
);

/// What becomes of the call: after a stop, after a handler with `SA_RESTART`, after one without.
type Class = [Fate; 3];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Again,
    Fails,
}

/// `ERESTARTSYS`.
const RESTARTS: Class = [Fate::Again, Fate::Again, Fate::Fails];
/// `ERESTARTNOINTR`.
const ALWAYS: Class = [Fate::Again; 3];
/// `ERESTARTNOHAND` and `ERESTART_RESTARTBLOCK`.
const WITHOUT_HANDLER: Class = [Fate::Again, Fate::Fails, Fate::Fails];
/// `EINTR` at once.
const NEVER: Class = [Fate::Fails; 3];

/// A hundred seconds.
const SPAN: libc::timespec = libc::timespec { tv_sec: 100, tv_nsec: 0 };

/// Where the handler writes when it ran.
const HANDLED: i32 = 200;

extern "C" fn handler(_signal: i32) {
    let _written = sys!(SYS_write, HANDLED, b"h", 1);
}

/// Whether process `pid` sleeps, or has ended.
fn rests(pid: i32) -> bool {
    matches!(state_of(pid), 'S' | 'Z')
}

/// Checks that `call`, which waits for something that never comes, is of this class.
#[track_caller]
fn check(name: &str, class: Class, call: impl Fn() -> SysResult) {
    for (way, fate) in class.into_iter().enumerate() {
        let (ready, tell) = pipe(0);
        let waiting = child(|| {
            ok!(SYS_dup2, tell, HANDLED);
            install(SIGUSR1, handler as *const () as usize, if way == 1 { SA_RESTART } else { 0 });
            ok!(SYS_write, tell, b"r", 1);
            match call() {
                Ok(_) => exit_now(255),
                Err(error) => exit_now(error as i32),
            }
        });
        ok!(SYS_read, ready, &mut [0_u8; 1], 1);
        until("the call waits", || rests(waiting.pid()));
        if way == 0 {
            waiting.kill(SIGSTOP);
            wait_for(waiting.pid(), libc::WUNTRACED).unwrap();
            waiting.kill(SIGCONT);
        } else {
            waiting.kill(SIGUSR1);
            ok!(SYS_read, ready, &mut [0_u8; 1], 1);
        }
        until("the call waits or fails", || rests(waiting.pid()));
        assert_eq!(fate_of(waiting), fate, "{name}, way {way}");
        ok!(SYS_close, ready);
        ok!(SYS_close, tell);
    }
}

/// Whether the child's call still waits.
fn fate_of(waiting: Child) -> Fate {
    nap(1);
    if state_of(waiting.pid()) == 'Z' {
        assert_eq!(waiting.status(), Status::Exited(Errno::EINTR as i32));
        Fate::Fails
    } else {
        waiting.finish();
        Fate::Again
    }
}

/// A connected pair of stream sockets.
fn socket_pair() -> [i32; 2] {
    let mut pair = [0_i32; 2];
    ok!(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, &mut pair);
    pair
}

/// Writes to `fd` until it takes no more.
fn fill(fd: i32) {
    let flags = ok!(SYS_fcntl, fd, libc::F_GETFL);
    ok!(SYS_fcntl, fd, libc::F_SETFL, flags as i32 | O_NONBLOCK);
    for size in [4096, 1] {
        while sys!(SYS_write, fd, &[0_u8; 4096], size).is_ok() {}
    }
    ok!(SYS_fcntl, fd, libc::F_SETFL, flags);
}

fn vector(buffer: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

/// A message header of one vector.
fn message(vector: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a zeroed msghdr is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header
}

fn read_of_pipes() {
    let (end, _other) = pipe(0);
    ok!(SYS_mknod, c"fifo", libc::S_IFIFO | 0o600, 0);
    let fifo = ok!(SYS_open, c"fifo", O_RDWR) as i32;
    let [socket, _peer] = socket_pair();
    for fd in [end, fifo, socket] {
        let mut buffer = [0_u8; 4];
        let target = vector(&mut buffer);
        check("read", RESTARTS, || sys!(SYS_read, fd, &[0_u8; 4], 4));
        check("readv", RESTARTS, || sys!(SYS_readv, fd, &target, 1));
    }
    let mut buffer = [0_u8; 4];
    let target = vector(&mut buffer);
    check("preadv2", RESTARTS, || sys!(SYS_preadv2, end, &target, 1, -1, -1, 0));
}

fn read_of_a_terminal() {
    let (master, slave) = tty::terminal();
    check("read of the slave", RESTARTS, || sys!(SYS_read, slave, &[0_u8; 4], 4));
    check("read of the master", RESTARTS, || sys!(SYS_read, master, &[0_u8; 4], 4));
}

fn read_of_event_files() {
    let counter = ok!(SYS_eventfd2, 0, 0);
    let timer = ok!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0);
    let signals = ok!(SYS_signalfd4, -1, &set_of(&[SIGUSR2]), 8, 0);
    check("eventfd", RESTARTS, || sys!(SYS_read, counter, &[0_u64; 1], 8));
    check("timerfd", RESTARTS, || sys!(SYS_read, timer, &[0_u64; 1], 8));
    check("signalfd", RESTARTS, || sys!(SYS_read, signals, &[0_u8; 128], 128));
}

fn write_to_pipes() {
    let (_other, end) = pipe(0);
    let [socket, _peer] = socket_pair();
    for fd in [end, socket] {
        fill(fd);
        let mut buffer = [0_u8; 4];
        let source = vector(&mut buffer);
        check("write", RESTARTS, || sys!(SYS_write, fd, &[0_u8; 4], 4));
        check("writev", RESTARTS, || sys!(SYS_writev, fd, &source, 1));
    }
}

fn write_to_event_counters() {
    let counter = ok!(SYS_eventfd2, 0, 0);
    ok!(SYS_write, counter, &(u64::MAX - 1), 8);
    check("write", RESTARTS, || sys!(SYS_write, counter, &1_u64, 8));
}

fn splice_tee_and_sendfile() {
    let (empty, _other) = pipe(0);
    let (_free_end, free) = pipe(0);
    let (_full_end, full) = pipe(0);
    fill(full);
    let file = ok!(SYS_open, c"file", O_RDWR | libc::O_CREAT, 0o600);
    ok!(SYS_write, file, b"content", 7);
    check("splice", RESTARTS, || sys!(SYS_splice, empty, 0, free, 0, 10, 0));
    check("tee", RESTARTS, || sys!(SYS_tee, empty, free, 10, 0));
    check("splice to a full pipe", RESTARTS, || sys!(SYS_splice, file, &mut 0_u64, full, 0, 7, 0));
    check("sendfile", RESTARTS, || sys!(SYS_sendfile, full, file, &mut 0_u64, 7));
}

fn open_of_fifos() {
    ok!(SYS_mknod, c"fifo", libc::S_IFIFO | 0o600, 0);
    check("open", RESTARTS, || sys!(SYS_open, c"fifo", libc::O_RDONLY));
    check("openat", RESTARTS, || sys!(SYS_openat, libc::AT_FDCWD, c"fifo", libc::O_WRONLY));
    check("creat", RESTARTS, || sys!(SYS_creat, c"fifo", 0o600));
}

/// A socket that listens, with one connection that nobody has accepted if `full`, and the address for more.
fn listener(name: &CStr) -> (usize, libc::sockaddr_un) {
    // SAFETY: a zeroed sockaddr_un is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = AF_UNIX as u16;
    for (to, &from) in address.sun_path.iter_mut().zip(name.to_bytes()) {
        *to = from as i8;
    }
    let listener = ok!(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    ok!(SYS_bind, listener, &address, size_of_val(&address));
    ok!(SYS_listen, listener, 0);
    (listener, address)
}

/// Connects a new socket to `address`, with a time-out for sending if one is given.
fn connect(address: &libc::sockaddr_un, patience: Option<libc::timeval>) -> SysResult {
    let socket = ok!(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    if let Some(patience) = patience {
        ok!(SYS_setsockopt, socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &patience, 16);
    }
    sys!(SYS_connect, socket, address, size_of_val(address))
}

const PATIENCE: libc::timeval = libc::timeval { tv_sec: 100, tv_usec: 0 };

fn accept_and_connect() {
    let (socket, address) = listener(c"listener");
    check("accept", RESTARTS, || sys!(SYS_accept, socket, 0, 0));
    check("accept4", RESTARTS, || sys!(SYS_accept4, socket, 0, 0, 0));
    connect(&address, None).unwrap();
    check("connect", RESTARTS, || connect(&address, None));
    check("connect with a time-out", NEVER, || connect(&address, Some(PATIENCE)));
    ok!(SYS_setsockopt, socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &PATIENCE, 16);
    ok!(SYS_accept, socket, 0, 0);
    check("accept with a time-out", NEVER, || sys!(SYS_accept, socket, 0, 0));
}

fn receive(socket: i32, class: Class) {
    let mut buffer = [0_u8; 4];
    let mut target = vector(&mut buffer);
    let header = message(&mut target);
    let several = libc::mmsghdr { msg_hdr: header, msg_len: 0 };
    check("recvfrom", class, || sys!(SYS_recvfrom, socket, &[0_u8; 4], 4, 0, 0, 0));
    check("recvmsg", class, || sys!(SYS_recvmsg, socket, &header, 0));
    check("recvmmsg", class, || sys!(SYS_recvmmsg, socket, &several, 1, 0, 0));
    check("read", class, || sys!(SYS_read, socket, &[0_u8; 4], 4));
}

fn receive_without_a_time_out() {
    let [socket, _peer] = socket_pair();
    receive(socket, RESTARTS);
}

fn receive_with_a_time_out() {
    let [socket, _peer] = socket_pair();
    ok!(SYS_setsockopt, socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &PATIENCE, 16);
    receive(socket, NEVER);
}

fn send(socket: i32, class: Class) {
    fill(socket);
    let mut buffer = [0_u8; 4];
    let mut source = vector(&mut buffer);
    let header = message(&mut source);
    let several = libc::mmsghdr { msg_hdr: header, msg_len: 0 };
    check("sendto", class, || sys!(SYS_sendto, socket, &[0_u8; 4], 4, 0, 0, 0));
    check("sendmsg", class, || sys!(SYS_sendmsg, socket, &header, 0));
    check("sendmmsg", class, || sys!(SYS_sendmmsg, socket, &several, 1, 0));
    check("write", class, || sys!(SYS_write, socket, &[0_u8; 4], 4));
}

fn send_without_a_time_out() {
    let [socket, _peer] = socket_pair();
    send(socket, RESTARTS);
}

fn send_with_a_time_out() {
    let [socket, _peer] = socket_pair();
    ok!(SYS_setsockopt, socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &PATIENCE, 16);
    send(socket, NEVER);
}

/// Makes a child that lives until its parent ends.
fn dependant() {
    child(|| {
        ok!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        nap(100_000);
    })
    .abandon();
}

fn wait_for_children() {
    check("wait4", RESTARTS, || {
        dependant();
        sys!(SYS_wait4, -1, 0, 0, 0)
    });
    check("waitid", RESTARTS, || {
        dependant();
        sys!(SYS_waitid, libc::P_ALL, 0, 0, libc::WEXITED, 0)
    });
}

fn file_locks() {
    let open = || ok!(SYS_open, c"lock", libc::O_CREAT | O_RDWR, 0o600);
    let (held, other) = (open(), open());
    ok!(SYS_flock, held, libc::LOCK_EX);
    check("flock", RESTARTS, || sys!(SYS_flock, other, libc::LOCK_EX));
    // SAFETY: a zeroed flock is valid.
    let mut region: libc::flock = unsafe { std::mem::zeroed() };
    region.l_type = libc::F_WRLCK as i16;
    ok!(SYS_fcntl, held, libc::F_OFD_SETLK, &region);
    check("F_SETLKW", RESTARTS, || sys!(SYS_fcntl, other, libc::F_SETLKW, &region));
    check("F_OFD_SETLKW", RESTARTS, || sys!(SYS_fcntl, other, libc::F_OFD_SETLKW, &region));
}

fn futex_without_a_time_out() {
    let memory = Mapping::shared(1);
    let word = memory.word(0);
    check("FUTEX_WAIT", RESTARTS, || sys!(SYS_futex, word, libc::FUTEX_WAIT, 0, 0));
    check("FUTEX_WAIT_BITSET", RESTARTS, || {
        sys!(SYS_futex, word, libc::FUTEX_WAIT_BITSET, 0, 0, 0, 1)
    });
}

fn futex_with_a_time_out() {
    let memory = Mapping::shared(1);
    let word = memory.word(0);
    check("FUTEX_WAIT", WITHOUT_HANDLER, || sys!(SYS_futex, word, libc::FUTEX_WAIT, 0, &SPAN));
    let until = in_a_while();
    check("FUTEX_WAIT_BITSET", WITHOUT_HANDLER, || {
        sys!(SYS_futex, word, libc::FUTEX_WAIT_BITSET, 0, &until, 0, 1)
    });
}

/// A point of monotonic time that the case does not live to see.
fn in_a_while() -> libc::timespec {
    let mut now = SPAN;
    ok!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, &mut now);
    libc::timespec { tv_sec: now.tv_sec + 100, ..now }
}

fn futex_vectors() {
    /// `struct futex_waitv`.
    #[repr(C)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    /// `FUTEX2_SIZE_U32`.
    const SIZE: u32 = 2;
    let memory = Mapping::shared(1);
    let address = std::ptr::from_ref(memory.word(0)).expose_provenance() as u64;
    let waiter = Waiter { value: 0, address, flags: SIZE, reserved: 0 };
    check("futex_waitv", RESTARTS, || sys!(SYS_futex_waitv, &waiter, 1, 0, 0, 0));
    let until = in_a_while();
    check("futex_waitv with a time-out", RESTARTS, || {
        sys!(SYS_futex_waitv, &waiter, 1, 0, &until, libc::CLOCK_MONOTONIC)
    });
}

fn futex_locks() {
    let memory = Mapping::shared(1);
    let word = memory.word(0);
    ok!(SYS_futex, word, libc::FUTEX_LOCK_PI, 0, 0);
    check("FUTEX_LOCK_PI", ALWAYS, || sys!(SYS_futex, word, libc::FUTEX_LOCK_PI, 0, 0));
}

fn waits_for_handlers() {
    check("pause", WITHOUT_HANDLER, || sys!(SYS_pause));
    check("rt_sigsuspend", WITHOUT_HANDLER, || sys!(SYS_rt_sigsuspend, &0_u64, 8));
}

fn select_and_ppoll() {
    check("select", WITHOUT_HANDLER, || sys!(SYS_select, 0, 0, 0, 0, 0));
    check("select with a time-out", WITHOUT_HANDLER, || {
        sys!(SYS_select, 0, 0, 0, 0, &mut { PATIENCE })
    });
    check("pselect6", WITHOUT_HANDLER, || sys!(SYS_pselect6, 0, 0, 0, 0, &mut { SPAN }, 0));
    check("ppoll", WITHOUT_HANDLER, || sys!(SYS_ppoll, 0, 0, &mut { SPAN }, 0, 0));
}

fn poll_of_descriptors() {
    check("poll", WITHOUT_HANDLER, || sys!(SYS_poll, 0, 0, -1));
    check("poll with a time-out", WITHOUT_HANDLER, || sys!(SYS_poll, 0, 0, 100_000));
}

fn epoll_of_descriptors() {
    let epoll = ok!(SYS_epoll_create1, 0);
    let room = [0_u8; 12];
    check("epoll_wait", NEVER, || sys!(SYS_epoll_wait, epoll, &room, 1, -1));
    check("epoll_pwait", NEVER, || sys!(SYS_epoll_pwait, epoll, &room, 1, 100_000, 0, 0));
    check("epoll_pwait2", NEVER, || sys!(SYS_epoll_pwait2, epoll, &room, 1, &SPAN, 0, 0));
}

fn sleep_until_a_time() {
    let until = in_a_while();
    check("clock_nanosleep", WITHOUT_HANDLER, || {
        sys!(SYS_clock_nanosleep, libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, 0)
    });
}

fn sleep_for_a_span() {
    check("nanosleep", WITHOUT_HANDLER, || sys!(SYS_nanosleep, &SPAN, 0));
    check("clock_nanosleep", WITHOUT_HANDLER, || {
        sys!(SYS_clock_nanosleep, libc::CLOCK_MONOTONIC, 0, &SPAN, 0)
    });
}

fn signals_of_a_set() {
    let set = set_of(&[SIGUSR2]);
    check("rt_sigtimedwait", NEVER, || sys!(SYS_rt_sigtimedwait, &set, 0, 0, 8));
    check("rt_sigtimedwait with a time-out", NEVER, || {
        sys!(SYS_rt_sigtimedwait, &set, 0, &SPAN, 8)
    });
}
