//! Signals that say that a file is ready: `O_ASYNC`, `F_SETOWN`, `F_SETSIG` (fcntl(2)).

use libc::{F_GETFL, F_GETOWN, F_SETFL, F_SETOWN, O_ASYNC, O_NONBLOCK, SIGCHLD, SIGIO, SIGUSR1};

use super::support::{
    block, caught, child, exit_now, in_child, install, last_info, pipe, record, set_of, unblock,
    until,
};
use crate::{fails, ok};

super::area!("asynchronous":
    input_in_a_pipe_sends_sigio,
    nothing_is_sent_without_an_owner,
    nothing_is_sent_once_the_flag_is_off,
    closing_ends_it,
    chosen_signal_tells_band_and_descriptor,
    chosen_signal_with_own_codes_tells_its_source,
    full_queue_falls_back_to_sigio,
    room_in_a_pipe_is_told,
    end_of_the_writers_is_told,
    owner_may_be_a_thread,
    owner_may_be_a_group,
    owner_may_be_another_process,
    owner_is_read_back,
    owner_must_exist,
    sockets_tell_input_and_hang_up,
    terminal_tells_input,
    regular_files_have_nothing_to_tell,
);

const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_HUP: i32 = 6;
const SI_KERNEL: i32 = 0x80;
const REAL_TIME: i32 = 40;

/// Turns signals for `fd` on, with the calling process as owner.
fn watch(fd: i32, signal: i32) {
    ok!(SYS_fcntl, fd, F_SETOWN, ok!(SYS_getpid));
    ok!(SYS_fcntl, fd, F_SETSIG, signal);
    set_async(fd);
}

fn set_async(fd: i32) {
    let flags = ok!(SYS_fcntl, fd, F_GETFL) as i32;
    ok!(SYS_fcntl, fd, F_SETFL, flags | O_ASYNC);
    assert_eq!(ok!(SYS_fcntl, fd, F_GETFL) as i32 & O_ASYNC, O_ASYNC);
}

fn write(fd: i32, text: &str) {
    assert_eq!(ok!(SYS_write, fd, text.as_bytes(), text.len()), text.len());
}

fn read(fd: i32) -> usize {
    let mut buffer = [0_u8; 16];
    ok!(SYS_read, fd, &mut buffer[..], 16)
}

fn input_in_a_pipe_sends_sigio() {
    let (reader, writer) = pipe(0);
    record(SIGIO, 0);
    watch(reader, 0);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1, "when write returns");
    assert_eq!(last_info().code, SI_KERNEL);
    write(writer, "b");
    assert_eq!(caught(SIGIO), 2, "again, though nothing was read");
}

fn nothing_is_sent_without_an_owner() {
    let (reader, writer) = pipe(0);
    record(SIGIO, 0);
    set_async(reader);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 0);
    ok!(SYS_fcntl, reader, F_SETOWN, ok!(SYS_getpid));
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1);
    ok!(SYS_fcntl, reader, F_SETOWN, 0);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1);
}

fn nothing_is_sent_once_the_flag_is_off() {
    let (reader, writer) = pipe(0);
    record(SIGIO, 0);
    watch(reader, 0);
    let flags = ok!(SYS_fcntl, reader, F_GETFL) as i32;
    ok!(SYS_fcntl, reader, F_SETFL, flags & !O_ASYNC);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 0);
    ok!(SYS_ioctl, reader, libc::FIOASYNC, &1_i32);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1);
    ok!(SYS_ioctl, reader, libc::FIOASYNC, &0_i32);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1);
}

fn closing_ends_it() {
    let (reader, writer) = pipe(0);
    record(SIGIO, 0);
    watch(reader, 0);
    let other = ok!(SYS_dup, reader) as i32;
    ok!(SYS_close, reader);
    write(writer, "a");
    assert_eq!(caught(SIGIO), 1, "the open file is still there");
    ok!(SYS_close, other);
    assert_eq!(caught(SIGIO), 1);
}

fn chosen_signal_tells_band_and_descriptor() {
    let (reader, writer) = pipe(0);
    record(REAL_TIME, 0);
    watch(reader, REAL_TIME);
    assert_eq!(ok!(SYS_fcntl, reader, F_GETSIG) as i32, REAL_TIME);
    write(writer, "a");
    assert_eq!(caught(REAL_TIME), 1);
    let info = last_info();
    assert_eq!((info.code, info.address, info.status), (POLL_IN, 0x41, reader));
    fails!(EINVAL: SYS_fcntl, reader, F_SETSIG, 65);
    fails!(EINVAL: SYS_fcntl, reader, F_SETSIG, -1);
}

