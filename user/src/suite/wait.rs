//! wait4 and waitid with every option.

use std::sync::atomic::Ordering::SeqCst;

use libc::{
    CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, P_ALL, P_PGID, P_PID, SIGCHLD, SIGCONT,
    SIGKILL, SIGSTOP, SIGTERM, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED,
};

use super::support::{
    Info, Mapping, Status, caught, child, exit_now, ignore, interrupter, nap, record, state_of,
    until, wait_for,
};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("wait":
    nohang_finds_nothing_yet,
    no_children_is_echild,
    bad_options_are_refused,
    wait_by_group,
    wait_for_own_group_only,
    killed_child_reports_signal,
    stopped_and_continued_are_seen_once,
    waitid_fills_siginfo,
    waitid_nowait_leaves_the_child,
    waitid_reports_stop_and_continue,
    waitid_refuses_bad_arguments,
    waitid_nohang_zeroes_siginfo,
    zombie_stays_until_waited_for,
    ignored_sigchld_reaps_by_itself,
    nocldwait_reaps_by_itself,
    rusage_of_a_busy_child,
    times_counts_reaped_children,
    sibling_threads_may_wait,
    wait_is_interrupted_without_restart,
    wait_restarts_with_sa_restart,
    bad_status_pointer_is_efault,
);

fn nohang_finds_nothing_yet() {
    let child = child(|| nap(100_000));
    assert_eq!(ok!(SYS_wait4, child.pid(), 0, WNOHANG, 0), 0);
    assert_eq!(ok!(SYS_wait4, -1, 0, WNOHANG, 0), 0);
    child.finish();
}

fn no_children_is_echild() {
    fails!(ECHILD: SYS_wait4, -1, 0, 0, 0);
    fails!(ECHILD: SYS_wait4, -1, 0, WNOHANG, 0);
    fails!(ECHILD: SYS_wait4, 1, 0, 0, 0);
    fails!(ECHILD: SYS_waitid, P_ALL, 0, 0, WEXITED, 0);
    fails!(ESRCH: SYS_wait4, i32::MIN, 0, 0, 0);
}

fn bad_options_are_refused() {
    fails!(EINVAL: SYS_wait4, -1, 0, 0x40, 0);
    fails!(EINVAL: SYS_waitid, P_ALL, 0, 0, 0, 0);
    fails!(EINVAL: SYS_waitid, P_ALL, 0, 0, WNOHANG, 0);
    fails!(EINVAL: SYS_waitid, 77, 0, 0, WEXITED, 0);
}

fn wait_by_group() {
    let first = child(|| {
        ok!(SYS_setpgid, 0, 0);
        nap(20);
        exit_now(1);
    });
    let group = first.pid();
    let _ = sys!(SYS_setpgid, group, group);
    let second = child(|| exit_now(2));
    assert_eq!(wait_for(-group, 0).unwrap(), (group, Status::Exited(1)));
    fails!(ECHILD: SYS_wait4, -group, 0, 0, 0);
    assert_eq!(second.status(), Status::Exited(2));
}

fn wait_for_own_group_only() {
    let other = child(|| {
        ok!(SYS_setpgid, 0, 0);
        nap(100_000);
    });
    let _ = sys!(SYS_setpgid, other.pid(), other.pid());
    fails!(ECHILD: SYS_wait4, 0, 0, 0, 0);
    let same = child(|| {});
    assert_eq!(wait_for(0, 0).unwrap(), (same.pid(), Status::Exited(0)));
    other.finish();
}

fn killed_child_reports_signal() {
    let child = child(|| nap(100_000));
    child.kill(SIGTERM);
    assert_eq!(child.status(), Status::Killed(SIGTERM));
}

fn stopped_and_continued_are_seen_once() {
    let child = child(|| nap(100_000));
    let pid = child.pid();
    child.kill(SIGSTOP);
    assert_eq!(wait_for(pid, WUNTRACED).unwrap(), (pid, Status::Stopped(SIGSTOP)));
    assert_eq!(wait_for(pid, WUNTRACED | WNOHANG).unwrap().0, 0);
    child.kill(SIGCONT);
    assert_eq!(wait_for(pid, WCONTINUED).unwrap(), (pid, Status::Continued));
    assert_eq!(wait_for(pid, WCONTINUED | WNOHANG).unwrap().0, 0);
    child.kill(SIGSTOP);
    // Who does not ask for stops does not see them.
    assert_eq!(wait_for(pid, WNOHANG).unwrap().0, 0);
    child.finish();
}

/// waitid, with its siginfo decoded.
#[track_caller]
fn waitid(kind: u32, id: i32, options: i32) -> Info {
    let mut words = [0xffff_ffff_u32; 32];
    ok!(SYS_waitid, kind, id, &mut words, options, 0);
    Info::decode(&words)
}

fn waitid_fills_siginfo() {
    let ended = child(|| exit_now(33));
    let pid = ended.pid();
    let info = waitid(P_PID, pid, WEXITED);
    assert_eq!((info.signal, info.code), (SIGCHLD, CLD_EXITED));
    assert_eq!((info.pid, info.status), (pid, 33));
    assert_eq!(info.uid as usize, ok!(SYS_getuid));

    let killed = child(|| nap(100_000));
    killed.kill(SIGKILL);
    let info = waitid(P_ALL, 0, WEXITED);
    assert_eq!((info.code, info.pid, info.status), (CLD_KILLED, killed.pid(), SIGKILL));
}

