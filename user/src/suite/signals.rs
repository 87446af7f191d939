//! Sending signals, actions, masks, queues, what fork and exec keep.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

use libc::{
    SA_NODEFER, SA_RESETHAND, SI_QUEUE, SI_TKILL, SI_USER, SIG_BLOCK, SIG_SETMASK, SIGABRT,
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSTOP, SIGTERM, SIGURG,
    SIGUSR1, SIGUSR2, SIGWINCH,
};

use super::support::{
    Child, Info, Status, block, caught, child, default_action, exec_helper, ignore, in_child,
    install, last_info, nap, needs_root, record, set_of, unblock, until, wait_for,
};
use crate::{fails, ok, sys};

super::area!("signals":
    handler_runs_before_kill_returns,
    siginfo_names_the_sender,
    sigqueue_carries_a_value,
    tgkill_reaches_one_thread,
    kill_refuses_bad_arguments,
    signal_zero_only_looks,
    process_group_gets_all,
    user_may_not_kill_root,
    blocked_signal_is_pending,
    standard_signal_queues_once,
    real_time_signals_queue_in_order,
    lowest_number_first,
    mask_operations,
    kill_and_stop_cannot_be_blocked,
    kill_and_stop_cannot_be_caught,
    sigaction_reads_back,
    sigaction_refuses_bad_arguments,
    handler_blocks_its_own_signal,
    nodefer_nests,
    resethand_runs_once,
    handler_mask_applies,
    ignored_signal_is_discarded,
    pending_is_not_inherited,
    mask_is_inherited,
    default_actions_that_kill,
    default_actions_that_ignore,
    core_bit_follows_the_signal,
    alarm_fires_once,
    interval_timer_repeats,
    alarm_is_not_inherited,
    exec_resets_handlers,
    abort_kills_though_ignored,
    many_signals_all_arrive,
    queue_limit_is_enforced,
);

pub(super) fn raise(signal: i32) {
    ok!(SYS_kill, ok!(SYS_getpid), signal);
}

fn handler_runs_before_kill_returns() {
    record(SIGUSR1, 0);
    for round in 1..=10 {
        raise(SIGUSR1);
        assert_eq!(caught(SIGUSR1), round);
    }
}

fn siginfo_names_the_sender() {
    record(SIGUSR1, 0);
    let parent = ok!(SYS_getpid);
    let child = child(|| {
        ok!(SYS_kill, parent, SIGUSR1);
    });
    until("the signal came", || caught(SIGUSR1) == 1);
    let info = last_info();
    assert_eq!((info.signal, info.code, info.pid), (SIGUSR1, SI_USER, child.pid()));
    assert_eq!(info.uid as usize, ok!(SYS_getuid));
    child.success();
}

/// A siginfo as rt_sigqueueinfo wants it.
pub(super) fn queue_info(signal: i32, value: i32) -> [u32; 32] {
    let mut words = [0_u32; 32];
    words[0] = signal as u32;
    words[2] = SI_QUEUE as u32;
    words[4] = ok!(SYS_getpid) as u32;
    words[5] = ok!(SYS_getuid) as u32;
    words[6] = value as u32;
    words
}

fn sigqueue_carries_a_value() {
    record(SIGUSR2, 0);
    let pid = ok!(SYS_getpid);
    ok!(SYS_rt_sigqueueinfo, pid, SIGUSR2, &queue_info(SIGUSR2, 4711));
    assert_eq!((last_info().code, last_info().status), (SI_QUEUE, 4711));
    // Only the kernel may claim that the kernel or kill sent it, except to oneself.
    let mut forged = queue_info(SIGUSR2, 0);
    forged[2] = SI_USER as u32;
    in_child(|| fails!(EPERM: SYS_rt_sigqueueinfo, pid, SIGUSR2, &forged));
    ok!(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR2, &queue_info(SIGUSR2, 5));
    assert_eq!((caught(SIGUSR2), last_info().status), (2, 5));
}

