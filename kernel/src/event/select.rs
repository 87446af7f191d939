//! select(2) and pselect6(2).
//!
//! The three sets of descriptors become one list of files with the events that each set stands for.

use alloc::vec::Vec;

use super::poll::{restarting, with_mask};
use super::readiness::{self, Watched};
use super::timeout::{self, Deadline, UserTime};
use crate::errno::{Errno, Result};
use crate::fs::{Fd, PollEvents};
use crate::memory::user::UserPtr;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// Descriptors in a word of an `fd_set`.
const BITS: usize = u64::BITS as usize;

/// What readiness for reading means.
const READ: PollEvents = PollEvents::READABLE
    .union(PollEvents::READ_BAND)
    .union(PollEvents::HANG_UP)
    .union(PollEvents::ERROR);
/// What readiness for writing means.
const WRITE: PollEvents =
    PollEvents::WRITABLE.union(PollEvents::WRITE_BAND).union(PollEvents::ERROR);
/// What an exceptional condition is.
const EXCEPTION: PollEvents = PollEvents::PRIORITY;
/// The meaning of the three sets, in the order of the arguments.
const MEANINGS: [PollEvents; 3] = [READ, WRITE, EXCEPTION];

/// A set of descriptors in user memory.
type UserSet = UserPtr<u64>;

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] = &[
    syscall!(23, select(
        count: i32, read: UserSet, write: UserSet, except: UserSet, timeout: UserTime
    )),
    syscall!(270, pselect6(
        count: i32, read: UserSet, write: UserSet, except: UserSet, timeout: UserTime,
        mask: UserPtr<[u64; 2]>
    )),
];

/// select: waits until a descriptor of the sets is ready.
fn select(
    caller: &mut Caller<'_>,
    count: i32,
    read: UserSet,
    write: UserSet,
    except: UserSet,
    timeout: UserTime,
) -> Result {
    let deadline = timeout::after_timeval(timeout)?;
    let result = wait(caller, count, [read, write, except], deadline);
    timeout::store_remaining_timeval(timeout, deadline);
    result.map_err(restarting)
}

/// pselect6: as select, with a finer time-out and a signal mask for the time of the wait.
fn pselect6(
    caller: &mut Caller<'_>,
    count: i32,
    read: UserSet,
    write: UserSet,
    except: UserSet,
    timeout: UserTime,
    mask: UserPtr<[u64; 2]>,
) -> Result {
    let [mask, size] = mask.read_if_present()?.unwrap_or([0, 0]);
    let mask = <UserPtr<u64> as crate::syscall::Argument>::from_register(mask);
    let deadline = timeout::after_timespec(timeout)?;
    let sets = [read, write, except];
    let result = with_mask(mask, size as usize, || wait(caller, count, sets, deadline))?;
    timeout::store_remaining_timespec(timeout, deadline);
    result.map_err(restarting)
}

fn wait(caller: &Caller<'_>, count: i32, sets: [UserSet; 3], deadline: Deadline) -> Result {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    // Descriptors past the end of the table are not looked at, as on Linux.
    let count = count.min(caller.thread.files().capacity().next_multiple_of(BITS).max(BITS));
    let wanted = [read_set(sets[0], count)?, read_set(sets[1], count)?, read_set(sets[2], count)?];
    let (descriptors, mut watched) = watch(caller, count, &wanted)?;
    readiness::wait(&mut watched, deadline)?;
    let mut results = [empty_set(count)?, empty_set(count)?, empty_set(count)?];
    let mut total = 0;
    for (&descriptor, watched) in descriptors.iter().zip(&watched) {
        for ((result, wanted), meaning) in results.iter_mut().zip(&wanted).zip(MEANINGS) {
            if contains(wanted, descriptor) && watched.found.intersects(meaning) {
                result[descriptor / BITS] |= 1 << (descriptor % BITS);
                total += 1;
            }
        }
    }
    for (set, result) in sets.into_iter().zip(&results) {
        write_set(set, result)?;
    }
    Ok(total)
}

/// The files of all descriptors that are in one of the sets, with what the sets want of them.
fn watch(
    caller: &Caller<'_>,
    count: usize,
    wanted: &[Vec<u64>; 3],
) -> Result<(Vec<usize>, Vec<Watched>)> {
    let files = caller.thread.files();
    let (mut descriptors, mut watched) = (Vec::new(), Vec::new());
    for descriptor in 0..count {
        let mut events = PollEvents::empty();
        for (set, meaning) in wanted.iter().zip(MEANINGS) {
            if contains(set, descriptor) {
                events |= meaning;
            }
        }
        if events.is_empty() {
            continue;
        }
        let file = Some(files.get(Fd(descriptor as i32))?);
        descriptors.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        watched.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        descriptors.push(descriptor);
        watched.push(Watched { file, wanted: events, found: PollEvents::empty() });
    }
    Ok((descriptors, watched))
}

fn contains(set: &[u64], descriptor: usize) -> bool {
    set.get(descriptor / BITS).is_some_and(|word| word & (1 << (descriptor % BITS)) != 0)
}

fn empty_set(count: usize) -> Result<Vec<u64>> {
    let mut set = Vec::new();
    let words = count.div_ceil(BITS);
    set.try_reserve_exact(words).map_err(|_| Errno::ENOMEM)?;
    set.resize(words, 0);
    Ok(set)
}

/// The set at `address`, without bits from `count` on; empty where there is none.
fn read_set(address: UserSet, count: usize) -> Result<Vec<u64>> {
    if address.is_null() {
        return Ok(Vec::new());
    }
    let mut set = address.read_array(count.div_ceil(BITS))?;
    if let Some(last) = set.last_mut()
        && !count.is_multiple_of(BITS)
    {
        *last &= (1 << (count % BITS)) - 1;
    }
    Ok(set)
}

fn write_set(address: UserSet, set: &[u64]) -> Result<()> {
    if address.is_null() {
        return Ok(());
    }
    for (index, word) in set.iter().enumerate() {
        address.element(index)?.write(word)?;
    }
    Ok(())
}