fn chosen_signal_with_own_codes_tells_its_source() {
    const SI_SIGIO: i32 = -5;
    let (reader, writer) = pipe(0);
    record(SIGCHLD, 0);
    watch(reader, SIGCHLD);
    write(writer, "a");
    assert_eq!((caught(SIGCHLD), last_info().code), (1, SI_SIGIO));
    // SIGIO by name is another thing than no choice.
    record(SIGIO, 0);
    ok!(SYS_fcntl, reader, F_SETSIG, SIGIO);
    write(writer, "a");
    let info = last_info();
    assert_eq!((caught(SIGIO), info.code, info.status), (1, POLL_IN, reader));
}

fn full_queue_falls_back_to_sigio() {
    in_child(|| {
        let (reader, writer) = pipe(0);
        record(REAL_TIME, 0);
        record(SIGIO, 0);
        block(&[REAL_TIME]);
        watch(reader, REAL_TIME);
        ok!(SYS_setrlimit, libc::RLIMIT_SIGPENDING, &[0_u64, 0]);
        write(writer, "a");
        assert_eq!((caught(SIGIO), last_info().code), (1, SI_KERNEL));
        unblock(&[REAL_TIME]);
        assert_eq!(caught(REAL_TIME), 0);
    });
}

fn room_in_a_pipe_is_told() {
    let (reader, writer) = pipe(0);
    record(REAL_TIME, 0);
    watch(writer, REAL_TIME);
    write(writer, "abc");
    assert_eq!(caught(REAL_TIME), 0);
    assert_eq!(read(reader), 3);
    assert_eq!(caught(REAL_TIME), 1);
    let info = last_info();
    assert_eq!((info.code, info.address, info.status), (POLL_OUT, 0x304, writer));
}

fn end_of_the_writers_is_told() {
    let (reader, writer) = pipe(0);
    record(REAL_TIME, 0);
    watch(reader, REAL_TIME);
    let holder = child(|| {
        ok!(SYS_close, reader);
        ok!(SYS_pause);
    });
    ok!(SYS_close, writer);
    let before = caught(REAL_TIME);
    // The last writer goes with its process, not by a call.
    holder.finish();
    until("the end is told", || caught(REAL_TIME) > before);
    assert_eq!(last_info().code, POLL_IN);
}

fn owner_may_be_a_thread() {
    let (reader, writer) = pipe(0);
    record(SIGUSR1, 0);
    let (told, tell) = std::sync::mpsc::channel();
    let (done, finish) = std::sync::mpsc::channel::<()>();
    block(&[SIGUSR1]);
    let owner = std::thread::spawn(move || {
        told.send(ok!(SYS_gettid) as i32).unwrap();
        finish.recv().unwrap();
        let mut pending = 0_u64;
        ok!(SYS_rt_sigpending, &mut pending, 8);
        pending
    });
    ok!(SYS_fcntl, reader, F_SETOWN_EX, &[F_OWNER_TID, tell.recv().unwrap()]);
    ok!(SYS_fcntl, reader, F_SETSIG, SIGUSR1);
    set_async(reader);
    write(writer, "a");
    let mut pending = 0_u64;
    ok!(SYS_rt_sigpending, &mut pending, 8);
    assert_eq!(pending & set_of(&[SIGUSR1]), 0, "not for the process");
    done.send(()).unwrap();
    assert_ne!(owner.join().unwrap() & set_of(&[SIGUSR1]), 0);
}

extern "C" fn leave(_: i32, _: usize, _: usize) {
    exit_now(42)
}

fn owner_may_be_a_group() {
    let (reader, writer) = pipe(0);
    let (ready_read, ready_write) = pipe(0);
    let members: Vec<_> = (0..2)
        .map(|_| {
            child(|| {
                install(SIGIO, leave as *const () as usize, 0);
                write(ready_write, "x");
                ok!(SYS_pause);
            })
        })
        .collect();
    while read(ready_read) < 1 {}
    let leader = members[0].pid();
    for member in &members {
        ok!(SYS_setpgid, member.pid(), leader);
    }
    until("both are ready", || {
        members.iter().all(|member| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & set_of(&[SIGIO]) != 0
        })
    });
    ok!(SYS_fcntl, reader, F_SETOWN, -leader);
    // The call returns -leader, which a small one makes look like an error: the register alone tells.
    let mut owner = [0_i32; 2];
    ok!(SYS_fcntl, reader, F_GETOWN_EX, &mut owner);
    assert_eq!(owner, [F_OWNER_PGRP, leader]);
    set_async(reader);
    write(writer, "a");
    for member in members {
        assert_eq!(member.status(), super::support::Status::Exited(42));
    }
}

