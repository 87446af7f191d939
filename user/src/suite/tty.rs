//! Terminals: the line discipline and job control, on a pseudo-terminal or on the console.
//!
//! With `/dev/ptmx` a case types into the master and reads what the terminal shows. Without it, the cases that
//! need no typing use `/dev/console`.

use std::ffi::CString;

use libc::{
    ECHO, FIONREAD, ICANON, ICRNL, ISIG, O_NOCTTY, O_NONBLOCK, O_RDWR, SIGHUP, SIGINT, SIGQUIT,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, TCGETS, TCSETS, TCSETSF, TIOCGPGRP, TIOCGSID, TIOCGWINSZ,
    TIOCNOTTY, TIOCSCTTY, TIOCSPGRP, TIOCSWINSZ, TOSTOP, VMIN, VTIME,
};

use super::support::{
    Child, Mapping, Status, caught, child, ignore, in_child, last_info, nap, pipe, read_all,
    record, skip, until, wait_for, write_text,
};
use crate::{fails, ok, sys};

super::area!("tty":
    settings_read_back,
    window_size_is_kept,
    other_files_are_no_terminals,
    canonical_input_comes_by_lines,
    erase_and_kill_edit_the_line,
    end_of_file_character,
    raw_input_comes_at_once,
    minimum_and_time,
    echo_shows_input,
    output_newline_gets_return,
    carriage_return_becomes_newline,
    literal_next_quotes,
    interrupt_character_signals_foreground,
    quit_and_suspend_characters,
    signals_can_be_switched_off,
    controlling_terminal_of_a_session,
    foreground_group_is_checked,
    background_read_stops,
    background_read_of_ignorer_is_eio,
    background_write_with_tostop,
    orphaned_group_gets_eio,
    window_change_signals,
    hangup_when_master_closes,
    leader_exit_hangs_up,
    flush_discards_input,
    waiting_input_is_counted,
    poll_follows_lines,
);

/// The kernel's `struct termios`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

#[track_caller]
fn settings(fd: usize) -> Settings {
    let mut settings = Settings::default();
    ok!(SYS_ioctl, fd, TCGETS, &mut settings);
    settings
}

#[track_caller]
fn change(fd: usize, change: impl FnOnce(&mut Settings)) {
    let mut settings = settings(fd);
    change(&mut settings);
    ok!(SYS_ioctl, fd, TCSETS, &settings);
}

/// Opens a terminal's two ends, or skips the case.
#[track_caller]
fn terminal() -> (usize, usize) {
    let Ok(master) = sys!(SYS_open, c"/dev/ptmx", O_RDWR | O_NOCTTY) else {
        skip("no pseudo-terminals");
    };
    ok!(SYS_ioctl, master, libc::TIOCSPTLCK, &0_i32);
    let mut number = 0_u32;
    ok!(SYS_ioctl, master, libc::TIOCGPTN, &mut number);
    let path = CString::new(format!("/dev/pts/{number}")).unwrap();
    let slave = ok!(SYS_open, path.as_c_str(), O_RDWR | O_NOCTTY);
    // Cases start without echo, so that the master reads only what they write.
    change(slave, |settings| settings.local &= !ECHO);
    (master, slave)
}

/// A terminal that needs no typing: a pseudo-terminal's slave, or the console.
#[track_caller]
fn any_terminal() -> usize {
    if sys!(SYS_access, c"/dev/ptmx", 6).is_ok() {
        return terminal().1;
    }
    match sys!(SYS_open, c"/dev/console", O_RDWR | O_NOCTTY) {
        Ok(fd) if sys!(SYS_ioctl, fd, TCGETS, &mut Settings::default()).is_ok() => fd,
        _ => skip("no terminal"),
    }
}

#[track_caller]
fn type_in(master: usize, text: &[u8]) {
    assert_eq!(ok!(SYS_write, master, text, text.len()), text.len());
}

