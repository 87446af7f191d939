//! Two processes that take turns, on one processor and on two; and threads that come and go.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::{Case, by_place};
use crate::bench::clock::ticks;
use crate::bench::cpus;
use crate::bench::memory::SharedWords;
use crate::bench::meter::{Meter, Plan, Row};
use crate::bench::process::partner;
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "yield_pair",
        description: "sched_yield(2) to another process of the same processor that yields as well: a turn \
                      of each.",
        run: yield_pair,
    },
    Case {
        name: "pipe_ping_pong",
        description: "A byte to another process by a pipe, and one back by another pipe.",
        run: |meter| by_place(meter, pipes),
    },
    Case {
        name: "socket_ping_pong",
        description: "A byte to another process and back by a socketpair(2) of stream sockets.",
        run: |meter| by_place(meter, sockets),
    },
    Case {
        name: "futex_ping_pong",
        description: "A futex(2) wake-up of another process and the wait for its answer.",
        run: |meter| by_place(meter, futexes),
    },
    Case {
        name: "thread_create_join",
        description: "A thread made and joined by the C library, which runs an empty function.",
        run: thread_create_join,
    },
];

/// Round trips of one sample.
const ROUNDS: u64 = 50;
const PLAN: Plan = Plan { samples: 200, operations: ROUNDS };

fn yield_pair(meter: &Meter) -> Result<(), Failure> {
    /// Turns of the other process before anything is measured: a fair scheduler lets the younger one catch up.
    const SETTLED: u64 = 2000;
    meter.row("", |row| {
        let cpu = cpus::first(1)?[0];
        cpus::pin(cpu)?;
        let turns = SharedWords::new(1)?;
        let turns = turns.word(0);
        let child = partner(cpu, || {
            turns.fetch_add(1, Ordering::Relaxed);
            sys!(SYS_sched_yield)?;
            Ok(())
        })?;
        let yield_until = |turn: u64| -> Result<(), Errno> {
            while turns.load(Ordering::Relaxed) < turn {
                sys!(SYS_sched_yield)?;
            }
            Ok(())
        };
        yield_until(SETTLED)?;
        row.sample(PLAN, || {
            let before = turns.load(Ordering::Relaxed);
            let start = ticks();
            yield_until(before + ROUNDS)?;
            Ok(row.clock().since(start))
        })?;
        child.finish()?;
        Ok(())
    });
    Ok(())
}

/// Measures round trips to a partner: `there` is what this process does, `back` what the other one does.
fn round_trips(
    row: &Row,
    cpus: [usize; 2],
    mut there: impl FnMut() -> Result<(), Failure>,
    back: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    cpus::pin(cpus[0])?;
    let child = partner(cpus[1], back)?;
    row.sample(PLAN, || {
        let start = ticks();
        for _ in 0..ROUNDS {
            there()?;
        }
        Ok(row.clock().since(start))
    })?;
    child.finish()?;
    Ok(())
}

/// Writes a byte.
fn send(fd: i32) -> Result<(), Failure> {
    sys!(SYS_write, fd, b"x", 1)?;
    Ok(())
}

/// Reads a byte.
fn receive(fd: i32) -> Result<(), Failure> {
    match sys!(SYS_read, fd, &mut [0_u8; 1], 1)? {
        1 => Ok(()),
        _ => Err("the other end was closed".into()),
    }
}

/// Runs `body` with descriptors that are closed afterwards.
fn with_descriptors(
    descriptors: &[i32],
    body: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let outcome = body();
    for fd in descriptors {
        sys!(SYS_close, *fd)?;
    }
    outcome
}

fn pipes(row: &Row, cpus: [usize; 2]) -> Result<(), Failure> {
    let (mut there, mut back) = ([0_i32; 2], [0_i32; 2]);
    sys!(SYS_pipe2, &mut there, 0)?;
    sys!(SYS_pipe2, &mut back, 0)?;
    with_descriptors(&[there[0], there[1], back[0], back[1]], || {
        let ours = || send(there[1]).and_then(|()| receive(back[0]));
        round_trips(row, cpus, ours, || receive(there[0]).and_then(|()| send(back[1])))
    })
}

fn sockets(row: &Row, cpus: [usize; 2]) -> Result<(), Failure> {
    let mut pair = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut pair)?;
    let [ours, theirs] = pair;
    with_descriptors(&pair, || {
        let there = || send(ours).and_then(|()| receive(ours));
        round_trips(row, cpus, there, || receive(theirs).and_then(|()| send(theirs)))
    })
}

/// Whose turn it is, in the futex case: neither's word may be woken before it is set.
const OURS: u64 = 0;
const THEIRS: u64 = 1;

/// Gives the turn away and wakes the other.
fn hand_over(turn: &AtomicU64, next: u64) -> Result<(), Errno> {
    turn.store(next, Ordering::Release);
    // The futex is the word's lower half, which comes first.
    sys!(SYS_futex, turn.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0).map(drop)
}

/// Sleeps until the turn is no longer the other's.
fn await_turn(turn: &AtomicU64, others: u64) -> Result<(), Errno> {
    while turn.load(Ordering::Acquire) == others {
        match sys!(SYS_futex, turn.as_ptr(), libc::FUTEX_WAIT, others, 0, 0, 0) {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn futexes(row: &Row, cpus: [usize; 2]) -> Result<(), Failure> {
    let words = SharedWords::new(1)?;
    let turn = words.word(0);
    let there = || {
        hand_over(turn, THEIRS)?;
        await_turn(turn, THEIRS)?;
        Ok(())
    };
    round_trips(row, cpus, there, || {
        await_turn(turn, OURS)?;
        hand_over(turn, OURS)?;
        Ok(())
    })
}

/// What the thread does: nothing.
extern "C" fn thread(_argument: *mut libc::c_void) -> *mut libc::c_void {
    std::ptr::null_mut()
}

/// pthread_create(3) and pthread_join(3), without what Rust's library adds to a thread.
fn create_and_join() -> Result<(), Errno> {
    let mut id = std::mem::MaybeUninit::uninit();
    let null = std::ptr::null_mut();
    // SAFETY: the function is one that threads may run, and needs no argument; the attributes are the default.
    let error = unsafe { libc::pthread_create(id.as_mut_ptr(), std::ptr::null(), thread, null) };
    if error != 0 {
        return Err(Errno::from_raw(error));
    }
    // SAFETY: the thread was made, and is joined once.
    match unsafe { libc::pthread_join(id.assume_init(), std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(error)),
    }
}

fn thread_create_join(meter: &Meter) -> Result<(), Failure> {
    meter.row("", |row| {
        row.sample(Plan { samples: 300, operations: 1 }, || {
            let start = ticks();
            create_and_join()?;
            Ok(row.clock().since(start))
        })
    });
    Ok(())
}
