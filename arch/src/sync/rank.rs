//! Lock order, checked at run time in builds with debug assertions.
//!
//! Every lock has a [`Rank`]. A CPU may take a lock only while each lock that it already holds has a lower rank.
//! The table with reasons is `docs/locking.md`; the constants here are its machine-readable form.

use core::sync::atomic::{AtomicBool, Ordering};

/// A place in the lock order. Higher ranks are taken later (they are inner locks).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank(u8, &'static str);

macro_rules! ranks {
    ($($(#[$doc:meta])* $name:ident = $level:literal;)*) => {
        impl Rank {
            $($(#[$doc])* pub const $name: Self = Self($level, stringify!($name));)*
        }
    };
}

ranks! {
    /// The process table: pid, process-group and session membership.
    PROCESS_TABLE = 10;
    /// One process: children, exit state, timers.
    PROCESS = 14;
    /// Signal state of one process: shared and private pending sets, masks, group stop, list of threads.
    SIGNAL = 18;
    /// The signal actions of the processes that share them.
    ACTIONS = 20;
    /// A thread's own small state: name, credentials, resource limits.
    THREAD = 22;
    /// Which session and process group a terminal belongs to.
    TTY_JOB = 24;
    /// The descriptor table of a process.
    FILES = 26;
    /// State of a terminal and its line discipline.
    TTY = 28;
    /// The mount table.
    MOUNTS = 30;
    /// Directory entries and inode metadata.
    INODE = 32;
    /// The table of bound sockets; the counts of files in flight.
    SOCKET_NAMES = 33;
    /// State of an open file, pipe or socket.
    FILE = 34;
    /// The locks that processes have on one file.
    FILE_LOCKS = 35;
    /// State of an event poll instance.
    EPOLL = 36;
    /// A bucket of the futex table.
    FUTEX = 38;
    /// Who waits for whose priority-inheritance futex.
    FUTEX_OWNERS = 40;
    /// One address space: its map and tables. Taken shared by faults, exclusive by all else.
    SPACE = 42;
    /// Who maps an object: lists of fork families and of their members.
    FAMILY = 43;
    /// The page cache of one memory object.
    PAGE_CACHE = 44;
    /// A shard of the frame metadata: transitions of one table node.
    FRAME_SHARD = 46;
    /// A wait queue.
    WAIT_QUEUE = 50;
    /// One timer while it is armed or cancelled.
    ALARM = 52;
    /// The timer queue of one CPU.
    TIMER = 54;
    /// A task's scheduling state while it is being woken.
    TASK = 58;
    /// A CPU's run queue.
    RUN_QUEUE = 62;
    /// A shard of the table of process and thread ids.
    IDENTITY = 64;
    /// The kernel heap: a per-CPU cache, a size class.
    HEAP = 66;
    /// A per-CPU cache of free frames.
    FRAME_CACHE = 68;
    /// Free lists of frames.
    FRAMES = 70;
    /// A small table that is touched from anywhere and calls nobody.
    LEAF = 74;
    /// The kernel log and the console's transmit buffer.
    LOG = 78;
}

impl Rank {
    /// The rank's name, as in `docs/locking.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.1
    }

    /// The rank's level: larger is inner.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

/// Whether broken lock orders panic. A flag by itself: it orders nothing.
static CHECKING: AtomicBool = AtomicBool::new(true);

/// Ends the checks of the lock order, for good: a kernel that is going down takes what locks it needs to say why.
pub fn stop_checking_order() {
    CHECKING.store(false, Ordering::Relaxed);
}

/// The locks that one CPU holds, in order of acquisition. Kept by each backend, per CPU.
///
/// An interrupt handler may find any lock held that does not hold interrupts off, whatever its rank. Its own locks are
/// a sequence of their own: those below `floor` belong to what was interrupted.
#[derive(Debug)]
pub struct HeldLocks {
    levels: [(u8, &'static str); Self::CAPACITY],
    count: usize,
    floor: usize,
}

impl HeldLocks {
    /// Nesting never comes near this.
    const CAPACITY: usize = 24;

    /// A record with no lock held.
    #[must_use]
    pub const fn new() -> Self {
        Self { levels: [(0, ""); Self::CAPACITY], count: 0, floor: 0 }
    }

    /// Records the acquisition of a lock of `rank`.
    ///
    /// # Panics
    /// When a held lock has the same or a higher rank.
    pub fn push(&mut self, rank: Rank) {
        if !CHECKING.load(Ordering::Relaxed) {
            return self.push_nested(rank);
        }
        let own = &self.levels[self.floor..self.count];
        if let Some(&(level, name)) = own.iter().max_by_key(|held| held.0) {
            assert!(level < rank.0, "lock order: {} taken while {} is held", rank.1, name);
        }
        self.push_nested(rank);
    }

    /// Records the acquisition of a second lock of a rank that is held already.
    ///
    /// # Panics
    /// When more locks are held than any correct nesting needs.
    pub fn push_nested(&mut self, rank: Rank) {
        assert!(self.count < Self::CAPACITY, "too many locks held");
        self.levels[self.count] = (rank.0, rank.1);
        self.count += 1;
    }

    /// Records a release. Guards may be dropped in any order.
    pub fn pop(&mut self, rank: Rank) {
        let position = self.held().iter().rposition(|held| held.0 == rank.0);
        let position = position.expect("a lock is released that is not held");
        self.levels.copy_within(position + 1..self.count, position);
        self.count -= 1;
    }

    /// Starts an interrupt handler's sequence. Returns what [`leave_interrupt`](Self::leave_interrupt) needs.
    #[must_use = "pass it to `leave_interrupt`"]
    pub fn enter_interrupt(&mut self) -> usize {
        core::mem::replace(&mut self.floor, self.count)
    }

    /// Ends an interrupt handler's sequence.
    ///
    /// # Panics
    /// When the handler still holds a lock.
    pub fn leave_interrupt(&mut self, floor: usize) {
        assert!(self.count == self.floor, "an interrupt handler keeps a lock");
        self.floor = floor;
    }

    /// The held locks' levels and names, outermost first.
    #[must_use]
    pub fn held(&self) -> &[(u8, &'static str)] {
        &self.levels[..self.count]
    }
}

impl Default for HeldLocks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_order_is_accepted_and_any_release_order() {
        let mut held = HeldLocks::new();
        held.push(Rank::SPACE);
        held.push(Rank::HEAP);
        held.pop(Rank::SPACE);
        held.push(Rank::FRAMES);
        held.pop(Rank::HEAP);
        held.pop(Rank::FRAMES);
        assert!(held.held().is_empty());
    }

    #[test]
    fn an_interrupt_handler_starts_afresh() {
        let mut held = HeldLocks::new();
        held.push(Rank::LEAF);
        let floor = held.enter_interrupt();
        held.push(Rank::RUN_QUEUE);
        held.pop(Rank::RUN_QUEUE);
        held.leave_interrupt(floor);
        held.pop(Rank::LEAF);
        assert!(held.held().is_empty());
    }

    #[test]
    #[should_panic(expected = "lock order: SPACE taken while HEAP is held")]
    fn descending_order_panics() {
        let mut held = HeldLocks::new();
        held.push(Rank::HEAP);
        held.push(Rank::SPACE);
    }
}
