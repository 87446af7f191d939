//! Signals: installed, raised, sent to other threads and processes, queued.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Case, by_place};
use crate::bench::clock::ticks;
use crate::bench::cpus;
use crate::bench::meter::{Meter, Plan, Row};
use crate::bench::process::partner;
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "signal_install",
        description: "rt_sigaction(2) that installs a handler.",
        run: install,
    },
    Case {
        name: "signal_self",
        description: "kill(2) of the process itself, its handler, and the return from it.",
        run: to_self,
    },
    Case {
        name: "signal_thread",
        description: "tgkill(2) of a thread that is busy on another processor, until its handler has \
                      told the sender.",
        run: to_thread,
    },
    Case {
        name: "signal_ping_pong",
        description: "Two processes that signal each other and sleep in rt_sigsuspend(2): there and back.",
        run: |meter| by_place(meter, ping_pong),
    },
    Case {
        name: "signal_queue",
        description: "A real-time signal queued with a value and taken by rt_sigtimedwait(2), 64 at a time.",
        run: queue,
    },
];

/// The signal that the cases use.
const SIGNAL: i32 = libc::SIGUSR1;
/// A real-time signal that no C library keeps for itself.
const QUEUED: i32 = 40;
/// Bytes of the kernel's signal set.
const SET: usize = 8;

/// How many signals the handler has seen.
static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_signal: libc::c_int) {
    // Release: pairs with the sender that spins until the count has risen.
    CAUGHT.fetch_add(1, Ordering::Release);
}

/// Installs the handler.
fn catch(signal: i32) -> Result<(), Failure> {
    // SAFETY: a zeroed sigaction is a valid one; the handler does no more than count.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(nix::errno::Errno::last().into()) }
}

/// The kernel's signal set with one signal in it.
fn set_of(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn install(meter: &Meter) -> Result<(), Failure> {
    const CALLS: u64 = 200;
    catch(SIGNAL)?;
    // The kernel's own structure: handler, flags, restorer, mask.
    let mut action = [0_u64; 4];
    sys!(SYS_rt_sigaction, SIGNAL, 0, &mut action, SET)?;
    meter.row("", |row| {
        row.sample(Plan { samples: 200, operations: CALLS }, || {
            let start = ticks();
            for _ in 0..CALLS {
                sys!(SYS_rt_sigaction, SIGNAL, &action, 0, SET)?;
            }
            Ok(row.clock().since(start))
        })
    });
    Ok(())
}

fn to_self(meter: &Meter) -> Result<(), Failure> {
    const SIGNALS: u64 = 100;
    catch(SIGNAL)?;
    let pid = sys!(SYS_getpid)?;
    meter.row("", |row| {
        row.sample(Plan { samples: 200, operations: SIGNALS }, || {
            let before = CAUGHT.load(Ordering::Relaxed);
            let start = ticks();
            for _ in 0..SIGNALS {
                sys!(SYS_kill, pid, SIGNAL)?;
            }
            let elapsed = row.clock().since(start);
            let caught = CAUGHT.load(Ordering::Relaxed) - before;
            if caught == SIGNALS { Ok(elapsed) } else { Err("a signal was lost".into()) }
        })
    });
    Ok(())
}

fn to_thread(meter: &Meter) -> Result<(), Failure> {
    catch(SIGNAL)?;
    let pid = sys!(SYS_getpid)?;
    meter.row("", |row| {
        let cpus = cpus::first(2)?;
        cpus::pin(cpus[0])?;
        let (stop, tid) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let id = cpus::pin(cpus[1]).and_then(|()| sys!(SYS_gettid));
                tid.store(id.map_or(u64::MAX, |id| id as u64), Ordering::Release);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            cpus::spin_until(&tid, 1);
            let tid = tid.load(Ordering::Acquire);
            let outcome = row.sample(Plan { samples: 500, operations: 1 }, || {
                let before = CAUGHT.load(Ordering::Relaxed);
                let start = ticks();
                sys!(SYS_tgkill, pid, tid, SIGNAL)?;
                cpus::spin_until(&CAUGHT, before + 1);
                Ok(row.clock().since(start))
            });
            stop.store(true, Ordering::Relaxed);
            outcome
        })
    });
    Ok(())
}

/// Signals the other process and sleeps until it has answered.
fn signal_and_wait(pid: usize) -> Result<(), Failure> {
    sys!(SYS_kill, pid, SIGNAL)?;
    wait_for_signal()
}

/// Sleeps until a signal has been caught.
fn wait_for_signal() -> Result<(), Failure> {
    match sys!(SYS_rt_sigsuspend, &0_u64, SET) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn ping_pong(row: &Row, cpus: [usize; 2]) -> Result<(), Failure> {
    const ROUNDS: u64 = 20;
    catch(SIGNAL)?;
    sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &set_of(SIGNAL), 0, SET)?;
    let parent = sys!(SYS_getpid)?;
    cpus::pin(cpus[0])?;
    let child = partner(cpus[1], || {
        wait_for_signal()?;
        sys!(SYS_kill, parent, SIGNAL)?;
        Ok(())
    })?;
    row.sample(Plan { samples: 200, operations: ROUNDS }, || {
        let start = ticks();
        for _ in 0..ROUNDS {
            signal_and_wait(child.pid())?;
        }
        Ok(row.clock().since(start))
    })?;
    child.finish()?;
    Ok(())
}

fn queue(meter: &Meter) -> Result<(), Failure> {
    const SIGNALS: u64 = 64;
    sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &set_of(QUEUED), 0, SET)?;
    let pid = sys!(SYS_getpid)?;
    meter.row("", |row| {
        // siginfo_t: signal, errno, code, padding, then sender, user and value.
        let mut info = [0_i32; 32];
        (info[0], info[2], info[4]) = (QUEUED, libc::SI_QUEUE, pid as i32);
        row.sample(Plan { samples: 200, operations: SIGNALS }, || {
            let start = ticks();
            for value in 0..SIGNALS {
                info[6] = value as i32;
                sys!(SYS_rt_sigqueueinfo, pid, QUEUED, &info)?;
            }
            for value in 0..SIGNALS {
                let mut taken = [0_i32; 32];
                sys!(SYS_rt_sigtimedwait, &set_of(QUEUED), &mut taken, &[0_u64; 2], SET)?;
                if taken[6] != value as i32 {
                    return Err("signals came in another order".into());
                }
            }
            Ok(row.clock().since(start))
        })
    });
    Ok(())
}
