//! Fork, vfork, clone, exec and exit against signals that come meanwhile, and what a new program takes over.
//!
//! The races run many rounds with the signal at another moment each time; what a round may end in does not depend on who is faster.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use libc::{
    SA_RESTART, SIGCONT, SIGKILL, SIGRTMIN, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, WNOHANG,
};

use super::signals::pending;
use super::support::{
    Child, Mapping, Status, block, caught, child, default_action, exec_helper, exit_now,
    helper_output, ignore, nap, pipe, read_text, record, set_of, unblock, until, wait_for,
};
use crate::sys::Errno;
use crate::{fails, ok, sys};

super::area!("signal_races":
    signal_kills_whoever_executes,
    handler_or_death_while_executing,
    group_kill_ends_threads_that_execute,
    stop_and_continue_while_executing,
    group_kill_leaves_no_child_of_a_fork,
    signals_while_forking_are_all_taken,
    signal_waits_for_a_vfork,
    ending_threads_lose_no_signal,
    kill_against_exit_is_one_or_the_other,
    stop_against_exit_is_seen_to_its_end,
    pending_signals_and_mask_survive_exec,
    alternate_stack_does_not_survive_exec,
    alarm_survives_exec,
    timers_end_with_exec,
    timers_are_not_inherited,
    threads_have_no_alternate_stack,
    cloned_process_may_start_with_default_actions,
    shared_actions_are_shared,
    exit_signal_is_chosen_by_clone,
    death_of_the_parent_is_told,
);

/// Rounds of each race.
const ROUNDS: u64 = 20;

/// Passes a little time, more in later rounds.
fn dawdle(round: u64) {
    let start = Instant::now();
    while start.elapsed().as_micros() < u128::from(round * 80) {
        std::hint::spin_loop();
    }
}

/// Lets a child do `prepare`, say that it is ready, and go on with `act`.
fn ready_child(prepare: impl FnOnce(), act: impl FnOnce()) -> Child {
    let (ready, tell) = pipe(0);
    let child = child(|| {
        prepare();
        ok!(SYS_write, tell, b"r", 1);
        ok!(SYS_close, tell);
        act();
    });
    ok!(SYS_read, ready, &mut [0_u8; 1], 1);
    ok!(SYS_close, ready);
    ok!(SYS_close, tell);
    child
}

/// Becomes a program that waits until it is killed.
fn exec_and_stay() -> ! {
    let (input, _never_closed) = pipe(0);
    ok!(SYS_dup2, input, 0);
    exec_helper("hold", &[])
}

/// Starts threads that do nothing for ever.
fn idle_threads(count: usize) {
    for _ in 0..count {
        thread::spawn(|| {
            loop {
                nap(1000);
            }
        });
    }
}

