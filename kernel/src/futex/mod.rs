//! Futexes (futex(2)): waiting for a change of a word in user memory.
//!
//! - [`key`](self) decides when two words are the same, and `recent` remembers it; `table` holds who waits; `wait` waits.
//! - `operation` is `FUTEX_WAKE_OP`'s little language; `robust` releases the locks of the dead.
//! - `inherit` has the locks whose owners inherit the urgency of those who wait.

mod inherit;
mod key;
mod operation;
mod recent;
mod robust;
mod table;
mod wait;
mod word;

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

pub use self::inherit::reorder;
use self::key::{Key, Sharing};
use self::operation::Operation;
pub use self::recent::Recent;
pub use self::robust::{end_locks, release_robust_list, wake_address};
use self::robust::{get_robust_list, set_robust_list};
use self::table::TABLE;
use self::wait::{Deadline, WaitVector, futex_waitv};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::time::{ClockId, Timespec};

/// This area's system calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(202, futex(
        address: UserAddr, operation: i32, value: u32, timeout: u64, second: UserAddr, third: u32
    )),
    syscall!(273, set_robust_list(head: UserAddr, size: usize)),
    syscall!(274, get_robust_list(tid: i32, head: UserPtr<u64>, size: UserPtr<usize>)),
    syscall!(449, futex_waitv(
        waiters: UserPtr<WaitVector>, count: u32, flags: u32, timeout: UserPtr<Timespec>, clock: i32
    )),
];

/// futex(2). The fourth argument is a time-out or a number, as the operation has it.
fn futex(
    caller: &mut Caller<'_>,
    address: UserAddr,
    operation: i32,
    value: u32,
    timeout: u64,
    second: UserAddr,
    third: u32,
) -> Result {
    let flags = operation as u32;
    let command = flags & !(abi::FUTEX_PRIVATE_FLAG | abi::FUTEX_CLOCK_REALTIME);
    let private = flags & abi::FUTEX_PRIVATE_FLAG != 0;
    let sharing = if private { Sharing::Private } else { Sharing::Shared };
    let clock = clock(command, flags)?;
    match command {
        abi::FUTEX_WAIT => {
            let deadline = relative(timeout)?;
            wait::wait(caller, address, sharing, value, u32::MAX, deadline)
        }
        abi::FUTEX_WAKE => wake(caller, address, sharing, value, u32::MAX),
        abi::FUTEX_WAIT_BITSET => {
            let deadline = absolute(timeout, clock)?;
            wait::wait(caller, address, sharing, value, third, deadline)
        }
        abi::FUTEX_WAKE_BITSET if third == 0 => Err(Errno::EINVAL),
        abi::FUTEX_WAKE_BITSET => wake(caller, address, sharing, value, third),
        abi::FUTEX_LOCK_PI | abi::FUTEX_LOCK_PI2 => {
            inherit::lock(caller, address, sharing, absolute(timeout, clock)?)
        }
        abi::FUTEX_TRYLOCK_PI => inherit::try_lock(caller, address, sharing),
        abi::FUTEX_UNLOCK_PI => inherit::unlock(caller, address, sharing),
        abi::FUTEX_WAIT_REQUEUE_PI => {
            let deadline = absolute(timeout, clock)?;
            inherit::wait_and_lock(caller, (address, second), sharing, value, deadline)
        }
        _ => on_two_words(
            caller,
            command,
            sharing,
            (address, value),
            (second, timeout as u32),
            third,
        ),
    }
}

/// `FUTEX_WAKE` and `FUTEX_WAKE_BITSET`.
fn wake(
    caller: &Caller<'_>,
    address: UserAddr,
    sharing: Sharing,
    count: u32,
    bitset: u32,
) -> Result {
    let key = Key::of(caller.thread, address, sharing)?;
    Ok(TABLE.wake(key, at_least_one(count), bitset) as usize)
}

