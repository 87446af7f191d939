//! Who may be put into the foreground of a terminal (tcsetpgrp(3)).

use std::ffi::CString;

use libc::{SIGINT, SIGKILL, SIGTTOU, TIOCGPGRP, TIOCSPGRP};

use super::support::{Status, child, default_action, ignore, in_child};
use crate::{fails, ok};

super::area!("foreground":
    process_that_leads_no_group_is_accepted,
    others_are_refused,
);

/// A session with a terminal of its own: the two sides.
fn session() -> (i32, i32) {
    ok!(SYS_setsid);
    let master = ok!(SYS_open, c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY) as i32;
    let mut number = 0_u32;
    ok!(SYS_ioctl, master, libc::TIOCGPTN, &mut number);
    ok!(SYS_ioctl, master, libc::TIOCSPTLCK, &0_i32);
    let path = CString::new(format!("/dev/pts/{number}")).unwrap();
    (master, ok!(SYS_open, path.as_c_str(), libc::O_RDWR) as i32)
}

fn foreground(slave: i32) -> i32 {
    let mut group = -1_i32;
    ok!(SYS_ioctl, slave, TIOCGPGRP, &mut group);
    group
}

/// It is in the foreground by its id; as soon as it leads a group of that id, the terminal's signals reach that.
fn process_that_leads_no_group_is_accepted() {
    in_child(|| {
        let (master, slave) = session();
        ignore(SIGTTOU);
        // Before there is a member: nobody knows when that runs.
        default_action(SIGINT);
        let member = child(|| {
            loop {
                ok!(SYS_pause);
            }
        });
        ok!(SYS_ioctl, slave, TIOCSPGRP, &member.pid());
        assert_eq!(foreground(slave), member.pid());
        ok!(SYS_setpgid, member.pid(), member.pid());
        assert_eq!(ok!(SYS_write, master, b"\x03", 1), 1);
        assert_eq!(member.status(), Status::Killed(SIGINT));
        assert!(foreground(slave) > 0);
    });
}

fn others_are_refused() {
    let stranger = child(|| {
        ok!(SYS_setsid);
        loop {
            ok!(SYS_pause);
        }
    });
    let pid = stranger.pid();
    super::support::until("it has a session", || ok!(SYS_getsid, pid) as i32 == pid);
    in_child(|| {
        let (_master, slave) = session();
        let gone = child(|| ());
        let former = gone.pid();
        gone.success();
        fails!(EPERM: SYS_ioctl, slave, TIOCSPGRP, &pid);
        fails!(EINVAL: SYS_ioctl, slave, TIOCSPGRP, &-1_i32);
        fails!(ESRCH: SYS_ioctl, slave, TIOCSPGRP, &former);
        assert_eq!(foreground(slave), ok!(SYS_getpgrp) as i32);
    });
    stranger.kill(SIGKILL);
    stranger.status();
}
