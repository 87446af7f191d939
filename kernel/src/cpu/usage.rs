//! Where each CPU's time goes: user, system, idle and interrupt time, exact to the entry and exit. Key type: [`Usage`].
//!
//! Each CPU has one account, changed by that CPU only, with interrupts off, and readable from any. A system call changes the
//! mode twice, so a change is two additions: what was spent in the mode that runs is kept less the clock's reading when it began,
//! and whoever asks adds the clock's reading of now. It is kept in [ticks](arch::clock::stamp), which cost nothing to convert
//! until somebody asks.
//!
//! A thread's own time ([`CpuClock`](crate::scheduling::CpuClock)) is what its CPU spent while the thread was there: the
//! account keeps what it stood at when the thread came ([`Usage::switch`]).
//!
//! No locks: `state` is a sequence lock. The writer marks it before the first and raises it after the last of its stores; a
//! reader that saw a mark or another state afterwards reads again.

use core::array;

use arch::clock;
use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use arch::time::Nanos;

use crate::task::Thread;

/// What a CPU is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    /// A thread's kernel code.
    System = 0,
    /// User code.
    User = 1,
    /// Nothing.
    Idle = 2,
    /// An interrupt handler.
    Interrupt = 3,
}

impl Mode {
    const ALL: [Self; 4] = [Self::System, Self::User, Self::Idle, Self::Interrupt];

    /// What a CPU does that runs `thread`'s kernel code.
    fn of(thread: &Thread) -> Self {
        if thread.scheduling.is_idle() { Self::Idle } else { Self::System }
    }
}

/// In [`Usage::state`]: the mode; a change is on its way; one change.
const MODE: u64 = 0b11;
const CHANGING: u64 = 0b100;
const CHANGE: u64 = 0b1000;

/// The times of one CPU, in nanoseconds: the columns of `/proc/stat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTimes {
    /// In user mode.
    pub user: Nanos,
    /// In user mode at a positive nice value.
    pub nice: Nanos,
    /// In kernel mode, interrupts not counted.
    pub system: Nanos,
    /// Idle.
    pub idle: Nanos,
    /// In interrupt handlers.
    pub interrupt: Nanos,
}

/// Ticks that a thread has spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Spent {
    /// In user mode.
    pub user: u64,
    /// In kernel mode, interrupts not counted.
    pub system: u64,
}

impl Spent {
    /// The difference; nothing where a clock that is behind another CPU's makes it negative.
    fn since(self, earlier: Self) -> Self {
        let span = |now: u64, then: u64| not_negative(now.wrapping_sub(then));
        Self { user: span(self.user, earlier.user), system: span(self.system, earlier.system) }
    }
}

/// One CPU's account.
#[derive(Debug)]
pub struct Usage {
    /// The mode, and a number that every change raises.
    state: AtomicU64,
    /// Ticks spent in each mode; of the mode that runs, less the clock's reading when it began.
    spent: [AtomicU64; 4],
    /// What it had spent when the running thread came.
    user_before: AtomicU64,
    system_before: AtomicU64,
    /// The running thread has a positive nice value.
    is_nice: AtomicBool,
    /// What such threads spent in user mode; while one runs, less what the sum for user mode stood at when it began to.
    nice: AtomicU64,
}

/// An account as it was at one moment.
struct Reading {
    /// By mode.
    spent: [u64; 4],
    before: Spent,
    is_nice: bool,
    nice: u64,
}