fn tgkill_reaches_one_thread() {
    static RAN_IN: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: i32, _: usize, _: usize) {
        RAN_IN.store(ok!(SYS_gettid), SeqCst);
    }
    install(SIGUSR1, handler as *const () as usize, 0);
    let pid = ok!(SYS_getpid);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        sender.send(ok!(SYS_gettid)).unwrap();
        nap(100_000);
    });
    let tid = receiver.recv().unwrap();
    ok!(SYS_tgkill, pid, tid, SIGUSR1);
    until("the thread's handler ran", || RAN_IN.load(SeqCst) == tid);
    ok!(SYS_tkill, pid, SIGUSR1);
    assert_eq!(RAN_IN.load(SeqCst), pid);
    fails!(ESRCH: SYS_tgkill, pid + 1, tid, SIGUSR1);
    fails!(EINVAL: SYS_tgkill, -1, tid, SIGUSR1);
    fails!(EINVAL: SYS_tkill, 0, SIGUSR1);
}

fn kill_refuses_bad_arguments() {
    fails!(EINVAL: SYS_kill, ok!(SYS_getpid), 65);
    fails!(EINVAL: SYS_kill, ok!(SYS_getpid), -1);
    fails!(ESRCH: SYS_kill, 0x3fff_ffff, SIGTERM);
    fails!(ESRCH: SYS_kill, -0x3fff_ffff, SIGTERM);
}

fn signal_zero_only_looks() {
    ok!(SYS_kill, ok!(SYS_getpid), 0);
    ok!(SYS_kill, 0, 0);
    let child = child(|| nap(100_000));
    ok!(SYS_kill, child.pid(), 0);
    child.finish();
}

fn process_group_gets_all() {
    let leader = child(|| {
        ok!(SYS_setpgid, 0, 0);
        nap(100_000);
    });
    let group = leader.pid();
    let _ = sys!(SYS_setpgid, group, group);
    let member = child(|| {
        ok!(SYS_setpgid, 0, group);
        nap(100_000);
    });
    let _ = sys!(SYS_setpgid, member.pid(), group);
    let stranger = child(|| nap(100_000));
    ok!(SYS_kill, -group, SIGTERM);
    assert_eq!(leader.status(), Status::Killed(SIGTERM));
    assert_eq!(member.status(), Status::Killed(SIGTERM));
    assert_eq!(wait_for(stranger.pid(), libc::WNOHANG).unwrap().0, 0);
    stranger.finish();
}

fn user_may_not_kill_root() {
    needs_root();
    let root = child(|| nap(100_000));
    in_child(|| {
        ok!(SYS_setresuid, 1000, 1000, 1000);
        fails!(EPERM: SYS_kill, root.pid(), SIGTERM);
        fails!(EPERM: SYS_kill, root.pid(), 0);
        let own = child(|| nap(100_000));
        ok!(SYS_kill, own.pid(), SIGTERM);
        assert_eq!(own.status(), Status::Killed(SIGTERM));
    });
    root.finish();
}

pub(super) fn pending() -> u64 {
    let mut set = 0_u64;
    ok!(SYS_rt_sigpending, &mut set, 8);
    set
}

fn blocked_signal_is_pending() {
    record(SIGUSR1, 0);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!((caught(SIGUSR1), pending()), (0, set_of(&[SIGUSR1])));
    unblock(&[SIGUSR1]);
    assert_eq!((caught(SIGUSR1), pending()), (1, 0));
}

fn standard_signal_queues_once() {
    record(SIGUSR1, 0);
    block(&[SIGUSR1]);
    for value in 1..=5 {
        ok!(SYS_rt_sigqueueinfo, ok!(SYS_getpid), SIGUSR1, &queue_info(SIGUSR1, value));
    }
    unblock(&[SIGUSR1]);
    assert_eq!((caught(SIGUSR1), last_info().status), (1, 1), "the first one's siginfo");
}

static ORDER: [AtomicI32; 16] = [const { AtomicI32::new(0) }; 16];
static ORDER_LENGTH: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_order(signal: i32, info: *const [u32; 32], _: usize) {
    // SAFETY: the kernel passes a siginfo_t, 128 bytes.
    let info = Info::decode(unsafe { &*info });
    let at = ORDER_LENGTH.fetch_add(1, SeqCst);
    ORDER[at].store(signal * 1000 + info.status, SeqCst);
}

