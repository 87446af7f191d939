//! Robust futexes: locks that their owner's death must not leave locked (set_robust_list(2)).
//!
//! Each thread tells where its list of held locks begins. The list is the program's: it may be broken, cyclic, or changing; every
//! step is checked and the walk is bounded.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::inherit;
use super::key::{Key, Sharing};
use super::table::TABLE;
use super::word;
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::plain_data;
use crate::syscall::Caller;
use crate::task::{Capability, Thread, Tid, table};

/// `struct robust_list_head`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Head {
    /// The first entry; the list ends where it comes back to the head.
    next: u64,
    /// From an entry to its futex word.
    offset: i64,
    /// An entry that is being added or removed.
    pending: u64,
}

plain_data!(Head);

/// The longest list that is walked (`ROBUST_LIST_LIMIT`).
const LONGEST: usize = abi::ROBUST_LIST_LIMIT as usize;
/// The bit of an entry's address that marks a priority-inheritance futex.
const PRIORITY_INHERITANCE: u64 = 1;

/// Says where the caller's list begins.
pub(super) fn set_robust_list(caller: &mut Caller<'_>, head: UserAddr, size: usize) -> Result {
    if size != size_of::<Head>() {
        return Err(Errno::EINVAL);
    }
    caller.thread.set_robust_list(head.as_u64());
    Ok(0)
}

/// Asks where a thread's list begins.
pub(super) fn get_robust_list(
    caller: &mut Caller<'_>,
    tid: i32,
    head: UserPtr<u64>,
    size: UserPtr<usize>,
) -> Result {
    let other = match tid {
        0 => Arc::clone(caller.thread),
        _ => {
            let tid = Tid::from_argument(tid).ok_or(Errno::ESRCH)?;
            table::find_thread(tid).ok_or(Errno::ESRCH)?
        }
    };
    if !Arc::ptr_eq(other.process(), caller.thread.process()) {
        let (own, its) = (caller.thread.credentials(), other.credentials());
        if own.user.real != its.user.real && !own.has(Capability::SysPtrace) {
            return Err(Errno::EPERM);
        }
    }
    size.write(&size_of::<Head>())?;
    head.write(&other.robust_list())?;
    Ok(0)
}

/// The current thread ends: as [`release_robust_list`], and nobody waits for it any more.
pub fn end_locks(thread: &Arc<Thread>) {
    release_robust_list(thread);
    inherit::end(thread);
}

/// Marks every lock on `thread`'s list as its dead owner's and wakes a waiter each. The thread is the current one, and ends
/// or gives up its memory.
pub fn release_robust_list(thread: &Arc<Thread>) {
    let head = thread.robust_list();
    thread.set_robust_list(0);
    if head != 0 {
        // What cannot be read is the program's own mistake.
        let _unreadable = walk(thread, head);
    }
    inherit::release_all(thread);
}

fn walk(thread: &Arc<Thread>, address: u64) -> Result<()> {
    let head: Head = pointer(address)?.read()?;
    let mut entry = head.next;
    for _ in 0..LONGEST {
        if entry & !PRIORITY_INHERITANCE == address {
            break;
        }
        // The next one first: once the lock is released, the entry may be reused.
        let next: Result<u64> = pointer(entry & !PRIORITY_INHERITANCE)?.read();
        if entry != head.pending {
            release(thread, entry, head.offset, Entry::Listed)?;
        }
        entry = next?;
    }
    if head.pending != 0 {
        release(thread, head.pending, head.offset, Entry::Pending)?;
    }
    Ok(())
}

fn pointer<T: 'static>(address: u64) -> Result<UserPtr<T>> {
    UserAddr::try_new(address).map(UserPtr::new).ok_or(Errno::EFAULT)
}

/// How an entry was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry {
    /// In the list: the thread has the lock.
    Listed,
    /// It may have, or have had, the lock.
    Pending,
}

fn release(thread: &Arc<Thread>, entry: u64, offset: i64, found: Entry) -> Result<()> {
    let inherits = entry & PRIORITY_INHERITANCE != 0;
    let address = (entry & !PRIORITY_INHERITANCE).wrapping_add_signed(offset);
    let address = UserAddr::try_new(address).ok_or(Errno::EFAULT)?;
    if !address.as_u64().is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let tid = thread.tid().as_u32();
    let owned = |value: u32| value & abi::FUTEX_TID_MASK == tid;
    let old = word::update(address, |value| if owned(value) { died(value) } else { value })?;
    let waits = old & abi::FUTEX_WAITERS != 0;
    // A thread that died between unlocking and waking left the word free and a waiter asleep.
    let unlocked = found == Entry::Pending && old & abi::FUTEX_TID_MASK == 0;
    if !inherits && (unlocked || owned(old) && waits) {
        wake_address(thread, address, 1);
    }
    Ok(())
}

/// The word of a lock whose owner died: no owner, the mark, and the bit that says that others wait.
const fn died(value: u32) -> u32 {
    value & abi::FUTEX_WAITERS | abi::FUTEX_OWNER_DIED
}

/// Wakes up to `count` waiters on the word at `address` in `thread`'s memory. For the kernel's own wake-ups at exit.
pub fn wake_address(thread: &Arc<Thread>, address: UserAddr, count: u32) {
    // Nobody waits on a word that is not mapped.
    if let Ok(key) = Key::of(thread, address, Sharing::Shared) {
        TABLE.wake(key, count, u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_owners_word_keeps_only_the_waiters_bit() {
        assert_eq!(died(abi::FUTEX_WAITERS | 77), abi::FUTEX_WAITERS | abi::FUTEX_OWNER_DIED);
        assert_eq!(died(77), abi::FUTEX_OWNER_DIED);
    }
}