impl Usage {
    /// An account of a CPU that has not started.
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU64::new(Mode::Idle as u64),
            spent: [const { AtomicU64::new(0) }; 4],
            user_before: AtomicU64::new(0),
            system_before: AtomicU64::new(0),
            is_nice: AtomicBool::new(false),
            nice: AtomicU64::new(0),
        }
    }

    /// The CPU starts now, in its own thread.
    pub(crate) fn start(&self, now: u64) {
        self.change(Mode::Idle, Mode::Idle, || {
            self.spent[Mode::Idle as usize].store(0_u64.wrapping_sub(now), Ordering::Relaxed);
        });
    }

    fn mode(&self) -> Mode {
        mode_of(self.state.load(Ordering::Relaxed))
    }

    /// Begins `next`. Returns what ended.
    pub(crate) fn enter(&self, next: Mode, now: u64) -> Mode {
        let mode = self.mode();
        self.turn(mode, next, now);
        mode
    }

    /// The CPU is about to enter user mode. On this CPU, with interrupts off.
    #[inline]
    pub(crate) fn enter_user_mode(&self) {
        self.turn(Mode::System, Mode::User, clock::stamp());
    }

    /// The CPU has come from user mode. On this CPU, with interrupts off.
    #[inline]
    pub(crate) fn leave_user_mode(&self) {
        self.turn(Mode::User, Mode::System, clock::stamp());
    }

    /// Ends `mode`, the present one, and begins `next`.
    #[inline]
    fn turn(&self, mode: Mode, next: Mode, now: u64) {
        self.change(mode, next, || self.move_on(mode, next, now));
    }

    #[inline]
    fn move_on(&self, mode: Mode, next: Mode, now: u64) {
        add(&self.spent[mode as usize], now);
        add(&self.spent[next as usize], 0_u64.wrapping_sub(now));
    }

    /// Makes the stores of `make`, with which `mode`, the present one, ends and `next` begins.
    #[inline]
    fn change<R>(&self, mode: Mode, next: Mode, make: impl FnOnce() -> R) -> R {
        debug_assert_eq!(self.mode(), mode, "the CPU is in another mode");
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state + CHANGING, Ordering::Relaxed);
        // Pairs with the fence in `read`: who sees any of the stores of `make` sees the mark.
        fence(Ordering::Release);
        let result = make();
        let changed = state.wrapping_add(CHANGE + next as u64).wrapping_sub(mode as u64);
        self.state.store(changed, Ordering::Release);
        result
    }

    /// The CPU switches from `previous` to `next`. Returns what `previous` has spent here.
    #[inline]
    pub(crate) fn switch(&self, previous: &Thread, next: &Thread, now: u64) -> Spent {
        let (mode, next_mode) = (Mode::of(previous), Mode::of(next));
        self.change(mode, next_mode, || {
            if mode != next_mode {
                self.move_on(mode, next_mode, now);
            }
            let reading = if next_mode == Mode::System { now } else { 0 };
            self.hand_over(next.scheduling.task.is_nice(), reading)
        })
    }

    /// Another thread comes. `reading` is what the time in kernel mode lacks. Returns what the former one has spent.
    #[inline]
    fn hand_over(&self, is_nice: bool, reading: u64) -> Spent {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let user = load(&self.spent[Mode::User as usize]);
        let system = load(&self.spent[Mode::System as usize]).wrapping_add(reading);
        let left = Spent {
            user: user.wrapping_sub(load(&self.user_before)),
            system: system.wrapping_sub(load(&self.system_before)),
        };
        self.user_before.store(user, Ordering::Relaxed);
        self.system_before.store(system, Ordering::Relaxed);
        self.follow_nice(is_nice, user);
        left
    }

    /// The running thread goes on, perhaps with another nice value.
    pub(crate) fn stay(&self, thread: &Thread) {
        let is_nice = thread.scheduling.task.is_nice();
        if is_nice != self.is_nice.load(Ordering::Relaxed) {
            let mode = self.mode();
            let user = self.spent[Mode::User as usize].load(Ordering::Relaxed);
            self.change(mode, mode, || self.follow_nice(is_nice, user));
        }
    }

    /// From now on, when `user` has been spent in user mode, the running thread is nice or is not.
    #[inline]
    fn follow_nice(&self, is_nice: bool, user: u64) {
        if is_nice != self.is_nice.load(Ordering::Relaxed) {
            add(&self.nice, if is_nice { 0_u64.wrapping_sub(user) } else { user });
            self.is_nice.store(is_nice, Ordering::Relaxed);
        }
    }

    /// What the running thread has spent here so far. For any CPU; see `CpuClock` for which thread that is.
    pub(crate) fn spent_by_running(&self, now: &impl Fn() -> u64) -> Spent {
        let Reading { spent, before, .. } = self.read(now);
        let total =
            Spent { user: spent[Mode::User as usize], system: spent[Mode::System as usize] };
        total.since(before)
    }

    /// The account up to now, for any CPU to read.
    #[must_use]
    pub fn times(&self) -> CpuTimes {
        let Reading { spent, is_nice, nice, .. } = self.read(&clock::stamp_in_order);
        let user = not_negative(spent[Mode::User as usize]);
        let nice = if is_nice { not_negative(nice.wrapping_add(user)) } else { nice };
        let time = |mode: Mode| clock::span_of(not_negative(spent[mode as usize]));
        CpuTimes {
            user: clock::span_of(user.saturating_sub(nice)),
            nice: clock::span_of(nice),
            system: time(Mode::System),
            idle: time(Mode::Idle),
            interrupt: time(Mode::Interrupt),
        }
    }

    fn read(&self, now: &impl Fn() -> u64) -> Reading {
        loop {
            let state = self.state.load(Ordering::Acquire);
            let mode = mode_of(state);
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let mut reading = Reading {
                spent: array::from_fn(|mode| load(&self.spent[mode])),
                before: Spent { user: load(&self.user_before), system: load(&self.system_before) },
                is_nice: self.is_nice.load(Ordering::Relaxed),
                nice: load(&self.nice),
            };
            // Read after the mode was seen to run.
            let spent = &mut reading.spent[mode as usize];
            *spent = not_negative(spent.wrapping_add(now()));
            // Pairs with the fence in `change`.
            fence(Ordering::Acquire);
            if state & CHANGING == 0 && self.state.load(Ordering::Relaxed) == state {
                return reading;
            }
            arch::relax();
        }
    }
}

