//! Terminals and job control: signals from the keyboard, sessions, background groups, hang-up.

use libc::{
    ISIG, O_RDWR, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, TIOCGPGRP,
    TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP, TIOCSWINSZ, TOSTOP,
};

use super::support::{
    Child, Mapping, Status, caught, child, ignore, in_child, last_info, nap, pipe, read_all,
    record, until, wait_for,
};
use super::tty::{change, line, terminal, type_in};
use crate::{fails, ok, sys};

super::area!("terminal_jobs":
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
);

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
