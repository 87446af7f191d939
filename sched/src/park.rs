//! How one task goes to sleep and is woken, with no wake-up lost.
//!
//! One atomic word holds a [`Phase`] and, while the task sleeps or is about to, its [`ParkMode`]; a flag says whether
//! a CPU still stands on the task's stack.
//!
//! ```text
//!             prepare()              commit()                 switched away
//!  Runnable ────────────▶ Parking ───────────▶ Parked ─────── on_cpu = false
//!     ▲   ▲──────────────────┘ wake(): nothing to enqueue       │
//!     │        cancel()                                         │ wake(): wait for !on_cpu
//!     └──────────────────────────── Waking ◀────────────────────┘
//!       enqueued by the waker
//! ```
//!
//! Who may change the word:
//! 1. Only the task itself, on its CPU: `Runnable → Parking` ([`prepare`](ParkState::prepare)),
//!    `Parking → Runnable` ([`cancel`](ParkState::cancel)), `Runnable → Dead`.
//! 2. Only `schedule()` on the task's CPU, under its run-queue lock: `Parking → Parked`
//!    ([`commit`](ParkState::commit)), by compare-and-swap, because wakers race with it. Being preempted never commits: a
//!    preempted task is queued while it is `Parking`.
//! 3. Any waker, by compare-and-swap: `Parking → Runnable` (the task has not left, so nothing is to be queued) or
//!    `Parked → Waking`. The waker who wins the latter, and nobody else, waits until the task is off its CPU, queues it
//!    and sets `Runnable` under the run-queue lock.
//!
//! The sleeper writes the word and then reads its condition; the waker writes the condition and then reads the word.
//! A sequentially consistent fence between the two steps on *both* sides forbids that each misses the other.

use arch::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

/// What may end a sleep, beside the event that the task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ParkMode {
    /// Nothing else (`D` in `ps`).
    Uninterruptible = 1 << 8,
    /// A fatal signal (`D` in `ps`).
    Killable = 1 << 9,
    /// Any signal (`S` in `ps`).
    Interruptible = 1 << 10,
    /// `SIGCONT` or `SIGKILL`: stopped by job control (`T` in `ps`).
    Stopped = 1 << 11,
    /// The tracer, or `SIGKILL` (`t` in `ps`).
    Traced = 1 << 12,
}

/// The set of sleeps that a waker ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WakeMask(u32);

impl WakeMask {
    /// The awaited event itself: ends every wait, but not a stop.
    pub const EVENT: Self =
        Self::of(&[ParkMode::Uninterruptible, ParkMode::Killable, ParkMode::Interruptible]);
    /// Every sleep: for wake-ups that make the sleeper look again, such as a deadline's.
    pub const ANY: Self = Self(!PHASE);
    /// A signal that is not fatal.
    pub const SIGNAL: Self = Self::of(&[ParkMode::Interruptible]);
    /// A fatal signal.
    pub const KILL: Self = Self::of(&[
        ParkMode::Killable,
        ParkMode::Interruptible,
        ParkMode::Stopped,
        ParkMode::Traced,
    ]);
    /// `SIGCONT`.
    pub const CONTINUE: Self = Self::of(&[ParkMode::Stopped]);

    /// The set of `modes`.
    #[must_use]
    pub const fn of(modes: &[ParkMode]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < modes.len() {
            bits |= modes[i] as u32;
            i += 1;
        }
        Self(bits)
    }
}

/// Where a task stands between running and sleeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It runs, or waits for a CPU.
    Runnable,
    /// It announced that it will sleep; it still runs, or waits for a CPU.
    Parking,
    /// It sleeps: it is in no queue.
    Parked,
    /// A waker is about to queue it.
    Waking,
    /// It will never run again.
    Dead,
}

/// What a waker has to do after [`ParkState::wake`].
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Nothing: the task does not sleep, or not in a way that this wake-up ends.
    No,
    /// Nothing: it was about to sleep, and will not.
    Stayed,
    /// Queue it: the caller alone has that duty. See [`ParkState::await_off_cpu`].
    Enqueue,
}

const PHASE: u32 = 0xff;

/// The word and the flag. See the module's documentation for the rules.
#[derive(Debug)]
pub struct ParkState {
    word: AtomicU32,
    on_cpu: AtomicBool,
}

impl ParkState {
    /// The state of a task that has never run: parked, off every CPU, for its first wake-up to start it.
    #[must_use]
    pub fn new() -> Self {
        let word = Phase::Parked as u32 | ParkMode::Uninterruptible as u32;
        Self { word: AtomicU32::new(word), on_cpu: AtomicBool::new(false) }
    }

    /// The task's phase now. A snapshot; other CPUs may be changing it.
    pub fn phase(&self) -> Phase {
        phase_of(self.word.load(Ordering::Acquire))
    }

    /// How the task sleeps, if it does or is about to.
    pub fn mode(&self) -> Option<ParkMode> {
        let word = self.word.load(Ordering::Acquire);
        [
            ParkMode::Uninterruptible,
            ParkMode::Killable,
            ParkMode::Interruptible,
            ParkMode::Stopped,
            ParkMode::Traced,
        ]
        .into_iter()
        .find(|&mode| word & mode as u32 != 0)
    }

    /// Announces that the calling task will sleep. It checks its condition *after* this call, and then
    /// either [`cancel`](Self::cancel)s or lets `schedule()` [`commit`](Self::commit).
    pub fn prepare(&self, mode: ParkMode) {
        debug_assert_eq!(self.phase(), Phase::Runnable, "a task prepares to sleep twice");
        self.word.store(Phase::Parking as u32 | mode as u32, Ordering::Relaxed);
        // Pairs with the fence in `wake`: announce, then look; there: make true, then look for sleepers.
        fence(Ordering::SeqCst);
    }

