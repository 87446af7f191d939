//! Timers that send signals: the three interval timers, alarm(2), POSIX timers, and the limit on CPU time.
//!
//! All are [`Alarm`]s: a clock, a time, an interval. On the clocks of real time the kernel's timer fires at that time. On
//! CPU clocks it fires when the time *can* have been reached, if every thread ran all along, looks, and waits for the
//! rest; so a program that sleeps pays nothing, and no tick has to look at limits.
//!
//! A POSIX timer whose signal is pending does not fire again until the signal is delivered: what it missed is counted
//! then (its overrun), so no interval is too short to be served ([`note_delivery`]). The same is true of the interval timer of
//! real time and SIGALRM, whoever sent that; while SIGALRM is ignored, as on Linux, that timer stands still.
//!
//! Lock: one per process, rank `PROCESS`, interrupts off: timers fire in interrupt handlers. Signals are sent after it
//! was released. Interval and POSIX timers are marked meanwhile ([`Armed::is_ringing`]), and who sets or deletes one waits, unless the
//! process has ended: no signal of its past comes afterwards.

mod alarm;
pub(super) mod calls;
mod posix;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use arch::sync::{Irq, Rank, SpinGuard, SpinLock};
use arch::time::Nanos;

pub(super) use alarm::{Alarm, AlarmClock, Setting};
use posix::{Allowance, PosixTimer, Target};

use super::info::SignalInfo;
use super::number::Signal;
use super::send;
use crate::errno::{Errno, Result};
use crate::scheduling::Late;
use crate::task::{Process, Resource, Usage};
use crate::time::Timer;

/// The interval timers of setitimer(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interval {
    /// Real time; SIGALRM.
    Real,
    /// The process's time in user mode; SIGVTALRM.
    Virtual,
    /// The process's CPU time; SIGPROF.
    Profiling,
}

impl Interval {
    fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::SIGALRM,
            Self::Virtual => Signal::SIGVTALRM,
            Self::Profiling => Signal::SIGPROF,
        }
    }

    fn clock(self) -> AlarmClock {
        match self {
            Self::Real => AlarmClock::Monotonic,
            Self::Virtual => AlarmClock::ProcessUser,
            Self::Profiling => AlarmClock::ProcessCpu,
        }
    }
}

/// What getitimer(2) shows of a timer that sends its signal at this moment, as on Linux: it has not rung yet.
const ABOUT_TO_RING: Nanos = Nanos::from_micros(1);

/// What a kernel timer takes, with the closure that it calls, roughly.
const KERNEL_TIMER_BYTES: usize = 256;

/// Which alarm a kernel timer belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Interval(Interval),
    Posix(i32),
    CpuLimit,
}

/// The timers of one process.
pub struct Timers {
    process: Weak<Process>,
    state: SpinLock<State, Irq>,
}

#[derive(Default)]
struct State {
    intervals: [Option<Armed>; 3],
    /// The interval timer of real time has rung, and goes on when SIGALRM is delivered.
    awaits_delivery: bool,
    posix: BTreeMap<i32, PosixTimer>,
    next_id: i32,
    cpu_limit: Option<Armed>,
}

/// An alarm and the kernel's timer that serves it.
struct Armed {
    alarm: Alarm,
    timer: Timer,
    /// How many signals of it are being sent, without the lock: several if one is delivered before its sender notes that.
    ringing: u32,
}

impl Armed {
    fn new(clock: AlarmClock, timer: Timer) -> Self {
        Self { alarm: Alarm::new(clock), timer, ringing: 0 }
    }

    /// Whether its signal is being sent.
    fn is_ringing(&self) -> bool {
        self.ringing > 0
    }

    /// Sets the kernel's timer to when the alarm can ring next.
    fn schedule(&self, process: &Process) {
        match self.alarm.earliest(process) {
            Some(at) => self.timer.arm(at),
            None => {
                // If the callback is under way, it finds nothing due.
                let _was_armed = self.timer.cancel();
            }
        }
    }
}

impl Timers {
    /// No timers for the process that `process` refers to.
    pub(crate) fn new(process: Weak<Process>) -> Self {
        Self { process, state: SpinLock::new(Rank::PROCESS, State::default()) }
    }

