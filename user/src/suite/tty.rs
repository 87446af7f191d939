//! Terminals: settings and the line discipline, on a pseudo-terminal or on the console.
//!
//! With `/dev/ptmx` a case types into the master and reads what the terminal shows. Without it, the cases that
//! need no typing use `/dev/console`.

use std::ffi::CString;

use libc::{
    ECHO, FIONREAD, ICANON, ICRNL, ISIG, O_NOCTTY, O_NONBLOCK, O_RDWR, TCGETS, TCSETS, TCSETSF,
    TIOCGPGRP, TIOCGWINSZ, TIOCSWINSZ, VMIN, VTIME,
};

use super::support::{child, nap, pipe, skip, until, write_text};
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
    flush_discards_input,
    waiting_input_is_counted,
    poll_follows_lines,
);

/// The kernel's `struct termios`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) control: u32,
    pub(super) local: u32,
    pub(super) line: u8,
    pub(super) characters: [u8; 19],
}

#[track_caller]
pub(super) fn settings(fd: usize) -> Settings {
    let mut settings = Settings::default();
    ok!(SYS_ioctl, fd, TCGETS, &mut settings);
    settings
}

#[track_caller]
pub(super) fn change(fd: usize, change: impl FnOnce(&mut Settings)) {
    let mut settings = settings(fd);
    change(&mut settings);
    ok!(SYS_ioctl, fd, TCSETS, &settings);
}

/// Opens a terminal's two ends, or skips the case.
#[track_caller]
pub(super) fn terminal() -> (usize, usize) {
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
pub(super) fn type_in(master: usize, text: &[u8]) {
    assert_eq!(ok!(SYS_write, master, text, text.len()), text.len());
}

#[track_caller]
pub(super) fn line(fd: usize) -> String {
    let mut buffer = [0_u8; 256];
    let count = ok!(SYS_read, fd, &mut buffer, 256);
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

/// What the terminal shows up to the end of a line, which may come in parts.
#[track_caller]
fn shown_line(master: usize) -> String {
    let mut shown = String::new();
    while !shown.ends_with("\r\n") {
        shown.push_str(&line(master));
    }
    shown
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
    assert_eq!(shown_line(master), "hi\r\n");
    type_in(master, b"a\x7f\x01\n");
    assert_eq!(line(slave), "\x01\n");
    assert_eq!(shown_line(master), "a\x08 \x08^A\r\n");
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