fn order() -> Vec<i32> {
    ORDER[..ORDER_LENGTH.load(SeqCst)].iter().map(|entry| entry.load(SeqCst)).collect()
}

/// Installs `note_order` for a signal; while it runs, all others are blocked.
fn record_order(signal: i32) {
    let action = [note_order as *const () as usize, libc::SA_SIGINFO as usize, 0, usize::MAX];
    // The C library's trampoline is needed, so take it from an action that it installed.
    install(signal, note_order as *const () as usize, 0);
    let mut installed = [0_usize; 4];
    ok!(SYS_rt_sigaction, signal, 0, &mut installed, 8);
    let full = [action[0], installed[1], installed[2], usize::MAX];
    ok!(SYS_rt_sigaction, signal, &full, 0, 8);
}

fn real_time_signals_queue_in_order() {
    record_order(40);
    block(&[40]);
    for value in 1..=5 {
        ok!(SYS_rt_sigqueueinfo, ok!(SYS_getpid), 40, &queue_info(40, value));
    }
    unblock(&[40]);
    assert_eq!(order(), [40_001, 40_002, 40_003, 40_004, 40_005]);
}

fn lowest_number_first() {
    let signals = [SIGTERM, 50, SIGUSR1, 45, SIGHUP];
    for signal in signals {
        record_order(signal);
    }
    block(&signals);
    for signal in signals {
        ok!(SYS_rt_sigqueueinfo, ok!(SYS_getpid), signal, &queue_info(signal, 0));
    }
    unblock(&signals);
    assert_eq!(order(), [1000, 10_000, 15_000, 45_000, 50_000]);
}

fn mask_operations() {
    let mut old = 0_u64;
    ok!(SYS_rt_sigprocmask, SIG_SETMASK, &set_of(&[SIGUSR1]), 0, 8);
    ok!(SYS_rt_sigprocmask, SIG_BLOCK, &set_of(&[SIGUSR2, 64]), &mut old, 8);
    assert_eq!(old, set_of(&[SIGUSR1]));
    ok!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &set_of(&[SIGUSR1]), &mut old, 8);
    assert_eq!(old, set_of(&[SIGUSR1, SIGUSR2, 64]));
    ok!(SYS_rt_sigprocmask, 0, 0, &mut old, 8);
    assert_eq!(old, set_of(&[SIGUSR2, 64]));
    fails!(EINVAL: SYS_rt_sigprocmask, 7, &0_u64, 0, 8);
    fails!(EINVAL: SYS_rt_sigprocmask, SIG_BLOCK, &0_u64, 0, 4);
    fails!(EFAULT: SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8);
}

fn kill_and_stop_cannot_be_blocked() {
    let mut old = 0_u64;
    ok!(SYS_rt_sigprocmask, SIG_SETMASK, &u64::MAX, 0, 8);
    ok!(SYS_rt_sigprocmask, 0, 0, &mut old, 8);
    assert_eq!(old, !set_of(&[SIGKILL, SIGSTOP]));
}

fn kill_and_stop_cannot_be_caught() {
    for signal in [SIGKILL, SIGSTOP] {
        fails!(EINVAL: SYS_rt_sigaction, signal, &[libc::SIG_IGN, 0, 0, 0], 0, 8);
        ok!(SYS_rt_sigaction, signal, 0, &mut [0_usize; 4], 8);
    }
}

fn sigaction_reads_back() {
    let restorer = 0x0400_0000;
    let action =
        [0x1234_usize, (libc::SA_RESTART | libc::SA_SIGINFO) as usize | restorer, 0x5678, 0xff];
    ok!(SYS_rt_sigaction, SIGUSR1, &action, 0, 8);
    let mut read = [0_usize; 4];
    ok!(SYS_rt_sigaction, SIGUSR1, &[libc::SIG_DFL, 0, 0, 0], &mut read, 8);
    assert_eq!(read, action);
    // SIGKILL and SIGSTOP are dropped from the handler's mask; unknown flags are cleared.
    let action = [1_usize, restorer | 1 << 20, 0, usize::MAX];
    ok!(SYS_rt_sigaction, SIGUSR1, &action, 0, 8);
    ok!(SYS_rt_sigaction, SIGUSR1, 0, &mut read, 8);
    assert_eq!(read[3] as u64, !set_of(&[SIGKILL, SIGSTOP]));
    assert_eq!(read[1], restorer);
}

