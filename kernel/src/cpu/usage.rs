//! Where each CPU's time goes: user, system, idle and interrupt time, exact to the entry and exit.
//!
//! Each CPU has one [`Usage`], changed by that CPU only, with interrupts off: at every change of mode the time since
//! the last one is charged to the mode that ends, and to the thread that was running.

use arch::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use arch::time::Nanos;

use crate::scheduling::Meter;
use crate::task::{self, Thread};

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

    /// Where the current thread's own time goes meanwhile.
    const fn meter(self) -> Meter {
        match self {
            Self::System => Meter::System,
            Self::User => Meter::User,
            Self::Idle | Self::Interrupt => Meter::Stopped,
        }
    }
}

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

/// One CPU's account.
#[derive(Debug)]
pub struct Usage {
    since: AtomicU64,
    mode: AtomicU8,
    spent: [AtomicU64; 4],
    nice: AtomicU64,
}

impl Usage {
    /// An account of a CPU that has not started.
    pub(crate) const fn new() -> Self {
        Self {
            since: AtomicU64::new(0),
            mode: AtomicU8::new(Mode::Idle as u8),
            spent: [const { AtomicU64::new(0) }; 4],
            nice: AtomicU64::new(0),
        }
    }

    /// The CPU starts now, in its own thread.
    pub(crate) fn start(&self, now: Nanos) {
        self.since.store(now.0, Ordering::Relaxed);
    }

    fn mode(&self) -> Mode {
        Mode::ALL[usize::from(self.mode.load(Ordering::Relaxed)) % Mode::ALL.len()]
    }

    /// Charges the time since the last change to the current mode and `thread`, and begins `next`. Returns what ended.
    pub(crate) fn enter(&self, next: Mode, thread: &Thread, now: Nanos) -> Mode {
        let mode = self.mode();
        let _span = self.charge(mode, next, thread, now);
        thread.scheduling.turn_clock(now, next.meter());
        mode
    }

    /// As [`enter`](Self::enter), for a caller who knows that the mode is `mode`: each system call changes it twice.
    #[inline]
    fn change(&self, mode: Mode, next: Mode, thread: &Thread) {
        let now = arch::clock::now();
        let span = self.charge(mode, next, thread, now);
        thread.scheduling.turn_clock_by(span, mode.meter(), now, next.meter());
    }

    /// Charges the CPU's time since the last change to `mode` on behalf of `thread`, and begins `next`. Returns that time.
    #[inline]
    fn charge(&self, mode: Mode, next: Mode, thread: &Thread, now: Nanos) -> Nanos {
        debug_assert_eq!(self.mode(), mode, "the CPU is in another mode");
        let span = now.saturating_sub(Nanos(self.since.load(Ordering::Relaxed)));
        self.since.store(now.0, Ordering::Relaxed);
        self.mode.store(next as u8, Ordering::Relaxed);
        add(&self.spent[mode as usize], span);
        if mode == Mode::User && thread.scheduling.task.is_nice() {
            add(&self.nice, span);
        }
        span
    }

    /// The CPU switches threads.
    pub(crate) fn switch(&self, previous: &Thread, next: &Thread, now: Nanos) {
        let mode_of = |thread: &Thread| {
            if thread.scheduling.is_idle() { Mode::Idle } else { Mode::System }
        };
        let (ended, mode) = (mode_of(previous), mode_of(next));
        let span = self.charge(ended, mode, previous, now);
        // Whenever the CPU changes its mode, the clock of its thread is turned as well; a thread that is off its CPU has it stopped.
        previous.scheduling.turn_clock_by(span, ended.meter(), now, Meter::Stopped);
        next.scheduling.turn_clock_by(Nanos::ZERO, Meter::Stopped, now, mode.meter());
    }

    /// The account up to `now`, for any CPU to read.
    #[must_use]
    pub fn times(&self, now: Nanos) -> CpuTimes {
        let since = Nanos(self.since.load(Ordering::Relaxed));
        let running = self.mode();
        let spent = |mode: Mode| {
            let past = Nanos(self.spent[mode as usize].load(Ordering::Relaxed));
            if mode == running { past.saturating_add(now.saturating_sub(since)) } else { past }
        };
        let nice = Nanos(self.nice.load(Ordering::Relaxed));
        CpuTimes {
            user: spent(Mode::User).saturating_sub(nice),
            nice,
            system: spent(Mode::System),
            idle: spent(Mode::Idle),
            interrupt: spent(Mode::Interrupt),
        }
    }
}

/// Charges the current thread up to now, so that its times are exact.
pub fn charge_current() {
    let saved = arch::interrupts::disable();
    let usage = &crate::scheduling::this_cpu_part().usage;
    usage.enter(usage.mode(), &task::current(), arch::clock::now());
    arch::interrupts::restore(saved);
}

/// `thread`, the current one, is about to enter user mode. Interrupts are off.
#[inline]
pub fn enter_user_mode(thread: &Thread) {
    crate::scheduling::this_cpu_part().usage.change(Mode::System, Mode::User, thread);
}

/// `thread`, the current one, has come from user mode. Interrupts are off.
#[inline]
pub fn leave_user_mode(thread: &Thread) {
    crate::scheduling::this_cpu_part().usage.change(Mode::User, Mode::System, thread);
}

/// Only this CPU writes, so a load and a store replace the locked addition.
fn add(counter: &AtomicU64, span: Nanos) {
    counter.store(counter.load(Ordering::Relaxed) + span.0, Ordering::Relaxed);
}
