//! Waiting for signals: sigsuspend, pause, sigtimedwait, signalfd.

use libc::{SI_QUEUE, SI_USER, SIGUSR1, SIGUSR2, timespec};

use super::signals::{pending, queue_info, raise};
use super::support::{Info, block, caught, interrupter, record, set_of};
use crate::{fails, ok};

super::area!("signal_waits":
    sigsuspend_swaps_the_mask,
    pause_waits,
    sigtimedwait_takes_the_signal,
    sigtimedwait_times_out,
    sigtimedwait_that_looks_leaves_no_trace,
    signalfd_reads_signals,
);

fn sigsuspend_swaps_the_mask() {
    record(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    fails!(EINTR: SYS_rt_sigsuspend, &0_u64, 8);
    assert_eq!(caught(SIGUSR1), 1);
    let mut mask = 0_u64;
    ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
    assert_eq!(mask, set_of(&[SIGUSR1]));
    let sender = interrupter(SIGUSR1, || {});
    fails!(EINTR: SYS_rt_sigsuspend, &0_u64, 8);
    assert_eq!(caught(SIGUSR1), 2);
    sender.success();
}

fn pause_waits() {
    record(SIGUSR1, libc::SA_RESTART);
    let sender = interrupter(SIGUSR1, || {});
    fails!(EINTR: SYS_pause);
    assert_eq!(caught(SIGUSR1), 1);
    sender.success();
}

fn sigtimedwait_takes_the_signal() {
    block(&[SIGUSR1, SIGUSR2]);
    let set = set_of(&[SIGUSR1, SIGUSR2]);
    let mut words = [0_u32; 32];
    ok!(SYS_rt_sigqueueinfo, ok!(SYS_getpid), SIGUSR2, &queue_info(SIGUSR2, 6));
    assert_eq!(ok!(SYS_rt_sigtimedwait, &set, &mut words, 0, 8) as i32, SIGUSR2);
    assert_eq!((Info::decode(&words).code, Info::decode(&words).status), (SI_QUEUE, 6));
    let sender = interrupter(SIGUSR1, || {});
    assert_eq!(ok!(SYS_rt_sigtimedwait, &set, 0, 0, 8) as i32, SIGUSR1);
    assert_eq!(pending(), 0);
    sender.success();
}

fn sigtimedwait_times_out() {
    block(&[SIGUSR1]);
    let set = set_of(&[SIGUSR1]);
    let limit = timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    fails!(EAGAIN: SYS_rt_sigtimedwait, &set, 0, &limit, 8);
    fails!(EAGAIN: SYS_rt_sigtimedwait, &set, 0, &timespec { tv_sec: 0, tv_nsec: 0 }, 8);
    fails!(EINVAL: SYS_rt_sigtimedwait, &set, 0, &timespec { tv_sec: 0, tv_nsec: -1 }, 8);
    // A signal outside the set interrupts.
    record(SIGUSR2, libc::SA_RESTART);
    let sender = interrupter(SIGUSR2, || {});
    fails!(EINTR: SYS_rt_sigtimedwait, &set, 0, 0, 8);
    sender.success();
}

fn sigtimedwait_that_looks_leaves_no_trace() {
    block(&[SIGUSR1]);
    let set = set_of(&[SIGUSR1]);
    let zero = timespec { tv_sec: 0, tv_nsec: 0 };
    fails!(EAGAIN: SYS_rt_sigtimedwait, &set, 0, &zero, 8);
    // It is blocked as before: it waits, wakes nobody, and is there for the next look.
    ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
    assert_eq!(pending(), set);
    ok!(SYS_nanosleep, &timespec { tv_sec: 0, tv_nsec: 1_000_000 }, 0);
    assert_eq!(ok!(SYS_rt_sigtimedwait, &set, 0, &zero, 8) as i32, SIGUSR1);
    assert_eq!(pending(), 0);
}

fn signalfd_reads_signals() {
    block(&[SIGUSR1, SIGUSR2]);
    let fd = ok!(SYS_signalfd4, -1, &set_of(&[SIGUSR1]), 8, libc::SFD_NONBLOCK);
    let mut record = [[0_u32; 32]; 2];
    fails!(EAGAIN: SYS_read, fd, &mut record, 256);
    raise(SIGUSR1);
    raise(SIGUSR2);
    assert_eq!(ok!(SYS_read, fd, &mut record, 256), 128);
    assert_eq!((record[0][0] as i32, record[0][2] as i32), (SIGUSR1, SI_USER));
    assert_eq!(record[0][3] as usize, ok!(SYS_getpid));
    assert_eq!(ok!(SYS_signalfd4, fd, &set_of(&[SIGUSR2]), 8, 0), fd);
    assert_eq!(ok!(SYS_read, fd, &mut record, 256), 128);
    assert_eq!(record[0][0] as i32, SIGUSR2);
    fails!(EINVAL: SYS_read, fd, &mut record, 100);
    fails!(EINVAL: SYS_signalfd4, 1, &0_u64, 8, 0);
}
