//! POSIX timers (timer_create(2)). Key type: [`PosixTimer`].

use alloc::sync::{Arc, Weak};

use super::alarm::Setting;
use super::{Alarm, Armed};
use crate::errno::Result;
use crate::scheduling::Late;
use crate::signal::info::SignalInfo;
use crate::signal::number::Signal;
use crate::signal::send;
use crate::task::{Account, Process, Thread};
use arch::time::Nanos;

/// The most that an overrun can be (`DELAYTIMER_MAX`).
const OVERRUN_MAX: u64 = i32::MAX as u64;

/// What happens when a timer expires.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Nothing: the program asks for the time left.
    None,
    /// A signal to the process, with this value.
    Process(Signal, u64),
    /// A signal to one of its threads.
    Thread(Signal, u64, Weak<Thread>),
}

/// A timer's share of what its user may have of queued signals (`RLIMIT_SIGPENDING`); given back when dropped.
pub(super) struct Allowance(Arc<Account>);

impl Allowance {
    /// Takes one for a timer of `process`.
    ///
    /// # Errors
    /// `EAGAIN` at the limit.
    pub(super) fn take(process: &Process) -> Result<Self> {
        let state = process.signals();
        let (account, limit) = (state.account.clone(), state.queue_limit);
        drop(state);
        account.add_signal(limit)?;
        Ok(Self(account))
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.0.remove_signal();
    }
}

/// A timer of a program.
pub(super) struct PosixTimer {
    id: i32,
    armed: Armed,
    target: Target,
    /// The signal of an expiry was sent and not delivered yet.
    is_pending: bool,
    /// The overrun of the last delivery.
    overrun: i32,
    _allowance: Allowance,
}

/// A signal to be sent without the timers' lock.
pub(super) struct DueSignal {
    target: Target,
    timer: i32,
}

impl DueSignal {
    /// Sends it. Says whether it will be delivered with its information.
    pub(super) fn send(self, process: &Process) -> bool {
        match self.target {
            Target::None => false,
            Target::Process(signal, value) => send::from_timer(
                process,
                None,
                signal,
                SignalInfo::timer(signal, self.timer, value),
            ),
            Target::Thread(signal, value, thread) => {
                thread.upgrade().map(Late::new).is_some_and(|thread| {
                    let info = SignalInfo::timer(signal, self.timer, value);
                    send::from_timer(process, Some(&thread), signal, info)
                })
            }
        }
    }
}

impl PosixTimer {
    pub(super) fn new(id: i32, armed: Armed, target: Target, allowance: Allowance) -> Self {
        Self { id, armed, target, is_pending: false, overrun: 0, _allowance: allowance }
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.armed.alarm
    }

    /// Sets it and returns what was left. `at` is on the timer's clock; `None` disarms.
    pub(super) fn set(&mut self, process: &Process, at: Option<Nanos>, interval: Nanos) -> Setting {
        let former = self.setting(process);
        self.armed.alarm.ring_at(at, interval);
        self.is_pending = false;
        self.overrun = 0;
        self.armed.schedule(process);
        former
    }

    /// The time left and the interval.
    pub(super) fn setting(&self, process: &Process) -> Setting {
        self.armed.alarm.setting(process)
    }

    /// Replaces what happens when it expires.
    pub(super) fn retarget(&mut self, target: Target) {
        self.target = target;
    }

    /// The overrun of the last delivery.
    pub(super) fn overrun(&self) -> i32 {
        self.overrun
    }

    /// The kernel's timer has fired. Returns the signal to send, if it is due.
    pub(super) fn expire(&mut self, process: &Process) -> Option<DueSignal> {
        if !self.armed.alarm.is_due(process) {
            self.armed.schedule(process);
            return None;
        }
        if matches!(self.target, Target::None) {
            // Nobody is told, and timer_gettime computes the rest when asked: no need to fire again.
            return None;
        }
        self.is_pending = true;
        self.armed.ringing += 1;
        Some(DueSignal { target: self.target.clone(), timer: self.id })
    }

    /// Whether its signal is being sent at this moment.
    pub(super) fn is_ringing(&self) -> bool {
        self.armed.is_ringing()
    }

    /// The signal that [`expire`](Self::expire) returned was sent. If nobody will deliver it, as it was discarded or lost its
    /// information, the timer goes on now.
    pub(super) fn sent(&mut self, process: &Process, will_be_delivered: bool) {
        self.armed.ringing -= 1;
        if !will_be_delivered {
            self.go_on(process);
        }
    }

    /// Its signal is being delivered: counts what it missed meanwhile and goes on.
    pub(super) fn delivered(&mut self, process: &Process) -> Option<i32> {
        if !core::mem::take(&mut self.is_pending) {
            return None;
        }
        let rung = self.armed.alarm.ring(process);
        self.overrun = rung.saturating_sub(1).min(OVERRUN_MAX) as i32;
        self.armed.schedule(process);
        Some(self.overrun)
    }

    /// Goes on although the signal was not sent; not at once, so that an ignored signal with a short interval costs
    /// little.
    fn go_on(&mut self, process: &Process) {
        const PAUSE: Nanos = Nanos::from_millis(1);
        self.is_pending = false;
        let _rung = self.armed.alarm.ring(process);
        if self.armed.alarm.repeats()
            && let Some(at) = self.armed.alarm.earliest(process)
        {
            self.armed.timer.arm(at.max(arch::clock::now().saturating_add(PAUSE)));
        }
    }

    /// Brings a timer that nobody hears up to date, before the time left is read.
    pub(super) fn catch_up(&mut self, process: &Process) {
        if matches!(self.target, Target::None) {
            let _rung = self.armed.alarm.ring(process);
        }
    }
}