/// The commands that wake at one word and wake or requeue at another: both words' addresses and numbers, and the last argument.
fn on_two_words(
    caller: &mut Caller<'_>,
    command: u32,
    sharing: Sharing,
    (first, value): (UserAddr, u32),
    (second, count): (UserAddr, u32),
    third: u32,
) -> Result {
    let thread = caller.thread;
    let key = |address| Key::of(thread, address, sharing);
    match command {
        abi::FUTEX_REQUEUE | abi::FUTEX_CMP_REQUEUE if (value as i32) < 0 || (count as i32) < 0 => {
            Err(Errno::EINVAL)
        }
        abi::FUTEX_REQUEUE => {
            let (from, to) = (key(first)?, key(second)?);
            let agree = || Ok::<_, Errno>(());
            let (woken, moved) = TABLE.requeue((from, value), (to, count), agree)?;
            Ok((woken + moved) as usize)
        }
        abi::FUTEX_CMP_REQUEUE => {
            let (from, to) = (key(first)?, key(second)?);
            compare_and_requeue(first, third, (from, value), (to, count))
        }
        abi::FUTEX_WAKE_OP => {
            let operation = Operation::decode(third)?;
            let (one, other) = (key(first)?, key(second)?);
            update_and_wake(second, operation, (one, value), (other, count))
        }
        // Exactly one may be woken: the lock is one thread's.
        abi::FUTEX_CMP_REQUEUE_PI if value != 1 || (count as i32) < 0 => Err(Errno::EINVAL),
        abi::FUTEX_CMP_REQUEUE_PI => {
            inherit::requeue(caller, (first, second), sharing, third, count)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// `FUTEX_CMP_REQUEUE`: if the word at `address` is `expected`, wakes so many of those who wait at `from` and lets so
/// many of the rest wait at `to`. Their sum, or `EAGAIN`.
fn compare_and_requeue(
    address: UserAddr,
    expected: u32,
    (from, wake): (Key, u32),
    (to, count): (Key, u32),
) -> Result {
    let check = || (word::load(address)? == expected).then_some(()).ok_or(Errno::EAGAIN);
    loop {
        // Touched before the lists are locked, so that the comparison hardly ever faults there. If it does and there is
        // no memory, the wait for some is here, without the locks.
        word::load(address)?;
        match TABLE.requeue((from, wake), (to, count), check) {
            Err(Errno::EFAULT) => {}
            Err(error) => return Err(error),
            Ok((woken, moved)) => return Ok((woken + moved) as usize),
        }
    }
}

/// `FUTEX_WAKE_OP`: changes the word at `address`, wakes so many at `first`, and so many at `other` if the word's old
/// value passes the operation's test.
fn update_and_wake(
    address: UserAddr,
    operation: Operation,
    (first, wake): (Key, u32),
    (other, count): (Key, u32),
) -> Result {
    let old = word::update(address, |value| operation.apply(value))?;
    let mut woken = TABLE.wake(first, at_least_one(wake), u32::MAX);
    if operation.holds(old) {
        woken += TABLE.wake(other, at_least_one(count), u32::MAX);
    }
    Ok(woken as usize)
}

/// The clock of the command's absolute time-out. `ENOSYS` where it takes no `FUTEX_CLOCK_REALTIME`.
fn clock(command: u32, flags: u32) -> Result<ClockId> {
    match flags & abi::FUTEX_CLOCK_REALTIME {
        0 if command == abi::FUTEX_LOCK_PI => Ok(ClockId::REALTIME),
        0 => Ok(ClockId::MONOTONIC),
        _ if takes_clock(command) => Ok(ClockId::REALTIME),
        _ => Err(Errno::ENOSYS),
    }
}

/// Whether the command's time-out may be on the real-time clock by `FUTEX_CLOCK_REALTIME`.
const fn takes_clock(command: u32) -> bool {
    matches!(command, abi::FUTEX_WAIT_BITSET | abi::FUTEX_WAIT_REQUEUE_PI | abi::FUTEX_LOCK_PI2)
}

/// Linux wakes one waiter when asked for none or fewer.
fn at_least_one(count: u32) -> u32 {
    (count as i32).max(1) as u32
}

/// The deadline of `FUTEX_WAIT`: from now on, always on the monotonic clock.
fn relative(timeout: u64) -> Result<Option<Deadline>> {
    let deadline = absolute(timeout, ClockId::MONOTONIC)?;
    Ok(deadline.map(|span| Deadline {
        clock: span.clock,
        time: arch::clock::now().saturating_add(span.time),
    }))
}

/// The deadline of `FUTEX_WAIT_BITSET`.
fn absolute(timeout: u64, clock: ClockId) -> Result<Option<Deadline>> {
    if timeout == 0 {
        return Ok(None);
    }
    let address = UserAddr::try_new(timeout).ok_or(Errno::EFAULT)?;
    let time = UserPtr::<Timespec>::new(address).read()?.to_nanos()?;
    Ok(Some(Deadline { clock, time }))
}
