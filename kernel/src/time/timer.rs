//! Timers: callbacks at a time. Key types: [`Timer`], [`TimerQueue`].
//!
//! Each CPU has a queue, ordered by deadline; a timer is armed on the CPU that arms it. The machine's timer is
//! set to the earlier of the queue's first deadline and the end of the running slice, so there is no periodic tick.
//!
//! Arming and cancelling need no memory: the node is allocated with the timer.
//!
//! Locks: each timer's own, rank `ALARM`, held while it is armed or cancelled; inside it a queue's, rank `TIMER`. Expiry takes the
//! queue's only, and calls back with none held, in an interrupt handler.
#![allow(unsafe_code, reason = "removes a timer from the queue by its link")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Deref;

use arch::sync::atomic::{AtomicU64, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use arch::time::Nanos;
use intrusive_collections::{KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};

use crate::held_late;
use crate::scheduling::{Late, LateLink, cpu_part, scheduler, this_cpu_part};

/// What a timer does: gets the timer itself, to arm it again.
type Callback = Box<dyn Fn(&Arc<TimerNode>) + Send + Sync>;

/// The shared part of a timer.
pub struct TimerNode {
    link: RBTreeAtomicLink,
    /// Changed only while the node is in no queue, under `control`.
    deadline: AtomicU64,
    /// The number of the CPU in whose queue the node is, plus one; 0 for none. Written under that queue's lock.
    queue: AtomicU64,
    control: SpinLock<(), Irq>,
    callback: Callback,
    late: LateLink<TimerNode>,
}

held_late!(TimerNode, late);

intrusive_adapter!(ByDeadline = Arc<TimerNode>: TimerNode { link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for ByDeadline {
    type Key = u64;
    fn get_key(&self, node: &'a TimerNode) -> u64 {
        node.deadline.load(Ordering::Relaxed)
    }
}

/// A callback that can be armed for a time. Cancelled when dropped.
pub struct Timer(Arc<TimerNode>);

impl Timer {
    /// A timer that is not armed. `callback` runs in an interrupt handler on the CPU that armed the timer: it must not sleep.
    #[must_use]
    pub fn new(callback: impl Fn(&Arc<TimerNode>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(TimerNode {
            link: RBTreeAtomicLink::new(),
            deadline: AtomicU64::new(0),
            queue: AtomicU64::new(0),
            control: SpinLock::new(Rank::ALARM, ()),
            callback: Box::new(callback),
            late: LateLink::new(),
        }))
    }
}

impl Deref for Timer {
    type Target = Arc<TimerNode>;
    fn deref(&self) -> &Arc<TimerNode> {
        &self.0
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl TimerNode {
    /// Calls back at `deadline` on the monotonic clock, instead of any earlier arming.
    pub fn arm(self: &Arc<Self>, deadline: Nanos) {
        let control = self.control.lock();
        self.remove();
        self.deadline.store(deadline.0, Ordering::Relaxed);
        let this = this_cpu_part();
        let is_first = this.timers.insert(Arc::clone(self), arch::current_cpu().index());
        if is_first {
            this.program_timer(scheduler().next_tick(arch::current_cpu()));
        }
        drop(control);
    }

    /// Disarms the timer. Returns whether it was armed: if not, the callback has run, or is about to on another CPU.
    pub fn cancel(&self) -> bool {
        let control = self.control.lock();
        let was_armed = self.remove();
        drop(control);
        was_armed
    }

    /// When the timer will call back, if it is armed.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        let control = self.control.lock();
        let armed = self.queue.load(Ordering::Relaxed) != 0;
        let deadline = armed.then(|| Nanos(self.deadline.load(Ordering::Relaxed)));
        drop(control);
        deadline
    }

    /// Takes the node out of its queue. Under `control`, so nobody inserts it meanwhile; it may expire.
    fn remove(&self) -> bool {
        let Some(index) = self.queue.load(Ordering::Acquire).checked_sub(1) else { return false };
        cpu_part(arch::cpu::CpuId::new(index as usize)).timers.remove(self)
    }
}

/// The timers of one CPU.
pub struct TimerQueue {
    tree: SpinLock<RBTree<ByDeadline>, Irq>,
    /// The first deadline, or [`Nanos::MAX`]; written under the lock.
    earliest: AtomicU64,
}

impl TimerQueue {
    pub(crate) const fn new() -> Self {
        Self {
            tree: SpinLock::new(Rank::TIMER, RBTree::new(ByDeadline::NEW)),
            earliest: AtomicU64::new(u64::MAX),
        }
    }

    /// The first deadline, or [`Nanos::MAX`].
    pub(crate) fn earliest(&self) -> Nanos {
        Nanos(self.earliest.load(Ordering::Relaxed))
    }

    /// Adds a node to the queue of CPU `index`. Returns whether it is now the first.
    fn insert(&self, node: Arc<TimerNode>, index: usize) -> bool {
        let deadline = node.deadline.load(Ordering::Relaxed);
        let mut tree = self.tree.lock();
        node.queue.store(index as u64 + 1, Ordering::Relaxed);
        tree.insert(node);
        let is_first = deadline < self.earliest().0;
        self.publish(&tree);
        is_first
    }

    fn remove(&self, node: &TimerNode) -> bool {
        let mut tree = self.tree.lock();
        if node.queue.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // SAFETY: a node that names a queue is in it, and the name changes only under this queue's lock.
        let removed = unsafe { tree.cursor_mut_from_ptr(node) }.remove();
        node.queue.store(0, Ordering::Release);
        self.publish(&tree);
        drop(tree);
        removed.is_some()
    }

    /// Calls back every timer that is due. In the timer interrupt.
    pub(crate) fn expire(&self, now: Nanos) {
        // The timer may have been dropped meanwhile, and what it calls back with it.
        while let Some(node) = self.pop_due(now).map(Late::new) {
            (node.callback)(&node);
        }
    }

    fn pop_due(&self, now: Nanos) -> Option<Arc<TimerNode>> {
        if self.earliest() > now {
            return None;
        }
        let mut tree = self.tree.lock();
        let mut first = tree.front_mut();
        let due = first.get().is_some_and(|node| node.deadline.load(Ordering::Relaxed) <= now.0);
        let node = if due { first.remove() } else { None };
        if let Some(node) = &node {
            node.queue.store(0, Ordering::Release);
        }
        self.publish(&tree);
        node
    }

    fn publish(&self, tree: &RBTree<ByDeadline>) {
        let first =
            tree.front().get().map_or(u64::MAX, |node| node.deadline.load(Ordering::Relaxed));
        self.earliest.store(first, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicUsize;

    use super::*;

    /// A timer that notes in `order` when it called back.
    fn noting(order: &Arc<SpinLock<Vec<u32>>>, name: u32, deadline: u64) -> Arc<TimerNode> {
        let order = Arc::clone(order);
        let timer = Timer::new(move |_| order.lock().push(name));
        timer.0.deadline.store(deadline, Ordering::Relaxed);
        Arc::clone(&timer.0)
    }

    #[test]
    fn due_timers_call_back_in_order_of_their_deadlines() {
        let order = Arc::new(SpinLock::new(Rank::LEAF, Vec::new()));
        let queue = TimerQueue::new();
        for (name, deadline) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 99)] {
            queue.insert(noting(&order, name, deadline), 0);
        }
        assert_eq!(queue.earliest(), Nanos(10));
        queue.expire(Nanos(30));
        assert_eq!(*order.lock(), [2, 4, 3, 1]);
        assert_eq!(queue.earliest(), Nanos(99));
    }

    #[test]
    fn only_a_new_first_deadline_is_reported() {
        let order = Arc::new(SpinLock::new(Rank::LEAF, Vec::new()));
        let queue = TimerQueue::new();
        assert!(queue.insert(noting(&order, 1, 50), 0));
        assert!(!queue.insert(noting(&order, 2, 60), 0));
        assert!(queue.insert(noting(&order, 3, 40), 0));
    }

    #[test]
    fn a_removed_timer_does_not_call_back() {
        let order = Arc::new(SpinLock::new(Rank::LEAF, Vec::new()));
        let queue = TimerQueue::new();
        let (first, second) = (noting(&order, 1, 10), noting(&order, 2, 20));
        queue.insert(Arc::clone(&first), 0);
        queue.insert(Arc::clone(&second), 0);
        assert!(queue.remove(&first));
        assert!(!queue.remove(&first));
        assert_eq!(queue.earliest(), Nanos(20));
        queue.expire(Nanos(100));
        assert_eq!(*order.lock(), [2]);
        assert!(!queue.remove(&second));
        assert_eq!(queue.earliest(), Nanos::MAX);
    }

    #[test]
    fn a_callback_sees_its_timer_disarmed() {
        let seen = Arc::new(AtomicUsize::new(9));
        let inside = Arc::clone(&seen);
        let timer = Timer::new(move |node| {
            let queue = node.queue.load(Ordering::Relaxed) as usize;
            inside.store(queue, Ordering::Relaxed);
        });
        let queue = TimerQueue::new();
        queue.insert(Arc::clone(&timer.0), 3);
        queue.expire(Nanos(1));
        assert_eq!(seen.load(Ordering::Relaxed), 0);
    }
}
