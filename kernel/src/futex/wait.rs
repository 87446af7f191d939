//! Waiting on one word, and on several (futex_waitv(2)).

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::UserAddr;
use arch::time::Nanos;
use linux_raw_sys::general as abi;

use super::key::{Key, Sharing};
use super::table::{Place, TABLE, Waiter};
use super::word;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::plain_data;
use crate::scheduling::{ParkMode, Registration, ThreadWaker, WaitEnd, block_current};
use crate::syscall::Caller;
use crate::task::{Restart, Thread};
use crate::time::{ClockId, Timespec, clock_was_set};

/// When a wait ends unsuccessfully.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deadline {
    pub clock: ClockId,
    /// On that clock.
    pub time: Nanos,
}

impl Deadline {
    /// The deadline as a restarted call finds it in its arguments, and back.
    fn pack(this: Option<Self>) -> [u64; 2] {
        match this {
            None => [0, 0],
            Some(Self { clock, time }) => [1 + u64::from(clock.is_settable()), time.0],
        }
    }

    fn unpack([kind, time]: [u64; 2]) -> Option<Self> {
        let clock = match kind {
            0 => return None,
            1 => ClockId::MONOTONIC,
            _ => ClockId::REALTIME,
        };
        Some(Self { clock, time: Nanos(time) })
    }
}

/// Waits until a waker with a common bit in `bitset` comes, if the word at `address` is `expected`.
pub(super) fn wait(
    caller: &mut Caller<'_>,
    address: UserAddr,
    sharing: Sharing,
    expected: u32,
    bitset: u32,
    deadline: Option<Deadline>,
) -> Result {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = Key::of(caller.thread, address, sharing)?;
    let waiter = Waiter::new(Arc::clone(caller.thread), key, bitset);
    let place = TABLE.join(&waiter);
    let unchanged = match word::load(address) {
        Ok(value) if value == expected => Ok(()),
        Ok(_) => Err(Errno::EAGAIN),
        Err(fault) => Err(fault),
    };
    if let Err(error) = unchanged {
        place.leave_passing_on();
        return Err(error);
    }
    let outcome = block_until(caller.thread, deadline, || waiter.is_woken());
    drop(place);
    match outcome {
        _ if waiter.is_woken() => Ok(0),
        Ok(()) => Ok(0),
        Err(WaitEnd::TimedOut) => Err(Errno::ETIMEDOUT),
        Err(WaitEnd::Interrupted) if deadline.is_none() => Err(Errno::ERESTARTSYS),
        Err(WaitEnd::Interrupted) => {
            let [kind, time] = Deadline::pack(deadline);
            let shared = u64::from(sharing == Sharing::Shared);
            let words = u64::from(expected) | u64::from(bitset) << 32;
            let arguments = [address.as_u64(), shared, words, kind, time];
            caller.thread.set_restart(Restart { resume, arguments });
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
    }
}

/// Goes on with a wait that had a deadline.
fn resume(caller: &mut Caller<'_>, [address, shared, words, kind, time]: [u64; 5]) -> Result {
    let address = UserAddr::try_new(address).ok_or(Errno::EFAULT)?;
    let sharing = if shared == 0 { Sharing::Private } else { Sharing::Shared };
    let deadline = Deadline::unpack([kind, time]);
    wait(caller, address, sharing, words as u32, (words >> 32) as u32, deadline)
}

/// Sleeps until `done` or until the deadline, also if its clock is set meanwhile.
pub(super) fn block_until(
    thread: &Arc<Thread>,
    deadline: Option<Deadline>,
    mut done: impl FnMut() -> bool,
) -> core::result::Result<(), WaitEnd> {
    let Some(Deadline { clock, time }) = deadline else {
        return block_current(ParkMode::Interruptible, None, done);
    };
    let _told = tell_when_set(thread, clock);
    loop {
        let generation = clock_was_set().1;
        let is_stale = || clock.is_settable() && clock_was_set().1 != generation;
        let at = Some(clock.to_monotonic(time));
        block_current(ParkMode::Interruptible, at, || done() || is_stale())?;
        if done() {
            return Ok(());
        }
    }
}

/// Has `thread` woken when `clock` is set, if it can be. Without memory for that the deadline stays where it was.
fn tell_when_set(thread: &Arc<Thread>, clock: ClockId) -> Option<Registration> {
    let observer = || Arc::new(ThreadWaker::new(Arc::clone(thread)));
    clock.is_settable().then(|| clock_was_set().0.register(observer()).ok()).flatten()
}

/// `struct futex_waitv`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct WaitVector {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

plain_data!(WaitVector);

/// The most words that futex_waitv(2) takes.
const MOST_WORDS: u32 = abi::FUTEX_WAITV_MAX;
const SIZE_U32: u32 = 2;
const PRIVATE: u32 = abi::FUTEX_PRIVATE_FLAG;

/// Waits on several words; returns the index of one that was woken.
pub(super) fn futex_waitv(
    caller: &mut Caller<'_>,
    waiters: UserPtr<WaitVector>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result {
    if flags != 0 || count == 0 || count > MOST_WORDS {
        return Err(Errno::EINVAL);
    }
    let deadline = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let clock = ClockId::from_number(clock)?;
            if clock != ClockId::MONOTONIC && clock != ClockId::REALTIME {
                return Err(Errno::EINVAL);
            }
            Some(Deadline { clock, time: timeout.read()?.to_nanos()? })
        }
    };
    let vectors = waiters.read_array(count as usize)?;
    wait_on_all(caller.thread, &vectors, deadline)
}

