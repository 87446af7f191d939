//! Waiting for memory when it has run out: [`Shortage`], and [`retry`] for operations that can be tried again.
//!
//! Whoever needs memory and finds none has somebody killed ([`kill_one`]) and waits for what comes of it, without locks, until
//! there is memory, until the waiting thread is to end itself, or until there is nobody left to kill. Page faults do
//! that, system calls that get no heap credit, and fork.

use arch::clock;
use arch::time::Nanos;
use mm::{Credit, Urgency};

use super::{CALL_CREDIT_KIB, memory};
use crate::errno::{Errno, Result};
use crate::scheduling::{self, ParkMode, block_current};
use crate::task::{Killed, Moment, Search, Thread, kill_one};

/// How long an ending process is given between two attempts to get memory.
const PAUSE: Nanos = Nanos::from_millis(2);
/// What the alarm of a thread takes.
const ALARM_KIB: u32 = 1;
/// How long processes that are ending are waited for before another one is killed: one of them may need a lock whose holder
/// waits here.
const PATIENCE: Nanos = Nanos::from_secs(2);

/// Nothing came of waiting: the thread is to end, or there is nobody left to kill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hopeless;

/// One thread's want of memory, from the first attempt that failed to the one that succeeds.
#[derive(Debug, Default)]
pub struct Shortage {
    waited_from: Option<Nanos>,
}

impl Shortage {
    /// Has somebody killed unless memory is on its way back, and waits a moment. `before` is a moment before the attempt
    /// that failed. Sleeps; the caller holds no locks.
    ///
    /// # Errors
    /// [`Hopeless`]: another attempt would fail as well, or nobody would see what comes of it.
    pub fn wait(&mut self, thread: &Thread, before: Moment) -> core::result::Result<(), Hopeless> {
        if thread.has_fatal_signal() {
            return Err(Hopeless);
        }
        let since = *self.waited_from.get_or_insert_with(clock::now);
        let search = if clock::now().saturating_sub(since) < PATIENCE {
            Search::Patient
        } else {
            self.waited_from = None;
            Search::PastEnding
        };
        if kill_one(memory().total_frames(), before, search) == Killed::Nobody {
            return Err(Hopeless);
        }
        pause(thread);
        Ok(())
    }
}

/// Sleeps for a moment; ends at once if this process is the one that was killed.
fn pause(thread: &Thread) {
    // A thread's first timed sleep allocates its alarm. Where there is not even memory for that, others run instead.
    let credit = memory().credit(ALARM_KIB);
    if credit.is_err() && !thread.scheduling.has_alarm() {
        return scheduling::yield_now();
    }
    let until = clock::now().saturating_add(PAUSE);
    let _ended = block_current(ParkMode::Killable, Some(until), || false);
}

/// Calls `attempt` until it does not fail with `ENOMEM`, making room in between. An `ENOMEM` while there is memory is
/// taken for what it says: a limit, or no room among the addresses.
///
/// # Errors
/// Those of `attempt`.
pub fn retry<T>(thread: &Thread, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut shortage = Shortage::default();
    loop {
        let before = Moment::now();
        match attempt() {
            Err(Errno::ENOMEM) if memory().is_short(Urgency::User) => {
                shortage.wait(thread, before).map_err(|Hopeless| Errno::ENOMEM)?;
            }
            outcome => return outcome,
        }
    }
}

/// The heap credit of a system call that begins; `None` while there is plenty.
///
/// # Errors
/// `ENOMEM` if there is none at present.
#[inline]
pub fn call_credit() -> Result<Option<Credit>> {
    let memory = memory();
    if memory.is_plentiful() {
        return Ok(None);
    }
    memory.credit(CALL_CREDIT_KIB).map(Some).map_err(|_| Errno::ENOMEM)
}

/// As [`call_credit`], for a call that `thread` begins and that can wait until somebody was killed for it.
///
/// # Errors
/// `ENOMEM` if nobody can be killed.
#[cold]
pub fn wait_for_call_credit(thread: &Thread) -> Result<Option<Credit>> {
    retry(thread, call_credit)
}
