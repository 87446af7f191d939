//! timerfd_create(2): a timer that is read.
//!
//! Expirations are counted when somebody looks, from the time and the interval, so the timer itself fires once: to wake
//! who waits. A read that finds the timer expired moves it on and arms it again.
//!
//! Lock: `state`, rank `FILE`, for one step; the timer is armed after it is released, under `setting`, a sleeping
//! mutex that keeps two changes apart.

use alloc::sync::Arc;

use arch::sync::{Rank, SpinLock};
use arch::time::Nanos;
use linux_raw_sys::general as abi;

use super::timeout;
use crate::errno::{Errno, Result};
use crate::fs::{
    AnonymousKind, Fd, File, FileOperations, OpenFlags, PollEvents, PollTable, Sink, Special,
    open_descriptor,
};
use crate::memory::user::UserPtr;
use crate::scheduling::{Mutex, WaitQueue};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::time::Timer;

/// When a timer expires, on the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Schedule {
    /// The first expiration that was not read; `None` for a timer that is off.
    next: Option<Nanos>,
    /// What lies between expirations; zero for one that expires once.
    interval: Nanos,
}

impl Schedule {
    /// How often the timer has expired by `now`, and was not read.
    fn expirations(&self, now: Nanos) -> u64 {
        match self.next {
            Some(next) if next <= now => match self.interval {
                Nanos::ZERO => 1,
                interval => 1 + (now - next).0 / interval.0,
            },
            _ => 0,
        }
    }

    /// Forgets the expirations until `now`, and returns how many there were.
    fn take(&mut self, now: Nanos) -> u64 {
        let count = self.expirations(now);
        if count > 0 {
            let step = Nanos(self.interval.0.saturating_mul(count));
            let repeats = self.interval > Nanos::ZERO;
            self.next = self.next.filter(|_| repeats).map(|next| next.saturating_add(step));
        }
        count
    }

    /// Interval and time until the next expiration, as timerfd_gettime(2) reports them.
    fn report(mut self, now: Nanos) -> (Nanos, Nanos) {
        self.take(now);
        let left = self.next.map_or(Nanos::ZERO, |next| Nanos(next.saturating_sub(now).0.max(1)));
        (self.interval, left)
    }
}

/// Which clock a timer's absolute times are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Clock {
    Monotonic,
    Realtime,
}

/// An open timer.
pub struct TimerFile {
    clock: Clock,
    state: SpinLock<Schedule>,
    setting: Mutex<()>,
    timer: Timer,
    readable: Arc<WaitQueue>,
}

impl TimerFile {
    fn new(clock: Clock) -> Self {
        let readable = Arc::new(WaitQueue::new());
        let waiters = readable.clone();
        Self {
            clock,
            state: SpinLock::new(Rank::FILE, Schedule::default()),
            setting: Mutex::new(()),
            timer: Timer::new(move |_| waiters.wake_all()),
            readable,
        }
    }

    /// Arms the timer for the next expiration.
    fn arm(&self, schedule: Schedule) {
        match schedule.next {
            Some(next) => self.timer.arm(next),
            None => {
                self.timer.cancel();
            }
        }
    }

    /// Takes the expirations, if there are any.
    fn try_take(&self) -> Option<u64> {
        let _turn = self.setting.lock();
        let (count, schedule) = {
            let mut state = self.state.lock();
            (state.take(arch::clock::now()), *state)
        };
        if count > 0 {
            self.arm(schedule);
        }
        (count > 0).then_some(count)
    }

    /// Replaces the schedule and reports the former one.
    fn set(&self, schedule: Schedule) -> (Nanos, Nanos) {
        let _turn = self.setting.lock();
        let former = core::mem::replace(&mut *self.state.lock(), schedule);
        self.arm(schedule);
        former.report(arch::clock::now())
    }

    /// The time on the monotonic clock that `time` means.
    fn deadline(&self, time: Nanos, flags: u32) -> Nanos {
        if flags & abi::TFD_TIMER_ABSTIME == 0 {
            return arch::clock::now().saturating_add(time);
        }
        match self.clock {
            Clock::Monotonic => time,
            Clock::Realtime => time.saturating_sub(arch::clock::realtime_at_boot()),
        }
    }
}