/// A field of `/proc/PID/status`: a signal set.
fn status_set(pid: i32, field: &str) -> u64 {
    let text = read_text(&format!("/proc/{pid}/status"));
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

fn signal_kills_whoever_executes() {
    for round in 0..ROUNDS {
        let child = ready_child(|| idle_threads(2), || exec_and_stay());
        dawdle(round);
        child.kill(SIGTERM);
        assert_eq!(child.status(), Status::Killed(SIGTERM), "round {round}");
    }
}

/// The handler of the old program runs, or the new program dies: never neither, and no handler in the new program.
fn handler_or_death_while_executing() {
    for round in 0..ROUNDS {
        let (input, hold) = pipe(libc::O_CLOEXEC);
        let child = ready_child(
            || {
                record(SIGUSR1, SA_RESTART);
                ok!(SYS_dup2, input, 0);
            },
            || exec_helper("hold", &[]),
        );
        dawdle(round);
        child.kill(SIGUSR1);
        ok!(SYS_close, hold);
        ok!(SYS_close, input);
        let status = child.status();
        let expected = [Status::Exited(0), Status::Killed(SIGUSR1)];
        assert!(expected.contains(&status), "round {round}: {status:?}");
    }
}

fn group_kill_ends_threads_that_execute() {
    for round in 0..ROUNDS {
        let leader = ready_child(
            || _ = ok!(SYS_setpgid, 0, 0),
            || {
                for _ in 0..2 {
                    child(|| {
                        idle_threads(2);
                        // The one that executes is not the first thread.
                        thread::spawn(|| exec_and_stay()).join().unwrap();
                    })
                    .abandon();
                }
                exec_and_stay();
            },
        );
        let group = leader.pid();
        dawdle(4 * round);
        ok!(SYS_kill, -group, SIGKILL);
        assert_eq!(leader.status(), Status::Killed(SIGKILL));
        until("the group is empty", || sys!(SYS_kill, -group, 0) == Err(Errno::ESRCH));
    }
}

fn stop_and_continue_while_executing() {
    for round in 0..ROUNDS {
        let child = ready_child(|| idle_threads(2), || exec_helper("exit", &[c"7"]));
        for _ in 0..3 {
            dawdle(round);
            child.kill(SIGSTOP);
            dawdle(round / 2);
            child.kill(SIGCONT);
        }
        assert_eq!(child.status(), Status::Exited(7), "round {round}");
    }
}

/// A group is killed while a member forks: the child is killed, or was never made.
fn group_kill_leaves_no_child_of_a_fork() {
    for round in 0..ROUNDS {
        let leader = ready_child(
            || _ = ok!(SYS_setpgid, 0, 0),
            || {
                loop {
                    child(|| nap(100_000)).abandon();
                }
            },
        );
        let group = leader.pid();
        dawdle(round);
        ok!(SYS_kill, -group, SIGKILL);
        assert_eq!(leader.status(), Status::Killed(SIGKILL));
        until("the group is empty", || sys!(SYS_kill, -group, 0) == Err(Errno::ESRCH));
    }
}

fn signals_while_forking_are_all_taken() {
    const SENT: u32 = 200;
    let signal = SIGRTMIN();
    record(signal, SA_RESTART);
    let parent = ok!(SYS_getpid);
    let sender = child(|| {
        for _ in 0..SENT {
            while sys!(SYS_kill, parent, signal) == Err(Errno::EAGAIN) {}
        }
    });
    let mut forks = 0;
    while caught(signal) < SENT || forks < 20 {
        let seen = caught(signal);
        // What the parent has not taken is not the child's.
        let child = child(move || {
            let pending = status_set(ok!(SYS_getpid) as i32, "ShdPnd");
            let before = caught(signal);
            exit_now(i32::from(pending != 0 || before < seen));
        });
        child.success();
        forks += 1;
    }
    sender.success();
    assert_eq!(caught(signal), SENT);
}

/// The parent of a vfork takes signals once the child has let it go.
fn signal_waits_for_a_vfork() {
    let shared = Mapping::shared(1);
    let in_child = shared.word(0);
    let forker = child(|| {
        record(SIGUSR1, 0);
        let flags = libc::CLONE_VFORK | libc::SIGCHLD;
        // Without CLONE_VM it is as safe as fork.
        let pid = ok!(SYS_clone, flags, 0, 0, 0, 0);
        if pid == 0 {
            in_child.store(1, Ordering::SeqCst);
            until("it may end", || in_child.load(Ordering::SeqCst) == 2);
            exit_now(0);
        }
        assert_eq!((in_child.load(Ordering::SeqCst), caught(SIGUSR1)), (2, 1));
        Child::from_pid(pid).success();
    });
    until("the child runs", || in_child.load(Ordering::SeqCst) == 1);
    forker.kill(SIGUSR1);
    nap(20);
    assert_eq!(sys!(SYS_wait4, forker.pid(), 0, WNOHANG, 0), Ok(0));
    in_child.store(2, Ordering::SeqCst);
    forker.success();
}

/// Threads end all the time while signals come for their process: the others take each of them.
fn ending_threads_lose_no_signal() {
    const SENT: u32 = 500;
    static OVER: AtomicBool = AtomicBool::new(false);
    let signal = SIGRTMIN() + 1;
    record(signal, SA_RESTART);
    // The main thread does not take them: it is the first choice of every sender.
    let makers: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(|| {
                while !OVER.load(Ordering::SeqCst) {
                    thread::spawn(|| {}).join().unwrap();
                }
            })
        })
        .collect();
    block(&[signal]);
    let parent = ok!(SYS_getpid);
    for _ in 0..SENT {
        while sys!(SYS_kill, parent, signal) == Err(Errno::EAGAIN) {
            nap(1);
        }
    }
    until("all were taken", || caught(signal) == SENT);
    OVER.store(true, Ordering::SeqCst);
    makers.into_iter().for_each(|maker| maker.join().unwrap());
}