fn sigaction_refuses_bad_arguments() {
    let mut action = [0_usize; 4];
    fails!(EINVAL: SYS_rt_sigaction, 0, 0, &mut action, 8);
    fails!(EINVAL: SYS_rt_sigaction, 65, 0, &mut action, 8);
    fails!(EINVAL: SYS_rt_sigaction, SIGUSR1, 0, &mut action, 16);
    fails!(EFAULT: SYS_rt_sigaction, SIGUSR1, 8, 0, 8);
}

static DEPTH: AtomicUsize = AtomicUsize::new(0);
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

extern "C" fn raise_itself(signal: i32, _: usize, _: usize) {
    let depth = DEPTH.fetch_add(1, SeqCst) + 1;
    DEEPEST.fetch_max(depth, SeqCst);
    if DEEPEST.load(SeqCst) < 5 && ORDER_LENGTH.fetch_add(1, SeqCst) < 10 {
        raise(signal);
    }
    DEPTH.fetch_sub(1, SeqCst);
}

fn handler_blocks_its_own_signal() {
    install(SIGUSR1, raise_itself as *const () as usize, 0);
    raise(SIGUSR1);
    assert_eq!(DEEPEST.load(SeqCst), 1);
    assert_eq!(ORDER_LENGTH.load(SeqCst), 11, "each came after the one before had returned");
}

fn nodefer_nests() {
    install(SIGUSR1, raise_itself as *const () as usize, SA_NODEFER);
    raise(SIGUSR1);
    assert_eq!((DEEPEST.load(SeqCst), DEPTH.load(SeqCst)), (5, 0));
}

fn resethand_runs_once() {
    record(SIGUSR1, SA_RESETHAND);
    let child = child(|| {
        raise(SIGUSR1);
        assert_eq!(caught(SIGUSR1), 1);
        raise(SIGUSR1);
    });
    assert_eq!(child.status(), Status::Killed(SIGUSR1));
}

fn handler_mask_applies() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: i32, _: usize, _: usize) {
        let mut mask = 0_usize;
        ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
        SEEN.store(mask, SeqCst);
    }
    install(SIGUSR1, handler as *const () as usize, 0);
    let mut action = [0_usize; 4];
    ok!(SYS_rt_sigaction, SIGUSR1, 0, &mut action, 8);
    action[3] = set_of(&[SIGINT, 50]) as usize;
    ok!(SYS_rt_sigaction, SIGUSR1, &action, 0, 8);
    block(&[SIGHUP]);
    raise(SIGUSR1);
    assert_eq!(SEEN.load(SeqCst) as u64, set_of(&[SIGHUP, SIGUSR1, SIGINT, 50]));
    let mut mask = 0_u64;
    ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
    assert_eq!(mask, set_of(&[SIGHUP]), "the mask comes back");
}

fn ignored_signal_is_discarded() {
    ignore(SIGUSR1);
    raise(SIGUSR1);
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    assert_eq!(pending(), set_of(&[SIGUSR1]), "blocked, so it is kept: the action may change");
    ignore(SIGUSR1);
    assert_eq!(pending(), 0, "setting it to ignore discards");
}

fn pending_is_not_inherited() {
    block(&[SIGUSR1]);
    raise(SIGUSR1);
    in_child(|| assert_eq!(pending(), 0));
    assert_eq!(pending(), set_of(&[SIGUSR1]));
}

fn mask_is_inherited() {
    block(&[SIGUSR1, 60]);
    let mask = || {
        let mut mask = 0_u64;
        ok!(SYS_rt_sigprocmask, 0, 0, &mut mask, 8);
        mask
    };
    let expected = set_of(&[SIGUSR1, 60]);
    in_child(|| assert_eq!(mask(), expected));
    std::thread::spawn(move || assert_eq!(mask(), expected)).join().unwrap();
}