/// A number of ticks that was reckoned from readings of the counter. These may be out of order by a few ticks within a CPU, as
/// reading it waits for nothing, and between CPUs by what their counters differ.
pub(crate) const fn not_negative(ticks: u64) -> u64 {
    if ticks.cast_signed() < 0 { 0 } else { ticks }
}

fn mode_of(state: u64) -> Mode {
    Mode::ALL[(state & MODE) as usize]
}

/// Only this CPU writes, so a load and a store replace the locked addition.
#[inline]
fn add(counter: &AtomicU64, ticks: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(ticks), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account of a CPU that began to idle at 100 and to run a thread at 110.
    fn running() -> Usage {
        let usage = Usage::new();
        usage.start(100);
        usage.change(Mode::Idle, Mode::System, || {
            usage.move_on(Mode::Idle, Mode::System, 110);
            usage.hand_over(false, 110)
        });
        usage
    }

    #[test]
    fn the_running_mode_counts_before_it_ends() {
        let usage = running();
        usage.turn(Mode::System, Mode::User, 113);
        assert_eq!(usage.spent_by_running(&|| 120), Spent { user: 7, system: 3 });
        assert_eq!(usage.enter(Mode::Interrupt, 121), Mode::User);
        assert_eq!(usage.spent_by_running(&|| 190), Spent { user: 8, system: 3 });
        usage.enter(Mode::User, 200);
        assert_eq!(usage.spent_by_running(&|| 201), Spent { user: 9, system: 3 });
        let reading = usage.read(&|| 201);
        assert_eq!((usage.mode(), reading.spent), (Mode::User, [3, 9, 10, 79]));
    }

    #[test]
    fn a_thread_takes_with_it_what_it_has_spent() {
        let usage = running();
        usage.turn(Mode::System, Mode::User, 115);
        usage.turn(Mode::User, Mode::System, 135);
        let left = usage.change(Mode::System, Mode::System, || usage.hand_over(true, 140));
        assert_eq!(left, Spent { user: 20, system: 10 });
        assert_eq!(usage.spent_by_running(&|| 141), Spent { user: 0, system: 1 });
        usage.turn(Mode::System, Mode::User, 142);
        usage.turn(Mode::User, Mode::System, 145);
        let left = usage.change(Mode::System, Mode::System, || usage.hand_over(false, 145));
        assert_eq!((left, usage.read(&|| 145).nice), (Spent { user: 3, system: 2 }, 3));
    }

    #[test]
    fn what_a_thread_spends_before_it_becomes_nice_is_not_nice() {
        let usage = running();
        usage.turn(Mode::System, Mode::User, 115);
        usage.turn(Mode::User, Mode::System, 135);
        let user = usage.read(&|| 136).spent[Mode::User as usize];
        usage.change(Mode::System, Mode::System, || usage.follow_nice(true, user));
        usage.turn(Mode::System, Mode::User, 140);
        usage.turn(Mode::User, Mode::System, 147);
        usage.change(Mode::System, Mode::System, || usage.follow_nice(false, user + 7));
        let reading = usage.read(&|| 150);
        assert_eq!((reading.nice, reading.is_nice), (7, false));
    }

    #[test]
    fn a_clock_that_is_behind_takes_nothing_away() {
        let usage = running();
        assert_eq!(usage.spent_by_running(&|| 5), Spent::default());
    }

    #[test]
    fn readers_never_see_half_a_change() {
        const END: u64 = 50_000;
        let usage = running();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for now in 111..END {
                    let even = now % 2 == 0;
                    let (ended, begun) =
                        if even { (Mode::User, Mode::System) } else { (Mode::System, Mode::User) };
                    usage.turn(ended, begun, now);
                }
            });
            for _ in 0..END {
                // Whichever mode runs: all the time since the thread came is in one of them.
                let Spent { user, system } = usage.spent_by_running(&|| END);
                assert_eq!(user + system, END - 110);
            }
        });
    }
}
