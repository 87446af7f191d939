//! eventfd(2): a counter behind a descriptor.
//!
//! Lock: `count`, rank `FILE`, for one step. Whoever changes the counter wakes the other side's queue afterwards.

use alloc::sync::Arc;

use arch::sync::{Rank, SpinLock};
use linux_raw_sys::general::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE};

use crate::errno::{Errno, Result};
use crate::fs::{
    AnonymousKind, File, FileOperations, OpenFlags, PollEvents, PollTable, Sink, Source,
    open_descriptor,
};
use crate::scheduling::WaitQueue;
use crate::syscall;
use crate::syscall::{Caller, Syscall};

/// The largest value of a counter.
const MAX: u64 = u64::MAX - 1;

/// What a read takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taking {
    /// The whole value.
    All,
    /// One (EFD_SEMAPHORE).
    One,
}

/// A counter.
struct Counter {
    count: SpinLock<u64>,
    taking: Taking,
    readable: WaitQueue,
    writable: WaitQueue,
}

impl Counter {
    fn new(initial: u64, taking: Taking) -> Self {
        Self {
            count: SpinLock::new(Rank::FILE, initial),
            taking,
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        }
    }

    /// Takes from the counter, unless it is zero.
    fn try_take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        let taken = match self.taking {
            Taking::All => *count,
            Taking::One => (*count).min(1),
        };
        *count -= taken;
        (taken > 0).then_some(taken)
    }

    /// Adds to the counter, unless that would exceed the maximum.
    fn try_add(&self, value: u64) -> Option<()> {
        let mut count = self.count.lock();
        if value > MAX - *count {
            return None;
        }
        *count += value;
        Some(())
    }
}

impl FileOperations for Counter {
    fn read(&self, file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        if sink.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = if file.is_nonblocking() {
            self.try_take().ok_or(Errno::EAGAIN)?
        } else {
            self.readable.wait_until(|| self.try_take())?
        };
        self.writable.wake_all();
        sink.put(&taken.to_ne_bytes())
    }

    fn write(&self, file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        let mut bytes = [0; size_of::<u64>()];
        if source.remaining() < bytes.len() {
            return Err(Errno::EINVAL);
        }
        if source.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        if file.is_nonblocking() {
            self.try_add(value).ok_or(Errno::EAGAIN)?;
        } else {
            self.writable.wait_until(|| self.try_add(value))?;
        }
        self.readable.wake_all();
        Ok(bytes.len())
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollEvents {
        table.watch(&self.readable);
        table.watch(&self.writable);
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, count > 0);
        events.set(PollEvents::OUT, count < MAX);
        events
    }
}

/// The system calls of this module.
pub(super) const SYSCALLS: &[Syscall] =
    &[syscall!(284, eventfd(initial: u32)), syscall!(290, eventfd2(initial: u32, flags: u32))];

/// eventfd: a new counter without flags.
fn eventfd(caller: &mut Caller<'_>, initial: u32) -> Result {
    eventfd2(caller, initial, 0)
}

/// eventfd2: a new counter.
fn eventfd2(caller: &mut Caller<'_>, initial: u32, flags: u32) -> Result {
    if flags & !(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let taking = if flags & EFD_SEMAPHORE != 0 { Taking::One } else { Taking::All };
    let counter = Arc::new(Counter::new(u64::from(initial), taking));
    // EFD_CLOEXEC and EFD_NONBLOCK are O_CLOEXEC and O_NONBLOCK.
    let open_flags = OpenFlags::from_bits_retain(flags & (EFD_CLOEXEC | EFD_NONBLOCK));
    let kind = AnonymousKind::Object("[eventfd]");
    open_descriptor(caller.thread, kind, counter, open_flags | OpenFlags::READ_WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_whole_and_then_is_zero() {
        let counter = Counter::new(5, Taking::All);
        assert_eq!(counter.try_add(2), Some(()));
        assert_eq!(counter.try_take(), Some(7));
        assert_eq!(counter.try_take(), None);
    }

    #[test]
    fn a_semaphore_is_taken_one_by_one() {
        let counter = Counter::new(2, Taking::One);
        assert_eq!(counter.try_take(), Some(1));
        assert_eq!(counter.try_take(), Some(1));
        assert_eq!(counter.try_take(), None);
    }

    #[test]
    fn a_counter_does_not_exceed_its_maximum() {
        let counter = Counter::new(0, Taking::All);
        assert_eq!(counter.try_add(MAX), Some(()));
        assert_eq!(counter.try_add(1), None);
        assert_eq!(counter.try_add(0), Some(()));
    }
}