impl FileOperations for TimerFile {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        if sink.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let count = if file.is_nonblocking() {
            self.try_take().ok_or(Errno::EAGAIN)?
        } else {
            self.readable.wait_until(|| self.try_take())?
        };
        sink.put(&count.to_ne_bytes())
    }

    fn special(&self) -> Special<'_> {
        Special::Timer(self)
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.readable);
        let expired = self.state.lock().expirations(arch::clock::now()) > 0;
        if expired { PollEvents::IN } else { PollEvents::empty() }
    }
}

/// `struct itimerspec`: interval and value, each seconds and nanoseconds.
type UserTimer = UserPtr<[[i64; 2]; 2]>;

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(283, timerfd_create(clock: u32, flags: u32)),
    syscall!(286, timerfd_settime(timer: Fd, flags: u32, new: UserTimer, old: UserTimer)),
    syscall!(287, timerfd_gettime(timer: Fd, current: UserTimer)),
];

/// timerfd_create: a timer that is off.
fn timerfd_create(caller: &mut Caller<'_>, clock: u32, flags: u32) -> Result {
    if flags & !(abi::TFD_CLOEXEC | abi::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let clock = match clock {
        abi::CLOCK_REALTIME | abi::CLOCK_REALTIME_ALARM => Clock::Realtime,
        abi::CLOCK_MONOTONIC | abi::CLOCK_BOOTTIME | abi::CLOCK_BOOTTIME_ALARM => Clock::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    // TFD_CLOEXEC and TFD_NONBLOCK are O_CLOEXEC and O_NONBLOCK.
    let open_flags = OpenFlags::from_bits_retain(flags) | OpenFlags::READ_WRITE;
    let kind = AnonymousKind::Object("[timerfd]");
    open_descriptor(caller.thread, kind, Arc::new(TimerFile::new(clock)), open_flags)
}

/// timerfd_settime: sets or stops a timer.
fn timerfd_settime(
    caller: &mut Caller<'_>,
    timer: Fd,
    flags: u32,
    new: UserTimer,
    old: UserTimer,
) -> Result {
    let [interval, value] = new.read()?;
    let known = abi::TFD_TIMER_ABSTIME | abi::TFD_TIMER_CANCEL_ON_SET;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let (interval, value) = (timeout::span(interval)?, timeout::span(value)?);
    let file = caller.thread.files().get(timer)?;
    let Special::Timer(timer) = file.operations().special() else { return Err(Errno::EINVAL) };
    let next = (value > Nanos::ZERO).then(|| timer.deadline(value, flags));
    let former = timer.set(Schedule { next, interval });
    store(old, former)
}

/// timerfd_gettime: reports interval and time left.
fn timerfd_gettime(caller: &mut Caller<'_>, timer: Fd, current: UserTimer) -> Result {
    let file = caller.thread.files().get(timer)?;
    let Special::Timer(timer) = file.operations().special() else { return Err(Errno::EINVAL) };
    let schedule = *timer.state.lock();
    current.write(&itimerspec(schedule.report(arch::clock::now())))?;
    Ok(0)
}

fn store(address: UserTimer, (interval, left): (Nanos, Nanos)) -> Result {
    address.write_if_present(&itimerspec((interval, left)))?;
    Ok(0)
}

fn itimerspec((interval, left): (Nanos, Nanos)) -> [[i64; 2]; 2] {
    [timeout::timespec(interval), timeout::timespec(left)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_without_interval_expires_once() {
        let mut schedule = Schedule { next: Some(Nanos(100)), interval: Nanos::ZERO };
        assert_eq!(schedule.take(Nanos(99)), 0);
        assert_eq!(schedule.take(Nanos(5000)), 1);
        assert_eq!(schedule.take(Nanos(9000)), 0);
        assert_eq!(schedule.report(Nanos(9000)), (Nanos::ZERO, Nanos::ZERO));
    }

    #[test]
    fn missed_expirations_are_counted() {
        let mut schedule = Schedule { next: Some(Nanos(100)), interval: Nanos(10) };
        assert_eq!(schedule.take(Nanos(135)), 4);
        assert_eq!(schedule.next, Some(Nanos(140)));
        assert_eq!(schedule.expirations(Nanos(139)), 0);
        assert_eq!(schedule.report(Nanos(151)), (Nanos(10), Nanos(9)));
    }

    #[test]
    fn a_schedule_never_overflows() {
        let mut schedule = Schedule { next: Some(Nanos(1)), interval: Nanos::MAX };
        assert_eq!(schedule.take(Nanos(2)), 1);
        assert_eq!(schedule.take(Nanos(3)), 0);
    }
}