    /// A kernel timer that rings alarm `which` of this process.
    fn kernel_timer(&self, which: Which) -> Timer {
        let process = self.process.clone();
        Timer::new(move |_| {
            if let Some(process) = process.upgrade().map(Late::new) {
                process.timers.expire(&process, which);
            }
        })
    }

    /// Sets an interval timer and returns what was left of it.
    pub(super) fn set_interval(&self, process: &Process, which: Interval, new: Setting) -> Setting {
        let fresh = Armed::new(which.clock(), self.kernel_timer(Which::Interval(which)));
        let mut guard = self.settled(|state| {
            state.intervals[which as usize].as_ref().is_some_and(Armed::is_ringing)
        });
        let state = &mut *guard;
        let armed = state.intervals[which as usize].get_or_insert(fresh);
        let mut former = armed.alarm.setting(process);
        if which == Interval::Real && core::mem::take(&mut state.awaits_delivery) {
            former.value = Nanos::ZERO;
        }
        armed.alarm.set(new, process);
        armed.schedule(process);
        former
    }

    /// What is left of an interval timer.
    pub(super) fn interval(&self, process: &Process, which: Interval) -> Setting {
        let state = self.state.lock();
        let Some(armed) = &state.intervals[which as usize] else { return Setting::DISARMED };
        let mut setting = armed.alarm.setting(process);
        if armed.is_ringing() {
            // Unless it goes on already, as its signal was taken at once.
            setting.value = setting.value.max(ABOUT_TO_RING);
        } else if which == Interval::Real && state.awaits_delivery {
            setting.value = Nanos::ZERO;
        }
        setting
    }