fn wait_on_all(thread: &Arc<Thread>, vectors: &[WaitVector], deadline: Option<Deadline>) -> Result {
    let mut waiters: Vec<Waiter> = Vec::new();
    let mut places: Vec<Place<'_>> = Vec::new();
    waiters.try_reserve(vectors.len()).map_err(|_| Errno::ENOMEM)?;
    places.try_reserve(vectors.len()).map_err(|_| Errno::ENOMEM)?;
    for vector in vectors {
        let (address, sharing) = check(vector)?;
        let key = Key::of(thread, address, sharing)?;
        waiters.push(Waiter::new(Arc::clone(thread), key, u32::MAX));
    }
    places.extend(waiters.iter().map(|waiter| TABLE.join(waiter)));
    let woken = || waiters.iter().position(Waiter::is_woken);
    let mismatch = vectors.iter().map(unchanged).find_map(core::result::Result::err);
    let outcome = match mismatch {
        // Linux reports a wake-up that came first.
        Some(error) => woken().map(|_| ()).ok_or(error),
        None => block_until(thread, deadline, || woken().is_some()).map_err(|end| match end {
            WaitEnd::TimedOut => Errno::ETIMEDOUT,
            WaitEnd::Interrupted => Errno::ERESTARTSYS,
        }),
    };
    drop(places);
    match (woken(), outcome) {
        (Some(index), _) => Ok(index),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(Errno::EAGAIN),
    }
}

fn check(vector: &WaitVector) -> Result<(UserAddr, Sharing)> {
    let valid = vector.flags & !PRIVATE == SIZE_U32
        && vector.reserved == 0
        && u32::try_from(vector.value).is_ok();
    if !valid {
        return Err(Errno::EINVAL);
    }
    let address = UserAddr::try_new(vector.address).ok_or(Errno::EFAULT)?;
    let private = vector.flags & PRIVATE != 0;
    Ok((address, if private { Sharing::Private } else { Sharing::Shared }))
}

/// Whether the word still has the expected value.
fn unchanged(vector: &WaitVector) -> Result<()> {
    let address = UserAddr::try_new(vector.address).ok_or(Errno::EFAULT)?;
    if u64::from(word::load(address)?) == vector.value { Ok(()) } else { Err(Errno::EAGAIN) }
}
