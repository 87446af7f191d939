//! Deadline and real-time tasks across CPUs: the most urgent of the machine run, as many as there are CPUs.
//!
//! Who wakes goes to the CPU whose task is least urgent (`wake.rs`); who is displaced goes to another if that is better
//! off (`switch.rs`); and a CPU that is about to run something less urgent looks here for what waits elsewhere.
//!
//! Every CPU publishes how urgent the first task is that waits there. Hardly ever does one wait, and then a CPU that
//! switches reads one counter.
//!
//! Nobody is left waiting while a CPU that may run him runs something less urgent. Who queues a task publishes that it waits
//! and then reads what the CPUs run ([`offer`](Scheduler::offer)); a CPU that turns to something less urgent publishes that and
//! then reads whether somebody has come to wait since it looked ([`has_missed`](Scheduler::has_missed)). A sequentially
//! consistent fence between the two steps on *both* sides forbids that each misses the other.

use arch::cpu::{CpuId, CpuMask};
use arch::sync::atomic::{Ordering, fence};
use arch::time::Nanos;

use super::{CpuQueue, Scheduler};
use crate::policy::Event;
use crate::resched::Resched;
use crate::run_queue::RunQueue;
use crate::task::{Schedulable, TaskCore};
use crate::urgency::Urgency;

/// What a CPU knows of those who wait elsewhere when it has looked for them.
pub(super) struct Search {
    /// The number of [arrivals](Scheduler::urgent_arrivals) before it looked.
    arrivals: u64,
    /// A queue could not be looked into, as somebody else had it locked.
    pub(super) is_incomplete: bool,
}

/// At how many of the queues that were worth it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    AtAll,
    AtSome,
}

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

    /// Fetches the most urgent task that waits elsewhere and may run here, if it is more urgent than all that wait in
    /// `queue`, which is that of `cpu` and locked.
    #[inline]
    pub(super) fn pull_urgent(&self, queue: &mut RunQueue<T>, cpu: CpuId, now: Nanos) -> Search {
        // Acquire pairs with the release in `offer`.
        let arrivals = self.urgent_arrivals.load(Ordering::Acquire);
        let waits = self.urgent_cpus.load(Ordering::Relaxed) != 0;
        let is_incomplete = waits && self.search_urgent(queue, cpu, now) == Looked::AtSome;
        Search { arrivals, is_incomplete }
    }

    /// As [`pull_urgent`](Self::pull_urgent), where somebody waits.
    #[cold]
    #[inline(never)]
    fn search_urgent(&self, queue: &mut RunQueue<T>, cpu: CpuId, now: Nanos) -> Looked {
        let mut looked = Looked::AtAll;
        // Where fair tasks go first now, a real-time task would only wait as well.
        let floor =
            if queue.is_throttled(now) { Urgency::HIGHEST_REAL_TIME } else { Urgency::IDLE };
        let mut tried = CpuMask::only(cpu);
        loop {
            let own = queue.waiting_urgency().max(floor);
            let Some(victim) = self.most_urgent_victim(&tried, own) else { return looked };
            tried.insert(victim);
            // Two queues are locked here; `try_lock` cannot deadlock with another thief.
            let that = self.cpus.get(victim);
            let Some(mut other) = that.queue.try_lock() else {
                looked = Looked::AtSome;
                continue;
            };
            let stolen = other.steal_urgent(cpu, own);
            if let Some(task) = &stolen {
                // Under the lock of the queue that loses it: see `refresh`.
                task.task().move_to(cpu);
            }
            self.publish(that, victim, &other);
            drop(other);
            if let Some(task) = stolen {
                queue.enqueue(task, Event::Migrated, now);
            }
        }
    }

    /// The CPU beside those in `tried` where the most urgent task waits, if that is more urgent than `than`.
    fn most_urgent_victim(&self, tried: &CpuMask, than: Urgency) -> Option<CpuId> {
        let waiting = |cpu: CpuId| self.cpus.get(cpu).waiting.load(Ordering::Relaxed);
        let online = self.online();
        let victims = online.iter().filter(|&cpu| !tried.contains(cpu) && waiting(cpu) > than.0);
        victims.max_by_key(|&cpu| waiting(cpu))
    }

    /// Whether `cpu`, which has published that it runs something of urgency `runs`, should look again for what waits
    /// elsewhere: somebody may have come meanwhile who did not see that he could run here.
    pub(super) fn has_missed(&self, search: &Search, cpu: CpuId, runs: Urgency) -> bool {
        // Pairs with the fence in `offer`.
        fence(Ordering::SeqCst);
        let is_new = self.urgent_arrivals.load(Ordering::Acquire) != search.arrivals;
        (is_new || search.is_incomplete)
            && self.most_urgent_victim(&CpuMask::only(cpu), runs).is_some()
    }

    /// Tells a CPU of `usable` that runs something less urgent than waits on `cpu` to come and fetch it. Called when a
    /// deadline or real-time task that may use those CPUs was queued on `cpu`, has to wait there, and was published.
    /// Returns which, if it has to be interrupted.
    pub(super) fn offer(&self, usable: &CpuMask, cpu: CpuId, here: CpuId) -> Option<CpuId> {
        let urgency = self.cpus.get(cpu).waiting.load(Ordering::Relaxed);
        if urgency == Urgency::IDLE.0 {
            return None;
        }
        // Release: who reads the number sees who has come.
        self.urgent_arrivals.fetch_add(1, Ordering::Release);
        // Pairs with the fence in `has_missed`.
        fence(Ordering::SeqCst);
        let running = |cpu: CpuId| self.cpus.get(cpu).urgency.load(Ordering::Relaxed);
        let others = usable.iter().filter(|&other| other != cpu && running(other) < urgency);
        let other = others.min_by_key(|&other| running(other))?;
        (self.tell(other, here) != Resched::No).then_some(other)
    }

    /// Whether `task`, displaced on `cpu`, finds a CPU that runs something less urgent.
    pub(super) fn has_refuge(&self, task: &TaskCore, cpu: CpuId, urgency: Urgency) -> bool {
        let usable = self.usable(&task.affinity());
        let running = |cpu: CpuId| self.cpus.get(cpu).urgency.load(Ordering::Relaxed);
        usable.iter().any(|other| other != cpu && running(other) < urgency.0)
    }
}