    /// Announces that the calling task will sleep, and then asks `look`; if that has an answer, takes the announcement back.
    pub fn prepare_unless<R>(&self, mode: ParkMode, look: impl FnOnce() -> Option<R>) -> Option<R> {
        self.prepare(mode);
        let found = look();
        if found.is_some() {
            self.cancel();
        }
        found
    }

    /// Takes the announcement back. Harmless if a waker was faster.
    pub fn cancel(&self) {
        // A plain store suffices: while the task runs, the only other transition is this same one, by a waker.
        self.word.store(Phase::Runnable as u32, Ordering::Release);
    }

    /// Puts the task to sleep unless it has been woken since [`prepare`](Self::prepare). The caller
    /// holds the run-queue lock of the task's CPU and switches away on `true`.
    #[must_use]
    pub fn commit(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if phase_of(word) != Phase::Parking {
            return false;
        }
        let parked = (word & !PHASE) | Phase::Parked as u32;
        // Release: what the task wrote is seen by its waker (acquire in `wake`). Acquire: if a waker was
        // faster, what it wrote is seen by the task that goes on.
        self.word.compare_exchange(word, parked, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the sleep if it is one of `sleeps`. What the sleeper waits for has been made true before.
    pub fn wake(&self, sleeps: WakeMask) -> Woken {
        // Pairs with the fence in `prepare`.
        fence(Ordering::SeqCst);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (next, outcome) = match phase_of(word) {
                _ if word & sleeps.0 == 0 => return Woken::No,
                Phase::Parking => (Phase::Runnable, Woken::Stayed),
                Phase::Parked => (Phase::Waking, Woken::Enqueue),
                Phase::Runnable | Phase::Waking | Phase::Dead => return Woken::No,
            };
            // Acquire pairs with `commit`; release hands the waker's writes to the task if it goes on at once.
            let exchange =
                self.word.compare_exchange(word, next as u32, Ordering::AcqRel, Ordering::Relaxed);
            match exchange {
                Ok(_) => return outcome,
                Err(now) => word = now,
            }
        }
    }

    /// Waits until no CPU stands on the task's stack any more. For the waker who got [`Woken::Enqueue`], before
    /// it queues the task. Short: between `commit` and this, the sleeper's CPU only switches, with
    /// interrupts off. The caller holds no run-queue lock.
    pub fn await_off_cpu(&self) {
        // Acquire pairs with the release in `set_off_cpu`: the saved registers are seen.
        while self.on_cpu.load(Ordering::Acquire) {
            arch::relax();
        }
    }

    /// Completes a wake-up. The caller queued the task, and holds that queue's lock.
    pub fn set_runnable(&self) {
        self.word.store(Phase::Runnable as u32, Ordering::Release);
    }

    /// The task will never run again. Called for the current task, under its run-queue lock.
    pub fn set_dead(&self) {
        self.word.store(Phase::Dead as u32, Ordering::Release);
    }

    /// Whether a CPU runs the task or still stands on its stack.
    pub fn is_on_cpu(&self) -> bool {
        self.on_cpu.load(Ordering::Acquire)
    }

    /// A CPU is about to switch to the task.
    ///
    /// What the task then looks at before it enters user mode is new: whoever writes that, calls [`wake`](Self::wake) and finds
    /// the task on no CPU has written it before the task looks.
    pub fn set_on_cpu(&self) {
        self.on_cpu.store(true, Ordering::Relaxed);
        // Pairs with the fence in `wake`: get on the CPU, then look; there: make true, then look for the CPU.
        fence(Ordering::SeqCst);
    }

    /// The CPU has left the task's stack: the last thing that it does with the task.
    pub fn set_off_cpu(&self) {
        // Release pairs with the acquire in `await_off_cpu`.
        self.on_cpu.store(false, Ordering::Release);
    }
}

impl Default for ParkState {
    fn default() -> Self {
        Self::new()
    }
}

const fn phase_of(word: u32) -> Phase {
    match word & PHASE {
        0 => Phase::Runnable,
        1 => Phase::Parking,
        2 => Phase::Parked,
        3 => Phase::Waking,
        _ => Phase::Dead,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn running() -> ParkState {
        let state = ParkState::new();
        assert_eq!(state.wake(WakeMask::EVENT), Woken::Enqueue);
        state.set_runnable();
        state.set_on_cpu();
        state
    }

    #[test]
    fn a_wake_up_before_the_commit_cancels_the_sleep() {
        let state = running();
        state.prepare(ParkMode::Interruptible);
        assert_eq!(state.wake(WakeMask::SIGNAL), Woken::Stayed);
        assert!(!state.commit());
        assert_eq!(state.phase(), Phase::Runnable);
    }

    #[test]
    fn only_one_of_two_wakers_enqueues() {
        let state = running();
        state.prepare(ParkMode::Killable);
        assert!(state.commit());
        state.set_off_cpu();
        assert_eq!(state.wake(WakeMask::SIGNAL), Woken::No);
        assert_eq!(state.wake(WakeMask::KILL), Woken::Enqueue);
        assert_eq!(state.wake(WakeMask::EVENT), Woken::No);
        state.await_off_cpu();
        state.set_runnable();
        assert_eq!(state.mode(), None);
    }

    #[test]
    fn an_event_does_not_end_a_stop() {
        let state = running();
        state.prepare(ParkMode::Stopped);
        assert!(state.commit());
        assert_eq!(state.wake(WakeMask::EVENT), Woken::No);
        assert_eq!(state.wake(WakeMask::CONTINUE), Woken::Enqueue);
    }
}