    /// The state, once no alarm that `is_ringing` looks at sends its signal. It does so in an interrupt handler, which is soon over.
    fn settled(&self, is_ringing: impl Fn(&State) -> bool) -> SpinGuard<'_, State, Irq> {
        loop {
            let state = self.state.lock();
            if !is_ringing(&state) {
                return state;
            }
            drop(state);
            arch::relax();
        }
    }

    /// SIGALRM is being delivered: if the interval timer of real time has rung, it goes on.
    fn continue_real_time(&self, process: &Process) {
        let mut state = self.state.lock();
        if core::mem::take(&mut state.awaits_delivery)
            && let Some(armed) = &mut state.intervals[Interval::Real as usize]
        {
            // What it missed meanwhile is not counted: the signal is pending once.
            let _rung = armed.alarm.ring(process);
            armed.schedule(process);
        }
    }

    /// `RLIMIT_CPU` has changed, or the process is new: look when it can be reached.
    pub(crate) fn watch_cpu_limit(&self) {
        let Some(process) = self.process.upgrade() else { return };
        let soft = process.limit(Resource::Cpu);
        let fresh = Armed::new(AlarmClock::ProcessCpu, self.kernel_timer(Which::CpuLimit));
        let mut state = self.state.lock();
        let armed = state.cpu_limit.get_or_insert(fresh);
        armed
            .alarm
            .ring_at((soft != u64::MAX).then(|| Nanos::from_secs(soft)), Nanos::from_secs(1));
        armed.schedule(&process);
    }

    /// Something may be due. In an interrupt handler.
    fn expire(&self, process: &Arc<Process>, which: Which) {
        let mut state = self.state.lock();
        match which {
            Which::Interval(interval) => {
                let Some(armed) = &mut state.intervals[interval as usize] else { return };
                let rings = armed.alarm.is_due(process);
                armed.ringing += u32::from(rings);
                if rings && interval == Interval::Real && armed.alarm.repeats() {
                    state.awaits_delivery = true;
                } else {
                    let _rung = armed.alarm.ring(process);
                    armed.schedule(process);
                }
                drop(state);
                if rings {
                    send::from_kernel(process, interval.signal());
                    if let Some(armed) = &mut self.state.lock().intervals[interval as usize] {
                        armed.ringing -= 1;
                    }
                }
            }
            Which::CpuLimit => {
                let Some(armed) = &mut state.cpu_limit else { return };
                let rings = armed.alarm.ring(process) > 0;
                armed.schedule(process);
                drop(state);
                if rings {
                    exceed_cpu_limit(process);
                }
            }
            Which::Posix(id) => {
                let Some(timer) = state.posix.get_mut(&id) else { return };
                let Some(signal) = timer.expire(process) else { return };
                drop(state);
                let will_be_delivered = signal.send(process);
                if let Some(timer) = self.state.lock().posix.get_mut(&id) {
                    timer.sent(process, will_be_delivered);
                }
            }
        }
    }

    /// Makes a POSIX timer and returns its id.
    ///
    /// # Errors
    /// `EAGAIN` when there are too many: they count like queued signals (timer_create(2)).
    fn create_posix(&self, process: &Process, clock: AlarmClock, target: Target) -> Result<i32> {
        let allowance = Allowance::take(process)?;
        let id = {
            let mut state = self.state.lock();
            let id = state.next_id;
            state.next_id = id.checked_add(1).ok_or(Errno::EAGAIN)?;
            id
        };
        let armed = Armed::new(clock, self.kernel_timer(Which::Posix(id)));
        let timer = PosixTimer::new(id, armed, target, allowance);
        self.state.lock().posix.insert(id, timer);
        Ok(id)
    }

    /// Bytes of kernel memory that the POSIX timers take, roughly.
    pub(crate) fn held_memory(&self) -> usize {
        self.state.lock().posix.len() * (size_of::<PosixTimer>() + KERNEL_TIMER_BYTES)
    }

    /// Calls `act` on the POSIX timer `id`.
    ///
    /// # Errors
    /// `EINVAL` when there is none.
    fn with_posix<R>(&self, id: i32, act: impl FnOnce(&mut PosixTimer) -> R) -> Result<R> {
        self.state.lock().posix.get_mut(&id).map(act).ok_or(Errno::EINVAL)
    }

    /// As [`with_posix`](Self::with_posix), for what forgets the timer's past.
    fn with_settled_posix<R>(&self, id: i32, act: impl FnOnce(&mut PosixTimer) -> R) -> Result<R> {
        self.settled_posix(id).posix.get_mut(&id).map(act).ok_or(Errno::EINVAL)
    }

    fn settled_posix(&self, id: i32) -> SpinGuard<'_, State, Irq> {
        self.settled(|state| state.posix.get(&id).is_some_and(PosixTimer::is_ringing))
    }

    fn delete_one(&self, id: i32) -> Result<()> {
        let timer = self.settled_posix(id).posix.remove(&id);
        timer.map(drop).ok_or(Errno::EINVAL)
    }

    /// Deletes the POSIX timers: execve(2).
    pub(crate) fn delete_posix(&self) {
        while let Some(id) = self.first_posix() {
            // One at a time: there may be many, and the lock keeps interrupts off.
            let _was_there = self.delete_one(id);
        }
    }

    fn first_posix(&self) -> Option<i32> {
        self.state.lock().posix.keys().next().copied()
    }

    /// Deletes all timers: the process has ended.
    pub(crate) fn delete_all(&self) {
        let former = core::mem::take(&mut *self.state.lock());
        drop(former);
    }
}

/// SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one.
fn exceed_cpu_limit(process: &Process) {
    let used = Usage::cpu_time_of(process).as_secs();
    let hard = process.hard_cpu_limit();
    send::from_kernel(process, if used >= hard { Signal::SIGKILL } else { Signal::SIGXCPU });
}

/// `info` is about to be delivered: if a POSIX timer sent it, its overrun is filled in and the timer goes on; so does the interval timer
/// that sends SIGALRM.
#[inline]
pub(super) fn note_delivery(process: &Process, info: &mut SignalInfo) {
    let is_alarm = info.signal_number() == u32::from(Signal::SIGALRM.number());
    if is_alarm || info.timer_id().is_some() {
        note_timer(process, info);
    }
}

fn note_timer(process: &Process, info: &mut SignalInfo) {
    if info.signal_number() == u32::from(Signal::SIGALRM.number()) {
        process.timers.continue_real_time(process);
    }
    let Some(id) = info.timer_id() else { return };
    let mut state = process.timers.state.lock();
    if let Some(overrun) = state.posix.get_mut(&id).and_then(|timer| timer.delivered(process)) {
        info.set_overrun(overrun);
    }
}
