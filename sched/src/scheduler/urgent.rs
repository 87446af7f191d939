//! Deadline and real-time tasks across CPUs: the most urgent of the machine run, as many as there are CPUs.
//!
//! Who wakes goes to the CPU whose task is least urgent (`wake.rs`); who is displaced goes to another if that is better
//! off (`switch.rs`); and a CPU that is about to run something less urgent looks here for what waits elsewhere.
//!
//! Every CPU publishes how urgent the first task is that waits there. Hardly ever does one wait, and then a CPU that
//! switches reads one counter.

use arch::cpu::CpuId;
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::{CpuQueue, Scheduler};
use crate::policy::Event;
use crate::run_queue::{RunQueue, Terms};
use crate::task::{Schedulable, TaskCore};
use crate::throttle::RealTimeLimit;
use crate::urgency::Urgency;

impl<T: Schedulable> Scheduler<T> {
    /// Publishes who waits on `cpu`.
    pub(super) fn publish_waiting(&self, this: &CpuQueue<T>, queue: &RunQueue<T>) {
        let waiting = queue.waiting_urgency().0;
        // Written under the queue's lock only, so the difference to the former value is exact.
        let former = this.waiting.load(Ordering::Relaxed);
        if waiting == former {
            return;
        }
        this.waiting.store(waiting, Ordering::Relaxed);
        match (former == 0, waiting == 0) {
            (true, false) => _ = self.urgent_cpus.fetch_add(1, Ordering::Relaxed),
            (false, true) => _ = self.urgent_cpus.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Fetches the most urgent task that waits elsewhere, if it is more urgent than all that wait in `queue`, which is
    /// that of `cpu` and locked.
    pub(super) fn pull_urgent(&self, queue: &mut RunQueue<T>, cpu: CpuId, now: Nanos) {
        if self.urgent_cpus.load(Ordering::Relaxed) == 0 {
            return;
        }
        let own = queue.waiting_urgency();
        let waiting = |cpu: CpuId| self.cpus.get(cpu).waiting.load(Ordering::Relaxed);
        let online = self.online();
        let victims = online.iter().filter(|&other| other != cpu && waiting(other) > own.0);
        let Some(victim) = victims.max_by_key(|&other| waiting(other)) else { return };
        // Two queues are locked here; `try_lock` cannot deadlock with another thief.
        let Some(mut other) = self.cpus.get(victim).queue.try_lock() else { return };
        let stolen = other.steal_urgent(cpu, own);
        self.publish(self.cpus.get(victim), victim, &other);
        drop(other);
        if let Some(task) = stolen {
            let terms = Terms::of(task.task());
            queue.enqueue(task, terms, Event::Migrated, now);
        }
    }

    /// Whether `task`, displaced on `cpu`, finds a CPU that runs something less urgent.
    pub(super) fn has_refuge(&self, task: &TaskCore, cpu: CpuId, urgency: Urgency) -> bool {
        let usable = self.usable(&task.affinity());
        let running = |cpu: CpuId| self.cpus.get(cpu).urgency.load(Ordering::Relaxed);
        usable.iter().any(|other| other != cpu && running(other) < urgency.0)
    }

    /// Changes what real-time tasks may take of each period.
    pub fn set_real_time_limit(&self, limit: RealTimeLimit) {
        for (_, cpu) in self.cpus.iter() {
            cpu.queue.lock().throttle.limit = limit;
        }
    }

    /// See [`set_real_time_limit`](Self::set_real_time_limit).
    pub fn real_time_limit(&self) -> RealTimeLimit {
        self.cpus.get(CpuId::BOOT).queue.lock().throttle.limit
    }
}