#[track_caller]
fn line(fd: usize) -> String {
    let mut buffer = [0_u8; 256];
    let count = ok!(SYS_read, fd, &mut buffer, 256);
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

fn nothing_to_read(fd: usize) -> bool {
    let mut entry = libc::pollfd { fd: fd as i32, events: libc::POLLIN, revents: 0 };
    ok!(SYS_poll, &mut entry, 1, 20) == 0
}

fn settings_read_back() {
    let fd = any_terminal();
    let before = settings(fd);
    assert!(before.local & ICANON != 0 && before.local & ISIG != 0);
    assert_eq!(before.characters[..5], [3, 0x1c, 0x7f, 0x15, 4], "intr, quit, erase, kill, eof");
    change(fd, |settings| {
        settings.local &= !ICANON;
        settings.characters[0] = 7;
    });
    let changed = settings(fd);
    assert!(changed.local & ICANON == 0 && changed.characters[0] == 7);
    ok!(SYS_ioctl, fd, TCSETSF, &before);
    assert_eq!(settings(fd), before);
    fails!(EFAULT: SYS_ioctl, fd, TCGETS, 8);
    fails!(ENOTTY: SYS_ioctl, fd, 0x5499, 0);
}

fn window_size_is_kept() {
    let fd = any_terminal();
    let mut before = [0_u16; 4];
    ok!(SYS_ioctl, fd, TIOCGWINSZ, &mut before);
    ok!(SYS_ioctl, fd, TIOCSWINSZ, &[30_u16, 100, 0, 0]);
    let mut size = [0_u16; 4];
    ok!(SYS_ioctl, fd, TIOCGWINSZ, &mut size);
    assert_eq!(size[..2], [30, 100]);
    ok!(SYS_ioctl, fd, TIOCSWINSZ, &before);
}

fn other_files_are_no_terminals() {
    write_text("file", "");
    for fd in
        [ok!(SYS_open, c"file", O_RDWR), pipe(0).0 as usize, ok!(SYS_open, c"/dev/null", O_RDWR)]
    {
        fails!(ENOTTY: SYS_ioctl, fd, TCGETS, &mut Settings::default());
        fails!(ENOTTY: SYS_ioctl, fd, TIOCGWINSZ, &mut [0_u16; 4]);
        fails!(ENOTTY: SYS_ioctl, fd, TIOCGPGRP, &mut 0_i32);
    }
}

fn canonical_input_comes_by_lines() {
    let (master, slave) = terminal();
    type_in(master, b"one\ntwo\npart");
    assert_eq!(line(slave), "one\n");
    let mut two = [0_u8; 2];
    ok!(SYS_read, slave, &mut two, 2);
    assert_eq!(&two, b"tw");
    assert_eq!(line(slave), "o\n");
    assert!(nothing_to_read(slave), "the line is not finished");
    type_in(master, b"s\n");
    assert_eq!(line(slave), "parts\n");
}

fn erase_and_kill_edit_the_line() {
    let (master, slave) = terminal();
    type_in(master, b"abx\x7fc\n");
    assert_eq!(line(slave), "abc\n");
    type_in(master, b"all of it\x15new\n");
    assert_eq!(line(slave), "new\n");
    type_in(master, b"two words\x17x\n");
    assert_eq!(line(slave), "two x\n");
    type_in(master, b"\x7f\x7fa\n");
    assert_eq!(line(slave), "a\n");
}

fn end_of_file_character() {
    let (master, slave) = terminal();
    type_in(master, b"abc\x04");
    assert_eq!(line(slave), "abc", "in the middle it hands over what there is");
    type_in(master, b"\x04");
    assert_eq!(line(slave), "", "alone it is the end of file");
    type_in(master, b"more\n");
    assert_eq!(line(slave), "more\n");
}

fn make_raw(fd: usize, minimum: u8, time: u8) {
    change(fd, |settings| {
        settings.input = 0;
        settings.local = 0;
        settings.characters[VMIN] = minimum;
        settings.characters[VTIME] = time;
    });
}

fn raw_input_comes_at_once() {
    let (master, slave) = terminal();
    make_raw(slave, 1, 0);
    type_in(master, b"\x03");
    assert_eq!(line(slave), "\x03");
    type_in(master, b"a\r\x7f\x04");
    assert_eq!(line(slave), "a\r\x7f\x04");
}

fn minimum_and_time() {
    let (master, slave) = terminal();
    make_raw(slave, 0, 0);
    assert_eq!(line(slave), "", "never waits");
    make_raw(slave, 0, 1);
    // Linux counts in ticks of a clock that falls behind and catches up on a busy machine, so that a single
    // time-out may come early.
    until("a read took a tenth of a second", || {
        let start = std::time::Instant::now();
        assert_eq!(line(slave), "");
        start.elapsed().as_millis() >= 90
    });
    make_raw(slave, 3, 0);
    let child = child(|| {
        for byte in [b"a", b"b", b"c"] {
            type_in(master, byte);
            nap(5);
        }
    });
    assert_eq!(line(slave), "abc");
    child.success();
}

fn echo_shows_input() {
    let (master, slave) = terminal();
    change(slave, |settings| settings.local |= ECHO);
    type_in(master, b"hi\n");
    assert_eq!(line(slave), "hi\n");
    assert_eq!(line(master), "hi\r\n");
    type_in(master, b"a\x7f\x01\n");
    assert_eq!(line(slave), "\x01\n");
    let mut shown = String::new();
    while !shown.ends_with("\r\n") {
        shown.push_str(&line(master));
    }
    assert_eq!(shown, "a\x08 \x08^A\r\n");
}

fn output_newline_gets_return() {
    let (master, slave) = terminal();
    ok!(SYS_write, slave, b"a\nb", 3);
    let mut shown = String::new();
    while shown.len() < 4 {
        shown.push_str(&line(master));
    }
    assert_eq!(shown, "a\r\nb");
    change(slave, |settings| settings.output &= !libc::OPOST);
    ok!(SYS_write, slave, b"\n", 1);
    assert_eq!(line(master), "\n");
}

fn carriage_return_becomes_newline() {
    let (master, slave) = terminal();
    type_in(master, b"x\r");
    assert_eq!(line(slave), "x\n");
    change(slave, |settings| settings.input &= !ICRNL);
    type_in(master, b"x\ry\n");
    assert_eq!(line(slave), "x\ry\n");
}

fn literal_next_quotes() {
    let (master, slave) = terminal();
    type_in(master, b"a\x16\x03b\n");
    assert_eq!(line(slave), "a\x03b\n");
}

/// A child that leads a session with the slave as its controlling terminal, and runs `body`.
#[track_caller]
fn in_session(slave: usize, body: impl FnOnce()) -> Child {
    child(|| {
        ok!(SYS_setsid);
        ok!(SYS_ioctl, slave, TIOCSCTTY, 0);
        body();
    })
}

/// Waits for `child` to say over `page` that it is ready.
fn ready(page: &Mapping) {
    until("the child was ready", || page.get(0) == 1);
}

/// The terminal's character sends `signal` to the foreground group.
fn character_sends(character: u8, signal: i32) {
    let (master, slave) = terminal();
    let page = Mapping::shared(1);
    let child = in_session(slave, || {
        record(signal, 0);
        page.set(0, 1);
        until("the signal came", || caught(signal) == 1);
        assert_eq!(last_info().code, 0x80);
    });
    ready(&page);
    type_in(master, &[character]);
    child.success();
}

fn interrupt_character_signals_foreground() {
    character_sends(3, SIGINT);
}

fn quit_and_suspend_characters() {
    character_sends(0x1c, SIGQUIT);
    character_sends(0x1a, SIGTSTP);
}

fn signals_can_be_switched_off() {
    let (master, slave) = terminal();
    in_session(slave, || {
        record(SIGINT, 0);
        change(slave, |settings| settings.local &= !ISIG);
        type_in(master, b"\x03\n");
        assert_eq!(line(slave), "\x03\n");
        assert_eq!(caught(SIGINT), 0);
    })
    .success();
}

fn controlling_terminal_of_a_session() {
    let (_master, slave) = terminal();
    in_session(slave, || {
        let pid = ok!(SYS_getpid) as i32;
        let (mut group, mut session) = (0, 0);
        let tty = ok!(SYS_open, c"/dev/tty", O_RDWR);
        ok!(SYS_ioctl, tty, TIOCGPGRP, &mut group);
        ok!(SYS_ioctl, slave, TIOCGSID, &mut session);
        assert_eq!((group, session), (pid, pid));
        // Another session cannot have it.
        in_child(|| {
            ok!(SYS_setsid);
            fails!(EPERM: SYS_ioctl, slave, TIOCSCTTY, 0);
            fails!(ENXIO: SYS_open, c"/dev/tty", O_RDWR);
            fails!(ENOTTY: SYS_ioctl, slave, TIOCGPGRP, &mut 0_i32);
        });
        ignore(SIGHUP);
        ok!(SYS_ioctl, slave, TIOCNOTTY);
        fails!(ENXIO: SYS_open, c"/dev/tty", O_RDWR);
    })
    .success();
}

fn foreground_group_is_checked() {
    let (_master, slave) = terminal();
    in_session(slave, || {
        fails!(ESRCH: SYS_ioctl, slave, TIOCSPGRP, &0x3fff_ffff);
        fails!(EINVAL: SYS_ioctl, slave, TIOCSPGRP, &-1);
        fails!(EPERM: SYS_ioctl, slave, TIOCSPGRP, &1);
        let child = child(|| nap(100_000));
        ok!(SYS_setpgid, child.pid(), 0);
        ok!(SYS_ioctl, slave, TIOCSPGRP, &child.pid());
        let mut group = 0;
        ok!(SYS_ioctl, slave, TIOCGPGRP, &mut group);
        assert_eq!(group, child.pid());
        // Now this group is in the background: setting it again would stop us.
        ignore(SIGTTOU);
        ok!(SYS_ioctl, slave, TIOCSPGRP, &(ok!(SYS_getpid) as i32));
        child.finish();
    })
    .success();
}

/// In a session, a child in a background group runs `body`; gives how it changed state first, then ends it.
#[track_caller]
fn background_child(slave: usize, body: impl FnOnce()) -> Status {
    let child = child(|| {
        ok!(SYS_setpgid, 0, 0);
        body();
    });
    let _ = sys!(SYS_setpgid, child.pid(), 0);
    let status = wait_for(child.pid(), libc::WUNTRACED).unwrap().1;
    if let Status::Stopped(_) = status {
        child.finish();
    }
    assert!(slave > 2);
    status
}

fn background_read_stops() {
    let (_master, slave) = terminal();
    in_session(slave, || {
        let status = background_child(slave, || _ = sys!(SYS_read, slave, &mut [0_u8; 1], 1));
        assert_eq!(status, Status::Stopped(SIGTTIN));
        let status = background_child(slave, || change(slave, |settings| settings.local |= TOSTOP));
        assert_eq!(status, Status::Stopped(SIGTTOU));
    })
    .success();
}

fn background_read_of_ignorer_is_eio() {
    let (_master, slave) = terminal();
    in_session(slave, || {
        let status = background_child(slave, || {
            ignore(SIGTTIN);
            fails!(EIO: SYS_read, slave, &mut [0_u8; 1], 1);
        });
        assert_eq!(status, Status::Exited(0));
    })
    .success();
}

fn background_write_with_tostop() {
    let (_master, slave) = terminal();
    in_session(slave, || {
        let write = || _ = sys!(SYS_write, slave, b"x", 1);
        assert_eq!(background_child(slave, write), Status::Exited(0), "allowed by default");
        change(slave, |settings| settings.local |= TOSTOP);
        assert_eq!(background_child(slave, write), Status::Stopped(SIGTTOU));
        let ignorer = || {
            ignore(SIGTTOU);
            ok!(SYS_write, slave, b"x", 1);
        };
        assert_eq!(background_child(slave, ignorer), Status::Exited(0));
    })
    .success();
}

fn orphaned_group_gets_eio() {
    let (_master, slave) = terminal();
    ok!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    let leader = in_session(slave, || {
        ignore(SIGHUP);
        let middle = child(|| {
            let middle = ok!(SYS_getpid);
            let orphan = child(|| {
                ok!(SYS_setpgid, 0, 0);
                until("the parent was gone", || ok!(SYS_getppid) != middle);
                // Nobody of this session could continue it, so it is not stopped.
                fails!(EIO: SYS_read, slave, &mut [0_u8; 1], 1);
            });
            orphan.abandon();
        });
        middle.success();
        nap(100_000);
    });
    let (pid, status) = wait_for(-1, 0).unwrap();
    assert_ne!(pid, leader.pid());
    assert_eq!(status, Status::Exited(0));
    leader.finish();
}

fn window_change_signals() {
    let (master, slave) = terminal();
    let page = Mapping::shared(1);
    let child = in_session(slave, || {
        record(SIGWINCH, 0);
        page.set(0, 1);
        until("the signal came", || caught(SIGWINCH) == 1);
    });
    ready(&page);
    ok!(SYS_ioctl, master, TIOCSWINSZ, &[11_u16, 22, 0, 0]);
    child.success();
}

fn hangup_when_master_closes() {
    let (master, slave) = terminal();
    let page = Mapping::shared(1);
    let child = in_session(slave, || {
        ok!(SYS_close, master);
        record(SIGHUP, 0);
        page.set(0, 1);
        until("the terminal was hung up", || caught(SIGHUP) == 1);
        assert_eq!(ok!(SYS_read, slave, &mut [0_u8; 1], 1), 0);
        fails!(EIO: SYS_write, slave, b"x", 1);
    });
    ready(&page);
    ok!(SYS_close, master);
    child.success();
}

fn leader_exit_hangs_up() {
    let (_master, slave) = terminal();
    let (read_end, write_end) = pipe(0);
    let page = Mapping::shared(1);
    in_session(slave, || {
        let member = child(|| {
            record(SIGHUP, 0);
            page.set(0, 1);
            until("the leader's end was told", || caught(SIGHUP) >= 1);
            ok!(SYS_write, write_end, b"h", 1);
        });
        ready(&page);
        member.abandon();
    })
    .success();
    ok!(SYS_close, write_end);
    assert_eq!(read_all(read_end), b"h");
}

fn flush_discards_input() {
    let (master, slave) = terminal();
    type_in(master, b"old\n");
    ok!(SYS_ioctl, slave, libc::TCFLSH, libc::TCIFLUSH);
    type_in(master, b"new\n");
    assert_eq!(line(slave), "new\n");
}

fn waiting_input_is_counted() {
    let (master, slave) = terminal();
    type_in(master, b"12345\n67");
    let mut waiting = 0_i32;
    until("the input had arrived", || {
        ok!(SYS_ioctl, slave, FIONREAD, &mut waiting);
        waiting == 6
    });
}

fn poll_follows_lines() {
    let (master, slave) = terminal();
    ok!(SYS_fcntl, slave, libc::F_SETFL, O_RDWR | O_NONBLOCK);
    type_in(master, b"abc");
    assert!(nothing_to_read(slave));
    fails!(EAGAIN: SYS_read, slave, &mut [0_u8; 1], 1);
    type_in(master, b"\n");
    until("the line was there", || !nothing_to_read(slave));
    assert_eq!(line(slave), "abc\n");
}
