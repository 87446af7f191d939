//! Changing a task's parameters, affinity and lent urgency, with effect at once.
//!
//! Who changes a value stores it and then looks where the task is; who queues a task stores where and then
//! reads the values. All four accesses are sequentially consistent, so that at least one side sees the other's store:
//! either the newcomer is queued with the new values, or it is found here and requeued.
//!
//! Locks: the bandwidth that deadline tasks have reserved, rank `TASK`, taken when a deadline task comes, changes or goes.

use alloc::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::Scheduler;
use crate::deadline::{BANDWIDTH_SHIFT, share};
use crate::parameters::{Discipline, Parameters};
use crate::policy::Event;
use crate::resched::Resched;
use crate::task::{Schedulable, TaskCore};
use crate::urgency::Urgency;

/// Why parameters are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overcommitted;

/// Urgency that a task lends to the one that it waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Loan(Urgency);

impl Loan {
    /// What a task that is as urgent as `task` is now, with all that it was lent itself, lends. Fair tasks lend nothing.
    #[must_use]
    pub fn of(task: &TaskCore) -> Self {
        let urgency = Urgency::of(&task.parameters(), task.server()).max(task.lent());
        if urgency > Urgency::FAIR { Self(urgency) } else { Self::default() }
    }
}

impl<T: Schedulable> Scheduler<T> {
    /// Changes `task`'s parameters.
    ///
    /// # Errors
    /// [`Overcommitted`] if the CPUs cannot give a deadline task what it reserves besides what others have reserved.
    pub fn set_parameters(
        &self,
        task: &Arc<T>,
        parameters: Parameters,
        now: Nanos,
        here: CpuId,
    ) -> Result<Resched, Overcommitted> {
        self.reserve_bandwidth(task.task(), &parameters)?;
        Ok(self.refresh(task, now, here))
    }

    /// Stores parameters, and counts the bandwidth that they reserve if that is available.
    fn reserve_bandwidth(&self, core: &TaskCore, new: &Parameters) -> Result<(), Overcommitted> {
        let bandwidth = |parameters: &Parameters| match parameters.discipline {
            Discipline::Deadline => parameters.reservation.bandwidth(),
            _ => 0,
        };
        if bandwidth(&core.parameters()) == 0 && bandwidth(new) == 0 {
            core.set_parameters(*new);
            return Ok(());
        }
        let mut reserved = self.bandwidth.lock();
        let others = *reserved - bandwidth(&core.parameters()).min(*reserved);
        let wanted = if core.is_retired() { 0 } else { bandwidth(new) };
        if wanted > 0 && others + wanted > self.available_bandwidth() {
            return Err(Overcommitted);
        }
        *reserved = others + wanted;
        core.reset_server();
        core.set_parameters(*new);
        Ok(())
    }

    /// What deadline tasks may reserve in all, with [`BANDWIDTH_SHIFT`] fractional bits: of each CPU what real-time
    /// tasks may take.
    fn available_bandwidth(&self) -> u64 {
        let limit = self.real_time_limit();
        let each =
            limit.runtime.map_or(1 << BANDWIDTH_SHIFT, |runtime| share(runtime, limit.period));
        each * self.online().len() as u64
    }

    /// The current task will exit: it gives up what it reserved, and reserves nothing more.
    pub fn retire(&self, task: &Arc<T>, now: Nanos, here: CpuId) -> Resched {
        let core = task.task();
        core.retire();
        if core.parameters().discipline != Discipline::Deadline {
            return Resched::No;
        }
        // Giving up is never refused.
        self.set_parameters(task, Parameters::DEFAULT, now, here).unwrap_or(Resched::No)
    }

    /// Changes the CPUs that `task` may run on. If it runs elsewhere, it leaves that CPU as soon as that has switched.
    pub fn set_affinity(&self, task: &Arc<T>, cpus: &CpuMask, now: Nanos, here: CpuId) -> Resched {
        task.task().set_affinity(cpus);
        self.refresh(task, now, here)
    }

    /// Lends `task` urgency, instead of what it was lent before, because somebody waits for it.
    pub fn lend(&self, task: &Arc<T>, loan: Loan, now: Nanos, here: CpuId) -> Resched {
        if task.task().lent() == loan.0 {
            return Resched::No;
        }
        task.task().set_lent(loan.0);
        self.loans.fetch_add(1, Ordering::Relaxed);
        self.refresh(task, now, here)
    }

    /// Applies changed values to a task that may be queued or running anywhere.
    fn refresh(&self, task: &Arc<T>, now: Nanos, here: CpuId) -> Resched {
        let core = task.task();
        loop {
            let cpu = core.cpu();
            let this = self.cpus.get(cpu);
            let mut queue = this.queue.lock();
            if core.cpu() != cpu {
                continue;
            }
            if queue.is_current(core) {
                drop(queue);
                return self.tell(cpu, here);
            }
            // Asleep, or on its way into a queue: whoever queues it reads the new values.
            let Some(task) = queue.remove(core) else { return Resched::No };
            self.publish(this, cpu, &queue);
            drop(queue);
            // Anew, and not here again: a wider affinity may allow an idle CPU.
            return self.place(task, Event::Migrated, now, here);
        }
    }
}