fn waitid_nowait_leaves_the_child() {
    let child = child(|| exit_now(5));
    for _ in 0..3 {
        assert_eq!(waitid(P_PID, child.pid(), WEXITED | WNOWAIT).status, 5);
    }
    assert_eq!(child.status(), Status::Exited(5));
}

fn waitid_reports_stop_and_continue() {
    let child = child(|| nap(100_000));
    let group = ok!(SYS_getpgid, 0) as i32;
    child.kill(SIGSTOP);
    let info = waitid(P_PGID, group, WSTOPPED);
    assert_eq!((info.code, info.status), (CLD_STOPPED, SIGSTOP));
    child.kill(SIGCONT);
    let info = waitid(P_PGID, 0, WCONTINUED);
    assert_eq!((info.code, info.status), (CLD_CONTINUED, SIGCONT));
    child.finish();
}

fn waitid_refuses_bad_arguments() {
    let child = child(|| exit_now(0));
    fails!(EINVAL: SYS_waitid, P_PID, 0, 0, WEXITED, 0);
    fails!(EINVAL: SYS_waitid, P_PID, -5, 0, WEXITED, 0);
    fails!(EINVAL: SYS_waitid, P_PID, child.pid(), 0, WEXITED | 0x100, 0);
    child.success();
}

fn waitid_nohang_zeroes_siginfo() {
    let child = child(|| nap(100_000));
    let info = waitid(P_PID, child.pid(), WEXITED | WNOHANG);
    assert_eq!((info.signal, info.pid), (0, 0));
    child.finish();
}

fn zombie_stays_until_waited_for() {
    let child = child(|| {});
    let pid = child.pid();
    waitid(P_PID, pid, WEXITED | WNOWAIT);
    ok!(SYS_kill, pid, 0);
    assert_eq!(state_of(pid), 'Z');
    child.success();
    fails!(ESRCH: SYS_kill, pid, 0);
}

fn ignored_sigchld_reaps_by_itself() {
    ignore(SIGCHLD);
    let pid = child(|| nap(5)).pid();
    // wait blocks until all children are gone and then finds none.
    fails!(ECHILD: SYS_wait4, -1, 0, 0, 0);
    // Linux lets wait return as soon as nobody is left to wait for, and takes the last one's id away a moment later.
    until("the child's id was gone", || sys!(SYS_kill, pid, 0) == Err(Errno::ESRCH));
}

fn nocldwait_reaps_by_itself() {
    record(SIGCHLD, libc::SA_NOCLDWAIT);
    let pid = child(|| nap(5)).pid();
    until("the child was gone", || sys!(SYS_kill, pid, 0).is_err());
    fails!(ECHILD: SYS_wait4, pid, 0, WNOHANG, 0);
    assert_eq!(caught(SIGCHLD), 1, "SIGCHLD is sent all the same");
}

/// Keeps a CPU busy until this thread has used so many milliseconds of it.
fn burn(milliseconds: i64) {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    while used.tv_sec * 1000 + used.tv_nsec / 1_000_000 < milliseconds {
        ok!(SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, &mut used);
    }
}

fn rusage_of_a_busy_child() {
    let child = child(|| burn(30));
    let mut usage = [0_i64; 18];
    let mut status = 0_i32;
    ok!(SYS_wait4, child.pid(), &mut status, 0, &mut usage);
    let microseconds = usage[0] * 1_000_000 + usage[1] + usage[2] * 1_000_000 + usage[3];
    assert!(microseconds >= 20_000, "used {microseconds} us");
    let mut children = [0_i64; 18];
    ok!(SYS_getrusage, libc::RUSAGE_CHILDREN, &mut children);
    assert_eq!(children[..4], usage[..4]);
}

fn times_counts_reaped_children() {
    child(|| burn(40)).success();
    let mut ticks = [0_i64; 4];
    ok!(SYS_times, &mut ticks);
    assert!(ticks[2] + ticks[3] >= 3, "children's ticks: {ticks:?}");
}

fn sibling_threads_may_wait() {
    let child = child(|| nap(10));
    let pid = child.pid();
    std::thread::spawn(move || assert_eq!(wait_for(pid, 0).unwrap().0, pid)).join().unwrap();
    fails!(ECHILD: SYS_wait4, pid, 0, 0, 0);
}

fn wait_is_interrupted_without_restart() {
    record(libc::SIGUSR1, 0);
    let page = Mapping::shared(1);
    let child = interrupter(libc::SIGUSR1, || {
        // An end before would be what the call waits for.
        until("the call has failed", || page.word(0).load(SeqCst) == 1);
        exit_now(6);
    });
    fails!(EINTR: SYS_wait4, -1, 0, 0, 0);
    page.word(0).store(1, SeqCst);
    assert_eq!(caught(libc::SIGUSR1), 1);
    assert_eq!(child.status(), Status::Exited(6));
}

fn wait_restarts_with_sa_restart() {
    record(libc::SIGUSR1, libc::SA_RESTART);
    let child = interrupter(libc::SIGUSR1, || nap(20));
    assert_eq!(ok!(SYS_wait4, -1, 0, 0, 0) as i32, child.pid());
    assert_eq!(caught(libc::SIGUSR1), 1);
}

fn bad_status_pointer_is_efault() {
    let child = child(|| {});
    waitid(P_PID, child.pid(), WEXITED | WNOWAIT);
    fails!(EFAULT: SYS_wait4, child.pid(), 8, 0, 0);
    // It has been reaped all the same.
    fails!(ECHILD: SYS_wait4, child.pid(), 0, 0, 0);
}