fn default_actions_that_kill() {
    for signal in [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGPIPE, SIGALRM, libc::SIGIO, 34, 64] {
        let child = child(|| {
            default_action(signal);
            // 34 belongs to the C library, whose wrapper refuses it.
            let _ = sys!(SYS_rt_sigaction, signal, &[0_usize; 4], 0, 8);
            raise(signal);
        });
        assert_eq!(child.status(), Status::Killed(signal));
    }
}

fn default_actions_that_ignore() {
    for signal in [SIGCHLD, SIGURG, SIGWINCH, SIGCONT] {
        in_child(|| raise(signal));
    }
}

fn core_bit_follows_the_signal() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    for signal in [SIGQUIT, SIGABRT, libc::SIGSEGV, libc::SIGXCPU] {
        let child = child(|| {
            default_action(signal);
            raise(signal);
        });
        assert_eq!(child.status().signal(), Some(signal));
    }
}

fn alarm_fires_once() {
    record(SIGALRM, 0);
    assert_eq!(ok!(SYS_alarm, 100), 0);
    let left = ok!(SYS_alarm, 0);
    assert!((99..=100).contains(&left), "{left}");
    ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64, 0, 0, 10_000], 0);
    until("the alarm came", || caught(SIGALRM) == 1);
    assert_eq!(last_info().code, 0x80);
    nap(20);
    assert_eq!(caught(SIGALRM), 1);
}

fn interval_timer_repeats() {
    record(SIGALRM, 0);
    ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64, 2_000, 0, 2_000], 0);
    until("it had fired five times", || caught(SIGALRM) >= 5);
    let mut old = [0_i64; 4];
    ok!(SYS_setitimer, libc::ITIMER_REAL, &[0_i64; 4], &mut old);
    assert_eq!(old[..2], [0, 2_000]);
    fails!(EINVAL: SYS_setitimer, 3, &[0_i64; 4], 0);
    fails!(EINVAL: SYS_setitimer, libc::ITIMER_REAL, &[0_i64, 0, 0, 1_000_000], 0);
    ok!(SYS_getitimer, libc::ITIMER_REAL, &mut old);
    assert_eq!(old, [0; 4]);
}

fn alarm_is_not_inherited() {
    ok!(SYS_alarm, 100);
    in_child(|| assert_eq!(ok!(SYS_alarm, 0), 0));
}

fn exec_resets_handlers() {
    record(SIGUSR1, 0);
    let child = child(|| {
        exec_helper("hold", &[]);
    });
    assert_eq!(child.status(), Status::Exited(0));
}

fn abort_kills_though_ignored() {
    ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
    let child = child(|| {
        ignore(SIGABRT);
        // SAFETY: abort may be called at any time.
        unsafe { libc::abort() }
    });
    assert_eq!(child.status().signal(), Some(SIGABRT));
}

fn many_signals_all_arrive() {
    record(45, 0);
    let parent = ok!(SYS_getpid);
    let senders: Vec<Child> = (0..4)
        .map(|_| {
            child(|| {
                for value in 0..100 {
                    ok!(SYS_rt_sigqueueinfo, parent, 45, &queue_info(45, value));
                }
            })
        })
        .collect();
    for sender in senders {
        sender.success();
    }
    until("all had arrived", || caught(45) == 400);
}

fn queue_limit_is_enforced() {
    block(&[45, SIGUSR1]);
    ok!(SYS_setrlimit, libc::RLIMIT_SIGPENDING, &[5_u64, 5]);
    let pid = ok!(SYS_getpid);
    let mut sent = 0;
    while sys!(SYS_rt_sigqueueinfo, pid, 45, &queue_info(45, sent)).is_ok() {
        sent += 1;
        assert!(sent <= 5);
    }
    fails!(EAGAIN: SYS_rt_sigqueueinfo, pid, 45, &queue_info(45, 0));
    // kill always gets through.
    raise(SIGUSR1);
    assert!(pending() & set_of(&[SIGUSR1]) != 0);
    let mut words = [0_u32; 32];
    ok!(SYS_rt_sigtimedwait, &set_of(&[SIGUSR1]), &mut words, 0, 8);
    assert!([SI_USER, SI_TKILL].contains(&Info::decode(&words).code));
}
