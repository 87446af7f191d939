//! Making a task runnable: waking, spawning, and choosing where.

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::{CpuQueue, QueueGuard, Scheduler};
use crate::park::{WakeMask, Woken};
use crate::policy::{CpuSnapshot, Event, TaskView, placement};
use crate::resched::Resched;
use crate::run_queue::Terms;
use crate::task::{Schedulable, TaskCore};

/// A deadline that is so little earlier is no reason to interrupt a CPU: a policy may round it.
const EARLIER: Nanos = Nanos::from_micros(1);

impl<T: Schedulable> Scheduler<T> {
    /// Ends `task`'s sleep if it is one of `sleeps`, and queues it.
    ///
    /// What the task waits for has been made true before. May be called from an interrupt handler; not with a
    /// run-queue lock held. `here` is the calling CPU.
    pub fn wake(&self, task: &Arc<T>, sleeps: WakeMask, now: Nanos, here: CpuId) -> Resched {
        match task.task().park.wake(sleeps) {
            Woken::No | Woken::Stayed => Resched::No,
            Woken::Enqueue => {
                task.task().park.await_off_cpu();
                task.task().note_woken();
                if task.task().take_counted_as_blocked() {
                    self.blocked.fetch_sub(1, Ordering::Relaxed);
                }
                self.place(Arc::clone(task), Event::Woken, now, here)
            }
        }
    }

    /// Starts a new task, near `here` if no other CPU is idle.
    pub fn spawn(&self, task: &Arc<T>, now: Nanos, here: CpuId) -> Resched {
        let core = task.task();
        if core.park.wake(WakeMask::EVENT) != Woken::Enqueue {
            return Resched::No;
        }
        self.spawned.fetch_add(1, Ordering::Relaxed);
        core.set_cpu(here);
        self.place(Arc::clone(task), Event::Spawned, now, here)
    }

    /// Queues a task that is in nobody's hands but the caller's.
    pub(super) fn place(&self, task: Arc<T>, event: Event, now: Nanos, here: CpuId) -> Resched {
        loop {
            let cpu = self.select_cpu(task.task(), now, here);
            let this = self.cpus.get(cpu);
            let mut queue = this.queue.lock();
            task.task().move_to(cpu);
            // Looked at again after `cpu` is known to others: see `refresh`.
            if self.must_leave(cpu, task.task()) {
                continue;
            }
            if event != Event::Migrated {
                task.task().park.set_runnable();
            }
            if event == Event::Woken {
                queue.statistics.woken += 1;
                queue.statistics.woken_locally += u64::from(cpu == here);
            }
            return self.add(this, queue, task, event, now, here);
        }
    }

    /// Adds `task` to `queue`, which is `this`, and says who has to know.
    #[inline(always)]
    pub(super) fn add(
        &self,
        this: &CpuQueue<T>,
        mut queue: QueueGuard<'_, T>,
        task: Arc<T>,
        event: Event,
        now: Nanos,
        here: CpuId,
    ) -> Resched {
        let cpu = queue.cpu;
        let programmed = this.deadline.load(Ordering::Relaxed);
        // Before the terms are looked at: see `refresh`.
        task.task().move_to(cpu);
        let terms = Terms::of(task.task());
        let usable = terms.is_urgent().then(|| self.usable(&task.task().affinity()));
        let preempts = queue.enqueue_on(terms, task, event, now);
        self.publish(this, cpu, &queue);
        let wanted = this.deadline.load(Ordering::Relaxed);
        drop(queue);
        if preempts {
            return self.tell(cpu, here);
        }
        // Its timer is set for what the queue wanted before, and not at all for a task that ran alone.
        let resched = match wanted.saturating_add(EARLIER.0) < programmed {
            true => Resched::look(cpu, here),
            false => Resched::No,
        };
        match usable.and_then(|usable| self.offer(&usable, cpu, here)) {
            Some(other) => resched.and(other, here),
            None => resched,
        }
    }

    #[inline]
    fn select_cpu(&self, core: &TaskCore, now: Nanos, here: CpuId) -> CpuId {
        let last = core.cpu();
        if core.is_pinned_to(last) && self.is_online(last) {
            return last;
        }
        self.choose_cpu(core, last, now, here)
    }

    #[inline(never)]
    fn choose_cpu(&self, core: &TaskCore, last: CpuId, now: Nanos, here: CpuId) -> CpuId {
        let affinity = core.affinity();
        let load = |cpu| self.load(cpu);
        let snapshot = CpuSnapshot {
            allowed: self.usable(&affinity),
            idle: self.idle(),
            last,
            waker: here,
            load: &load,
            random: self.seed ^ now.0 ^ core.id().0 << 40,
        };
        let cpu = if core.is_urgent() {
            placement::least_urgent(&snapshot, &|cpu| {
                self.cpus.get(cpu).urgency.load(Ordering::Relaxed)
            })
        } else {
            (self.policy().select_cpu)(&core.view(TaskView::NOT_QUEUED), &snapshot)
        };
        // A policy is not trusted with the affinity.
        if snapshot.allowed.contains(cpu) { cpu } else { snapshot.allowed.lowest().unwrap_or(here) }
    }
}
