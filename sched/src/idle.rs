//! Waiting for work without halting: [`IdlePoll`], one for each CPU.
//!
//! To wake a CPU that halts takes an interrupt, and the way through it often takes longer than the pause between two tasks that talk to each
//! other. So an idle CPU polls for a while before it halts, if polling would have caught the end of its last pauses, and who has something
//! for it meanwhile *pokes* it, which is one atomic operation, and no interrupt.
//!
//! ```text
//!   idle CPU                                    another CPU
//!   begin                                       puts a task into the queue
//!   until is_poked, or window is over           poke: true if the first polls;
//!   end: if somebody poked, look at the queue         false: interrupt it
//! ```
//!
//! All of it goes through one word by read-modify-write operations, so each poke comes before the end of a polling, which then tells of it
//! and shows what the poker did before; or after it, and asks for an interrupt (`tests/loom_idle.rs`).
//!
//! Linux polls as well (`drivers/cpuidle/poll_state.c`, the governors *menu* and *haltpoll*). The window here adapts as *haltpoll*'s does.

use arch::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use arch::time::Nanos;

/// The CPU polls.
const POLLING: u32 = 1;
/// Somebody has something for it.
const POKED: u32 = 2;

/// The window that a CPU starts with when polling seems worth it.
const FIRST_WINDOW: Nanos = Nanos(25_000);
/// No CPU polls for longer: beyond, an interrupt more is not worth mentioning.
const LONGEST_WINDOW: Nanos = Nanos(200_000);

/// Whether a CPU polls, and for how long it should. At first it does not, and has no reason to.
#[derive(Debug, Default)]
pub struct IdlePoll {
    state: AtomicU32,
    /// Nanoseconds; touched by its CPU only.
    window: AtomicU64,
}

impl IdlePoll {
    /// For how long this CPU is to poll before it halts; zero if it is to halt at once.
    #[must_use]
    pub fn window(&self) -> Nanos {
        Nanos(self.window.load(Ordering::Relaxed))
    }

    /// From now on this CPU need not be interrupted.
    pub fn begin(&self) {
        // What a poke that came too late has left is gone; its sender interrupts.
        self.state.swap(POLLING, Ordering::AcqRel);
    }

    /// Whether somebody has something for this CPU. A hint: only [`end`](Self::end) shows what.
    #[must_use]
    pub fn is_poked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & POKED != 0
    }

    /// This CPU must be interrupted again. Returns whether somebody has poked it, whose doings are visible then.
    #[must_use = "who has poked this CPU does not interrupt it"]
    pub fn end(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & POKED != 0
    }

    /// Tells the CPU, if it polls, that there is something for it. If not, it must be interrupted.
    #[must_use = "a CPU that does not poll must be interrupted"]
    pub fn poke(&self) -> bool {
        self.state.fetch_or(POKED, Ordering::AcqRel) & POLLING != 0
    }

    /// Learns from a pause of this length, polled or halted: longer windows while they would have caught its end, none after a long pause.
    pub fn learn(&self, pause: Nanos) {
        let window = self.window();
        let next = if pause > LONGEST_WINDOW {
            Nanos(0)
        } else if pause > window {
            Nanos((window.0 * 2).clamp(FIRST_WINDOW.0, LONGEST_WINDOW.0))
        } else {
            window
        };
        self.window.store(next.0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_polls_is_poked_and_who_does_not_is_interrupted() {
        let idle = IdlePoll::default();
        assert!(!idle.poke());
        idle.begin();
        assert!(!idle.is_poked(), "a poke that asked for an interrupt is not seen again");
        assert!(idle.poke() && idle.poke() && idle.is_poked());
        assert!(idle.end());
        assert!(!idle.poke());
    }

    #[test]
    fn the_window_grows_with_short_pauses_and_closes_after_a_long_one() {
        let idle = IdlePoll::default();
        let learn = |pause| {
            idle.learn(Nanos(pause));
            idle.window().0
        };
        assert_eq!(learn(10_000), 25_000);
        assert_eq!(learn(20_000), 25_000, "long enough");
        assert_eq!(learn(60_000), 50_000);
        assert_eq!(learn(60_000), 100_000);
        assert_eq!(learn(190_000), 200_000);
        assert_eq!(learn(200_000), 200_000);
        assert_eq!(learn(200_001), 0);
    }
}
