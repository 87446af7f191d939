//! Stopping and continuing, and what a parent hears of its children.

use std::sync::atomic::Ordering::SeqCst;

use libc::{SIGCHLD, SIGCONT, SIGSTOP, SIGTERM, SIGTSTP};

use super::signals::{pending, raise};
use super::support::{
    Child, Mapping, Status, block, caught, child, exit_now, in_child, last_info, nap, read_text,
    record, set_of, until, wait_for,
};

super::area!("job_control":
    stop_and_continue,
    continue_discards_stops,
    stop_discards_continue,
    kill_ends_a_stopped_process,
    blocked_continue_still_continues,
    child_stop_sends_sigchld,
    nocldstop_sends_none,
    sigchld_tells_the_story,
);

/// A child that counts up in shared memory, the memory, and a check that it counts.
fn counting_child() -> (Child, &'static Mapping) {
    let page: &'static Mapping = Box::leak(Box::new(Mapping::shared(1)));
    let child = child(|| {
        loop {
            page.word(0).fetch_add(1, SeqCst);
        }
    });
    until("the child counted", || page.word(0).load(SeqCst) > 0);
    (child, page)
}

fn counts(page: &Mapping) -> bool {
    let before = page.word(0).load(SeqCst);
    nap(20);
    page.word(0).load(SeqCst) != before
}

fn stop_and_continue() {
    for signal in [SIGSTOP, SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let (child, page) = counting_child();
        child.kill(signal);
        let stopped = wait_for(child.pid(), libc::WUNTRACED).unwrap().1;
        assert_eq!(stopped, Status::Stopped(signal));
        assert!(!counts(page));
        assert!(read_text(&format!("/proc/{}/stat", child.pid())).contains(") T "));
        child.kill(SIGCONT);
        until("the child went on", || counts(page));
        child.finish();
    }
}

fn continue_discards_stops() {
    in_child(|| {
        block(&[SIGTSTP]);
        raise(SIGTSTP);
        assert_eq!(pending(), set_of(&[SIGTSTP]));
        raise(SIGCONT);
        assert_eq!(pending(), 0);
    });
}

fn stop_discards_continue() {
    in_child(|| {
        block(&[SIGCONT, SIGTSTP]);
        raise(SIGCONT);
        assert_eq!(pending(), set_of(&[SIGCONT]));
        raise(SIGTSTP);
        assert_eq!(pending(), set_of(&[SIGTSTP]));
    });
}

fn kill_ends_a_stopped_process() {
    let (child, _) = counting_child();
    child.kill(SIGSTOP);
    wait_for(child.pid(), libc::WUNTRACED).unwrap();
    child.kill(SIGTERM);
    assert_eq!(wait_for(child.pid(), libc::WNOHANG).unwrap().0, 0, "SIGTERM waits");
    child.finish();
}

fn blocked_continue_still_continues() {
    let page = Mapping::shared(1);
    let child = child(|| {
        block(&[SIGCONT]);
        page.word(0).store(1, SeqCst);
        raise(SIGSTOP);
        assert_eq!(pending(), set_of(&[SIGCONT]));
    });
    assert_eq!(wait_for(child.pid(), libc::WUNTRACED).unwrap().1, Status::Stopped(SIGSTOP));
    child.kill(SIGCONT);
    child.success();
}

fn child_stop_sends_sigchld() {
    record(SIGCHLD, 0);
    let (child, _) = counting_child();
    child.kill(SIGSTOP);
    until("SIGCHLD came", || caught(SIGCHLD) == 1);
    assert_eq!((last_info().code, last_info().status), (libc::CLD_STOPPED, SIGSTOP));
    child.kill(SIGCONT);
    until("SIGCHLD came again", || caught(SIGCHLD) == 2);
    assert_eq!((last_info().code, last_info().status), (libc::CLD_CONTINUED, SIGCONT));
    child.finish();
}

fn nocldstop_sends_none() {
    record(SIGCHLD, libc::SA_NOCLDSTOP);
    let (child, _) = counting_child();
    child.kill(SIGSTOP);
    wait_for(child.pid(), libc::WUNTRACED).unwrap();
    child.kill(SIGCONT);
    wait_for(child.pid(), libc::WCONTINUED).unwrap();
    assert_eq!(caught(SIGCHLD), 0);
    child.finish();
    assert_eq!(caught(SIGCHLD), 1);
}

fn sigchld_tells_the_story() {
    record(SIGCHLD, 0);
    let ended = child(|| exit_now(77));
    until("SIGCHLD came", || caught(SIGCHLD) == 1);
    let info = last_info();
    assert_eq!((info.code, info.pid, info.status), (libc::CLD_EXITED, ended.pid(), 77));
    ended.status();
    let killed = child(|| nap(100_000));
    killed.kill(SIGTERM);
    until("SIGCHLD came", || caught(SIGCHLD) == 2);
    assert_eq!((last_info().code, last_info().status), (libc::CLD_KILLED, SIGTERM));
    killed.status();
}
