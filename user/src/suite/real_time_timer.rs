//! The interval timer of real time and its signal (setitimer(2)): it goes on when SIGALRM is taken. Timers that are disarmed while they
//! ring, POSIX timers as well.

use std::cell::Cell;

use libc::{ITIMER_REAL, SIGALRM};

use super::support::{allowed_cpus, block, default_action, ignore, nap, pin, set_of};
use super::time::{create_timer, event};
use crate::{ok, sys};

super::area!("real_time_timer":
    it_stands_still_while_its_signal_is_pending,
    it_goes_on_when_its_signal_is_taken,
    it_goes_on_when_a_like_signal_is_taken,
    it_stands_still_where_its_signal_is_ignored,
    it_rings_once_without_an_interval,
    nothing_rings_after_it_was_disarmed,
    nothing_comes_of_a_posix_timer_that_was_disarmed,
    nothing_comes_of_a_posix_timer_that_was_deleted,
);

/// Sets interval and first time, in microseconds.
fn set(interval: u64, value: u64) {
    let setting = [interval, value].map(|time| [time / 1_000_000, time % 1_000_000]);
    ok!(SYS_setitimer, ITIMER_REAL, setting.as_flattened(), 0);
}

/// Interval and time left, in microseconds.
fn left() -> (u64, u64) {
    let mut setting = [0_u64; 4];
    ok!(SYS_getitimer, ITIMER_REAL, &mut setting);
    (setting[0] * 1_000_000 + setting[1], setting[2] * 1_000_000 + setting[3])
}

fn is_pending() -> bool {
    let mut pending = 0_u64;
    ok!(SYS_rt_sigpending, &mut pending, 8);
    pending & set_of(&[SIGALRM]) != 0
}

fn await_pending() {
    super::support::until("SIGALRM is pending", is_pending);
}

/// Waits until SIGALRM is pending and the timer is done with sending it, until which it is about to ring.
fn await_rung() {
    await_pending();
    super::support::until("it has rung", || left().1 == 0);
}

fn take() -> bool {
    sys!(SYS_rt_sigtimedwait, &set_of(&[SIGALRM]), 0, &[0_i64, 0], 8).is_ok()
}

fn it_stands_still_while_its_signal_is_pending() {
    block(&[SIGALRM]);
    set(1000, 1000);
    await_rung();
    for _ in 0..20 {
        assert_eq!(left(), (1000, 0));
        nap(1);
    }
    let mut former = [1_u64; 4];
    ok!(SYS_setitimer, ITIMER_REAL, &[0_u64; 4], &mut former);
    assert_eq!(former, [0, 1000, 0, 0]);
}

fn it_goes_on_when_its_signal_is_taken() {
    block(&[SIGALRM]);
    set(30_000_000, 1000);
    await_rung();
    assert_eq!(left(), (30_000_000, 0));
    assert!(take());
    let (_, value) = left();
    assert!(value > 1000 && value <= 30_000_000, "{value}");
    set(1, 1);
    for _ in 0..100 {
        await_pending();
        assert!(take());
    }
}

fn it_goes_on_when_a_like_signal_is_taken() {
    block(&[SIGALRM]);
    ok!(SYS_kill, ok!(SYS_getpid), SIGALRM);
    set(30_000_000, 1000);
    super::support::until("it has rung", || left().1 == 0);
    assert!(take());
    assert!(left().1 > 0);
    assert!(!take(), "there was one");
}

fn it_stands_still_where_its_signal_is_ignored() {
    ignore(SIGALRM);
    set(1000, 1000);
    super::support::until("it has rung", || left() == (1000, 0));
    block(&[SIGALRM]);
    default_action(SIGALRM);
    nap(20);
    assert!(!is_pending());
    set(1000, 1000);
    await_pending();
}

fn it_rings_once_without_an_interval() {
    block(&[SIGALRM]);
    set(0, 1000);
    await_rung();
    assert_eq!(left(), (0, 0));
    assert!(take());
    nap(5);
    assert_eq!((left(), is_pending()), ((0, 0), false));
}

fn nothing_rings_after_it_was_disarmed() {
    disarm_while_it_rings(|delay| set(0, delay), || set(0, 0));
}

fn nothing_comes_of_a_posix_timer_that_was_disarmed() {
    let timer = create_timer(&event(SIGALRM, libc::SIGEV_SIGNAL, 0));
    let set = |delay: u64| {
        ok!(SYS_timer_settime, timer, 0, &[0, 0, 0, delay * 1000], 0);
    };
    disarm_while_it_rings(set, || set(0));
}

fn nothing_comes_of_a_posix_timer_that_was_deleted() {
    let timer = Cell::new(0);
    let make = |delay: u64| {
        timer.set(create_timer(&event(SIGALRM, libc::SIGEV_SIGNAL, 0)));
        ok!(SYS_timer_settime, timer.get(), 0, &[0, 0, 0, delay * 1000], 0);
    };
    disarm_while_it_rings(make, || {
        ok!(SYS_timer_delete, timer.get());
    });
}

/// Arms a timer that sends SIGALRM after so many microseconds, and disarms it on another processor while it may be ringing: its signal
/// comes before `disarm` returns, or not at all.
#[track_caller]
fn disarm_while_it_rings(arm: impl Fn(u64), disarm: impl Fn()) {
    block(&[SIGALRM]);
    let cpus = allowed_cpus();
    let mut delay = 50;
    for round in 0..2000 {
        pin(0, cpus[round % cpus.len()]);
        arm(delay);
        pin(0, cpus[(round + 1) % cpus.len()]);
        disarm();
        let rang = is_pending();
        std::thread::yield_now();
        assert!(rang || !is_pending(), "round {round}, {delay} us");
        // Linux 6.18, unlike 6.1, takes back the signal of a POSIX timer that is disarmed or deleted.
        assert!(!take() || rang);
        // So both come at about the same time.
        delay = if rang { delay + 1 } else { delay.max(2) - 1 };
    }
}
