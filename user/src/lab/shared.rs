//! Memory that all tasks of a load share. Key type: [`Shared`].

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sys;

/// How many tasks a run may have in all.
pub const TASKS: usize = 1 << 14;
/// How many locks a load may have.
pub const LOCKS: usize = 64;

/// What a task has achieved. Written by that task alone.
pub struct Slot {
    /// Its group and number, plus 1; 0 while nobody has the slot.
    pub task: AtomicU64,
    /// How often it went through its steps.
    pub rounds: AtomicU64,
    /// How often it came too late.
    pub missed: AtomicU64,
}

/// What is shared.
pub struct Shared {
    /// 0 until the tasks may begin.
    go: AtomicU32,
    /// How many slots are taken.
    taken: AtomicU32,
    /// 0 free, 1 held, 2 held and waited for.
    locks: [AtomicU32; LOCKS],
    slots: [Slot; TASKS],
}

impl Shared {
    /// Fresh memory for a run. It stays until the program ends.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn map() -> Result<&'static Self, sys::Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let address = sys!(SYS_mmap, 0, size_of::<Self>(), protection, flags, -1, 0)?;
        let pointer = std::ptr::with_exposed_provenance::<Self>(address);
        // SAFETY: a new mapping of this size, never unmapped; zeros are a valid value of atomics.
        Ok(unsafe { &*pointer })
    }

    /// Waits for the starting signal.
    pub fn await_start(&self) {
        while self.go.load(Ordering::Acquire) == 0 {
            wait(&self.go, 0);
        }
    }

    /// Gives the starting signal.
    pub fn start(&self) {
        self.go.store(1, Ordering::Release);
        wake(&self.go, i32::MAX);
    }

    /// Takes a slot for task `index` of `group`. `None` when there are none left.
    #[must_use]
    pub fn take_slot(&self, group: usize, index: usize) -> Option<&Slot> {
        let position = self.taken.fetch_add(1, Ordering::Relaxed) as usize;
        let slot = self.slots.get(position)?;
        slot.task.store(((group as u64) << 32 | index as u64) + 1, Ordering::Release);
        Some(slot)
    }

    /// The slots that are taken: group, number, slot.
    pub fn slots(&self) -> impl Iterator<Item = (usize, usize, &Slot)> {
        self.slots.iter().filter_map(|slot| {
            let task = slot.task.load(Ordering::Acquire).checked_sub(1)?;
            Some(((task >> 32) as usize, task as u32 as usize, slot))
        })
    }

    /// Takes lock `number`. After Drepper, "Futexes Are Tricky" (2011), mutex 2.
    pub fn lock(&self, number: usize) {
        let lock = &self.locks[number % LOCKS];
        let free = lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if free.is_err() {
            while lock.swap(2, Ordering::Acquire) != 0 {
                wait(lock, 2);
            }
        }
    }

    /// Gives it back.
    pub fn unlock(&self, number: usize) {
        let lock = &self.locks[number % LOCKS];
        if lock.swap(0, Ordering::Release) == 2 {
            wake(lock, 1);
        }
    }
}

/// Sleeps while `word` is `value`, or until woken.
fn wait(word: &AtomicU32, value: u32) {
    // Woken, changed before, or interrupted: the caller looks again in any case.
    let _ = sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, 0, 0, 0);
}

fn wake(word: &AtomicU32, count: i32) {
    // The address is valid, so this cannot fail.
    let _ = sys!(SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count, 0, 0, 0);
}