fn owner_may_be_another_process() {
    let (reader, writer) = pipe(0);
    let (ready_read, ready_write) = pipe(0);
    let owner = child(|| {
        install(SIGIO, leave as *const () as usize, 0);
        write(ready_write, "x");
        loop {
            ok!(SYS_sched_yield);
        }
    });
    assert_eq!(read(ready_read), 1);
    ok!(SYS_fcntl, reader, F_SETOWN, owner.pid());
    set_async(reader);
    write(writer, "a");
    assert_eq!(owner.status(), super::support::Status::Exited(42));
    assert_eq!(ok!(SYS_fcntl, reader, F_GETOWN), 0, "it is gone");
    write(writer, "a");
}

fn owner_is_read_back() {
    let (reader, _writer) = pipe(0);
    let pid = ok!(SYS_getpid) as i32;
    let read_back = || {
        let mut owner = [-1_i32; 2];
        ok!(SYS_fcntl, reader, F_GETOWN_EX, &mut owner);
        owner
    };
    assert_eq!(ok!(SYS_fcntl, reader, F_GETOWN), 0);
    ok!(SYS_fcntl, reader, F_SETOWN, pid);
    assert_eq!(read_back(), [F_OWNER_PID, pid]);
    ok!(SYS_fcntl, reader, F_SETOWN_EX, &[F_OWNER_TID, pid]);
    assert_eq!(read_back(), [F_OWNER_TID, pid]);
    ok!(SYS_fcntl, reader, F_SETOWN, -(ok!(SYS_getpgrp) as i32));
    assert_eq!(read_back(), [F_OWNER_PGRP, ok!(SYS_getpgrp) as i32]);
    fails!(EINVAL: SYS_fcntl, reader, F_SETOWN_EX, &[3, pid]);
    fails!(EFAULT: SYS_fcntl, reader, F_SETOWN_EX, 8);
    assert_eq!(read_back()[0], F_OWNER_PGRP);
}

fn owner_must_exist() {
    let (reader, _writer) = pipe(0);
    let gone = child(|| ());
    let pid = gone.pid();
    gone.success();
    fails!(ESRCH: SYS_fcntl, reader, F_SETOWN, pid);
    fails!(ESRCH: SYS_fcntl, reader, F_SETOWN, -pid);
    fails!(ESRCH: SYS_fcntl, reader, F_SETOWN_EX, &[F_OWNER_TID, pid]);
    fails!(EINVAL: SYS_fcntl, reader, F_SETOWN, i32::MIN);
}

fn sockets_tell_input_and_hang_up() {
    let mut pair = [0_i32; 2];
    ok!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut pair);
    record(REAL_TIME, 0);
    ok!(SYS_ioctl, pair[0], 0x8901, &(ok!(SYS_getpid) as i32)); // FIOSETOWN
    let mut owner = 0_i32;
    ok!(SYS_ioctl, pair[0], 0x8903, &mut owner); // FIOGETOWN
    assert_eq!(owner, ok!(SYS_getpid) as i32);
    watch(pair[0], REAL_TIME);
    write(pair[1], "a");
    assert_eq!((caught(REAL_TIME), last_info().code), (1, POLL_IN));
    assert_eq!(read(pair[0]), 1);
    ok!(SYS_close, pair[1]);
    assert!(caught(REAL_TIME) >= 2);
    assert_eq!(last_info().code, POLL_HUP);
}

fn terminal_tells_input() {
    let master = ok!(SYS_open, c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY) as i32;
    let mut number = 0_u32;
    ok!(SYS_ioctl, master, libc::TIOCGPTN, &mut number);
    ok!(SYS_ioctl, master, libc::TIOCSPTLCK, &0_i32);
    let path = std::ffi::CString::new(format!("/dev/pts/{number}")).unwrap();
    let slave = ok!(SYS_open, path.as_c_str(), libc::O_RDWR | libc::O_NOCTTY | O_NONBLOCK) as i32;
    record(REAL_TIME, 0);
    watch(slave, REAL_TIME);
    write(master, "line\n");
    until("the line is told", || caught(REAL_TIME) > 0);
    assert_eq!((last_info().code, last_info().status), (POLL_IN, slave));
    assert_eq!(read(slave), 5);
}

fn regular_files_have_nothing_to_tell() {
    let file = ok!(SYS_open, c"file", libc::O_RDWR | libc::O_CREAT, 0o600);
    fails!(ENOTTY: SYS_ioctl, file, libc::FIOASYNC, &1_i32);
    ok!(SYS_fcntl, file, F_SETFL, O_ASYNC);
    record(SIGIO, 0);
    ok!(SYS_fcntl, file, F_SETOWN, ok!(SYS_getpid));
    write(file as i32, "a");
    assert_eq!(caught(SIGIO), 0);
}
