//! Pipes and FIFOs (pipe(7), fifo(7)).
//!
//! A [`Pipe`] is a [`PipeBuffer`] under a sleeping mutex, held while bytes are copied from and to user memory, and a
//! few atomics that mirror what waiting and polling need to know: so a condition of a wait, and poll(2), take no lock.
//! `splice` moves bytes between pipes and files. [`PipeEnd`] is an open end of a pipe; [`Fifo`] is what a FIFO's inode keeps, and gives the ends their blocking open.
//!
//! Invariants: `level` and `capacity` equal what the buffer says whenever its mutex is free. Whoever changes `level`,
//! `readers` or `writers` wakes the other side's queue afterwards, so a waiter that looks again misses nothing.

mod buffer;
mod end;
mod fifo;
mod splice;
mod syscalls;

use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::{AtomicUsize, Ordering};
pub use buffer::PipeBuffer;
pub use end::PipeEnd;
pub use fifo::Fifo;
pub use syscalls::SYSCALLS;
pub(crate) use syscalls::{Ends, open};

use crate::errno::{Errno, Result};
use crate::scheduling::{Mutex, WaitQueue};
use crate::task::{self, Capability};

/// Slots of a new pipe: 64 KiB.
const DEFAULT_SLOTS: usize = 16;
/// The capacity that an unprivileged process may ask for (`/proc/sys/fs/pipe-max-size`).
pub const UNPRIVILEGED_MAX: usize = 1 << 20;
/// The capacity that anybody may ask for.
const CAPACITY_MAX: usize = 1 << 31;

/// A pipe: its contents, and who has it open.
pub struct Pipe {
    buffer: Mutex<PipeBuffer>,
    /// Slots in use. Stored with the mutex held (release); loaded by conditions and poll (acquire).
    level: AtomicUsize,
    /// Slots there are. As `level`.
    capacity: AtomicUsize,
    /// Open ends that read. Released ends decrement (release), conditions load (acquire).
    readers: AtomicUsize,
    /// Open ends that write. As `readers`.
    writers: AtomicUsize,
    /// How often a reading end was ever opened: an opener that waits for a partner waits for this to move.
    reader_opens: AtomicUsize,
    /// How often a writing end was ever opened.
    writer_opens: AtomicUsize,
    /// Readers wait here, and writers that open a FIFO.
    readable: WaitQueue,
    /// Writers wait here, and readers that open a FIFO.
    writable: WaitQueue,
}

impl Pipe {
    /// An empty pipe that nobody has open.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            buffer: Mutex::new(PipeBuffer::new(DEFAULT_SLOTS)),
            level: AtomicUsize::new(0),
            capacity: AtomicUsize::new(DEFAULT_SLOTS),
            readers: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
            reader_opens: AtomicUsize::new(0),
            writer_opens: AtomicUsize::new(0),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        })
    }

    fn is_empty(&self) -> bool {
        self.level.load(Ordering::Acquire) == 0
    }

    fn is_full(&self) -> bool {
        self.level.load(Ordering::Acquire) >= self.capacity.load(Ordering::Acquire)
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// The bytes of its pages.
    fn held_memory(&self) -> usize {
        // One page is kept for the next write.
        (self.level.load(Ordering::Acquire) + 1) * PAGE_SIZE
    }

    /// The number of open ends.
    fn ends(&self) -> usize {
        self.readers.load(Ordering::Acquire) + self.writers.load(Ordering::Acquire)
    }

    /// Publishes the level of `buffer`, whose mutex the caller holds.
    fn publish(&self, buffer: &PipeBuffer) {
        self.level.store(buffer.occupied(), Ordering::Release);
    }

    /// The capacity in bytes.
    fn capacity_bytes(&self) -> usize {
        self.capacity.load(Ordering::Acquire) * PAGE_SIZE
    }

    /// Changes the capacity to at least `bytes`, a power of two of pages, and returns it in bytes.
    fn set_capacity(&self, bytes: usize) -> Result {
        if bytes > CAPACITY_MAX {
            return Err(Errno::EINVAL);
        }
        let slots = bytes.div_ceil(PAGE_SIZE).max(1).next_power_of_two();
        let mut buffer = self.buffer.lock();
        let grows = slots > buffer.capacity();
        if grows
            && slots * PAGE_SIZE > UNPRIVILEGED_MAX
            && !task::current().credentials().has(Capability::SysResource)
        {
            return Err(Errno::EPERM);
        }
        buffer.set_capacity(slots)?;
        self.capacity.store(slots, Ordering::Release);
        drop(buffer);
        self.writable.wake_all();
        Ok(slots * PAGE_SIZE)
    }
}