fn kill_against_exit_is_one_or_the_other() {
    for round in 0..ROUNDS {
        let child = ready_child(
            || idle_threads(1),
            || {
                dawdle(round % 8);
                exit_now(3);
            },
        );
        dawdle(round % 5);
        child.kill(SIGTERM);
        let status = child.status();
        let expected = [Status::Exited(3), Status::Killed(SIGTERM)];
        assert!(expected.contains(&status), "round {round}: {status:?}");
    }
}

/// A stop, the end of a thread and the end of the process: SIGCONT always gets the process to its end.
fn stop_against_exit_is_seen_to_its_end() {
    for round in 0..ROUNDS {
        let child = ready_child(
            || {
                thread::spawn(move || dawdle(round % 8));
            },
            || {
                dawdle(round % 7);
                exit_now(4);
            },
        );
        dawdle(round % 5);
        child.kill(SIGSTOP);
        let (_, status) = wait_for(child.pid(), libc::WUNTRACED).unwrap();
        match status {
            Status::Exited(4) => {}
            Status::Stopped(SIGSTOP) => {
                child.kill(SIGCONT);
                assert_eq!(child.status(), Status::Exited(4));
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

fn pending_signals_and_mask_survive_exec() {
    let (input, hold) = pipe(libc::O_CLOEXEC);
    let child = ready_child(
        || {
            block(&[SIGUSR1, SIGUSR2, SIGTERM]);
            ignore(SIGWINCH);
            record(SIGUSR2, 0);
            ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
            ok!(SYS_tgkill, ok!(SYS_getpid), ok!(SYS_gettid), SIGUSR2);
            ok!(SYS_dup2, input, 0);
        },
        || exec_helper("hold", &[]),
    );
    let pid = child.pid();
    until("it executed", || status_set(pid, "SigCgt") & set_of(&[SIGUSR2]) == 0);
    assert_eq!(status_set(pid, "ShdPnd"), set_of(&[SIGUSR1]));
    assert_eq!(status_set(pid, "SigPnd"), set_of(&[SIGUSR2]));
    assert_eq!(status_set(pid, "SigBlk"), set_of(&[SIGUSR1, SIGUSR2, SIGTERM]));
    assert_ne!(status_set(pid, "SigIgn") & set_of(&[SIGWINCH]), 0);
    ok!(SYS_close, hold);
    ok!(SYS_close, input);
    child.success();
}

/// The helper's Rust runtime makes a stack of its own, so the old one is looked for.
fn alternate_stack_does_not_survive_exec() {
    let output = helper_output("arguments", &[], || {
        let stack = libc::stack_t { ss_sp: 0x10_0000 as *mut _, ss_flags: 0, ss_size: 1 << 16 };
        ok!(SYS_sigaltstack, &stack, 0);
    });
    // A handler on a stack that the new program does not have would have killed it at its first signal.
    assert!(output.contains("argument suite"), "{output}");
}

fn alarm_survives_exec() {
    let (input, _hold) = pipe(libc::O_CLOEXEC);
    let child = child(|| {
        ok!(SYS_dup2, input, 0);
        default_action(libc::SIGALRM);
        ok!(SYS_alarm, 1);
        exec_helper("hold", &[]);
    });
    assert_eq!(child.status(), Status::Killed(libc::SIGALRM));
}

/// A POSIX timer that sends SIGUSR1, twice in a second; its id.
fn make_timer() -> i32 {
    // SAFETY: a zeroed sigevent is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    let mut id = 0_i32;
    ok!(SYS_timer_create, libc::CLOCK_MONOTONIC, &event, &mut id);
    let value = [0_i64, 500_000_000, 0, 500_000_000];
    ok!(SYS_timer_settime, id, 0, &value, 0);
    id
}

/// What the suite's helper `timers` does: says whether there is a timer, and whether one has sent SIGUSR1 or does so for longer than
/// its period.
pub(super) fn helper() {
    let there = sys!(SYS_timer_gettime, 0, &mut [0_i64; 4]).err();
    let limit = [1_i64, 200_000_000];
    let sent = sys!(SYS_rt_sigtimedwait, &set_of(&[SIGUSR1]), 0, &limit, 8).err();
    println!("{there:?} {sent:?}");
}

/// And so do their pending signals.
fn timers_end_with_exec() {
    let output = helper_output("timers", &[], || {
        block(&[SIGUSR1]);
        assert_eq!(make_timer(), 0, "the first one");
        until("the timer has sent its signal", || pending() & set_of(&[SIGUSR1]) != 0);
    });
    assert_eq!(output, "Some(EINVAL) Some(EAGAIN)\n");
}

fn timers_are_not_inherited() {
    block(&[SIGUSR1]);
    make_timer();
    let child = child(|| {
        default_action(SIGUSR1);
        unblock(&[SIGUSR1]);
        fails!(EINVAL: SYS_timer_delete, 0);
        nap(1200);
    });
    child.success();
}

fn threads_have_no_alternate_stack() {
    let memory = Mapping::private(16);
    let stack = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(memory.address()),
        ss_flags: 0,
        ss_size: memory.len(),
    };
    ok!(SYS_sigaltstack, &stack, 0);
    // A forked child keeps it, at the same address.
    child(move || {
        let mut own = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        ok!(SYS_sigaltstack, 0, &mut own);
        assert_eq!((own.ss_sp.addr(), own.ss_flags), (stack.ss_sp.addr(), 0));
    })
    .success();
    let address = stack.ss_sp.addr();
    let in_thread = thread::spawn(move || {
        let mut own = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        ok!(SYS_sigaltstack, 0, &mut own);
        own.ss_sp.addr() == address
    });
    assert!(!in_thread.join().unwrap(), "a thread begins with its creator's stack");
}

/// clone3(2) with these flags and exit signal; the child gets 0.
fn clone3(flags: u64, exit_signal: i32) -> usize {
    /// The first version of `struct clone_args`.
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
    }
    let arguments = Arguments { flags, exit_signal: exit_signal as u64, ..Arguments::default() };
    ok!(SYS_clone3, &arguments, size_of_val(&arguments))
}

fn cloned_process_may_start_with_default_actions() {
    /// `CLONE_CLEAR_SIGHAND`.
    const CLEAR_ACTIONS: u64 = 1 << 32;
    record(SIGUSR1, 0);
    ignore(SIGUSR2);
    let pid = clone3(CLEAR_ACTIONS, libc::SIGCHLD);
    if pid == 0 {
        let own = ok!(SYS_getpid) as i32;
        let kept = status_set(own, "SigCgt") & set_of(&[SIGUSR1]) != 0;
        let ignored = status_set(own, "SigIgn") & set_of(&[SIGUSR2]) != 0;
        exit_now(i32::from(kept) | i32::from(!ignored) << 1);
    }
    Child::from_pid(pid).success();
    assert_ne!(status_set(ok!(SYS_getpid) as i32, "SigCgt") & set_of(&[SIGUSR1]), 0);
}

/// Threads share actions: what one sets the others have.
fn shared_actions_are_shared() {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    thread::spawn(|| record(SIGUSR1, 0)).join().unwrap();
    ok!(SYS_kill, ok!(SYS_getpid), SIGUSR1);
    until("it was caught", || caught(SIGUSR1) == 1);
    let thread = thread::spawn(|| {
        ok!(SYS_tgkill, ok!(SYS_getpid), ok!(SYS_gettid), SIGUSR1);
        TAKEN.store(caught(SIGUSR1), Ordering::SeqCst);
    });
    thread.join().unwrap();
    assert_eq!(TAKEN.load(Ordering::SeqCst), 2);
}

fn exit_signal_is_chosen_by_clone() {
    record(SIGUSR2, SA_RESTART);
    record(libc::SIGCHLD, SA_RESTART);
    let pid = clone3(0, SIGUSR2);
    if pid == 0 {
        exit_now(0);
    }
    until("the signal came", || caught(SIGUSR2) == 1);
    // Such a child is no ordinary one: only __WCLONE or __WALL finds it.
    fails!(ECHILD: SYS_wait4, pid, 0, WNOHANG, 0);
    assert_eq!(ok!(SYS_wait4, pid, 0, libc::__WCLONE, 0), pid);
    assert_eq!(caught(libc::SIGCHLD), 0);
}

fn death_of_the_parent_is_told() {
    let shared = Mapping::shared(1);
    let told = shared.word(0);
    let parent = child(|| {
        let before = ok!(SYS_getpid);
        let orphan = child(|| {
            record(SIGUSR1, 0);
            ok!(SYS_prctl, libc::PR_SET_PDEATHSIG, SIGUSR1);
            told.store(1, Ordering::SeqCst);
            until("the parent is gone", || ok!(SYS_getppid) != before);
            until("it was told", || caught(SIGUSR1) == 1);
            told.store(2, Ordering::SeqCst);
        });
        until("it listens", || told.load(Ordering::SeqCst) == 1);
        orphan.abandon();
    });
    parent.success();
    until("the orphan was told", || told.load(Ordering::SeqCst) == 2);
}
