//! Changing a task's parameters, affinity and lent urgency, with effect at once.
//!
//! Who changes a value stores it and then looks where the task is; who queues a task stores where and then
//! reads the values. All four accesses are sequentially consistent, so that at least one side sees the other's store:
//! either the newcomer is queued with the new values, or it is found here and requeued. Who moves a task from one queue to
//! another with both locked stores where before it releases the first: who comes here then waits for the second.
//!
//! Locks: the bandwidth that deadline tasks have reserved, rank `TASK`. Parameters and affinity are read, checked and stored
//! with it held, so that two changes of one task do not undo each other and what is reserved adds up.

use alloc::sync::Arc;
use core::convert::Infallible;

use arch::cpu::{CpuId, CpuMask};
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::Scheduler;
use crate::deadline::{BANDWIDTH_SHIFT, share};
use crate::parameters::{Discipline, Parameters};
use crate::policy::Event;
use crate::resched::Resched;
use crate::task::{Schedulable, TaskCore};
use crate::throttle::RealTimeLimit;
use crate::urgency::Urgency;

/// Why parameters are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overcommitted;

/// Urgency that a task lends to the one that it waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Loan(Urgency);

impl Loan {
    /// None is more urgent.
    pub const MAX: Self = Self(Urgency(u64::MAX));

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
        self.change_parameters(task, |_| Ok(parameters), now, here)
    }

    /// Changes `task`'s parameters to what `change` makes of the present ones. It is called with a lock held, so that nobody
    /// else changes them meanwhile.
    ///
    /// # Errors
    /// What `change` says, and [`Overcommitted`] as for [`set_parameters`](Self::set_parameters); nothing has changed then.
    pub fn change_parameters<E: From<Overcommitted>>(
        &self,
        task: &Arc<T>,
        change: impl FnOnce(Parameters) -> Result<Parameters, E>,
        now: Nanos,
        here: CpuId,
    ) -> Result<Resched, E> {
        let core = task.task();
        let mut reserved = self.bandwidth.lock();
        let old = core.parameters();
        let new = change(old)?;
        if new == old {
            return Ok(Resched::No);
        }
        self.reserve_bandwidth(&mut reserved, core, &old, &new)?;
        core.set_parameters(new);
        if (new.discipline, new.reservation) != (old.discipline, old.reservation) {
            // After the parameters, so that the period which begins is one of the new reservation.
            core.renew_server();
        }
        drop(reserved);
        Ok(self.refresh(task, now, here))
    }

    /// Counts the bandwidth that `new` parameters reserve, instead of the `old` ones, if that is available.
    fn reserve_bandwidth(
        &self,
        reserved: &mut u64,
        core: &TaskCore,
        old: &Parameters,
        new: &Parameters,
    ) -> Result<(), Overcommitted> {
        let bandwidth = |parameters: &Parameters| match parameters.discipline {
            Discipline::Deadline if !core.is_retired() => parameters.reservation.bandwidth(),
            _ => 0,
        };
        let (former, wanted) = (bandwidth(old), bandwidth(new));
        let others = *reserved - former.min(*reserved);
        if wanted > 0 && others + wanted > self.available_bandwidth(&self.real_time_limit()) {
            return Err(Overcommitted);
        }
        *reserved = others + wanted;
        Ok(())
    }

    /// Changes what real-time tasks may take of each period, and with it what deadline tasks may reserve.
    ///
    /// # Errors
    /// [`Overcommitted`] if they have reserved more already.
    pub fn set_real_time_limit(&self, limit: RealTimeLimit) -> Result<(), Overcommitted> {
        let reserved = self.bandwidth.lock();
        if *reserved > self.available_bandwidth(&limit) {
            return Err(Overcommitted);
        }
        for (_, cpu) in self.cpus.iter() {
            cpu.queue.lock().throttle.limit = limit;
        }
        Ok(())
    }

    /// See [`set_real_time_limit`](Self::set_real_time_limit).
    pub fn real_time_limit(&self) -> RealTimeLimit {
        self.cpus.get(CpuId::BOOT).queue.lock().throttle.limit
    }

    /// What deadline tasks may reserve in all, with [`BANDWIDTH_SHIFT`] fractional bits: of each CPU what real-time
    /// tasks may take.
    fn available_bandwidth(&self, limit: &RealTimeLimit) -> u64 {
        let each =
            limit.runtime.map_or(1 << BANDWIDTH_SHIFT, |runtime| share(runtime, limit.period));
        each * self.online().len() as u64
    }

    /// The current task will exit: it gives up what it reserved, and reserves nothing more.
    pub fn retire(&self, task: &Arc<T>, now: Nanos, here: CpuId) -> Resched {
        let core = task.task();
        let mut reserved = self.bandwidth.lock();
        let reserves = core.parameters().discipline == Discipline::Deadline;
        if reserves {
            let former = core.parameters().reservation.bandwidth();
            *reserved -= former.min(*reserved);
            core.set_parameters(Parameters::DEFAULT);
        }
        core.retire();
        drop(reserved);
        if reserves { self.refresh(task, now, here) } else { Resched::No }
    }

    /// Changes the CPUs that `task` may run on. If it runs elsewhere, it leaves that CPU as soon as that has switched.
    pub fn set_affinity(&self, task: &Arc<T>, cpus: &CpuMask, now: Nanos, here: CpuId) -> Resched {
        let outcome = self.change_affinity(task, cpus, |_| Ok::<(), Infallible>(()), now, here);
        outcome.unwrap_or(Resched::No)
    }

    /// As [`set_affinity`](Self::set_affinity), unless `check` has something against it, given the task's parameters: they
    /// do not change meanwhile.
    ///
    /// # Errors
    /// What `check` says.
    pub fn change_affinity<E>(
        &self,
        task: &Arc<T>,
        cpus: &CpuMask,
        check: impl FnOnce(Parameters) -> Result<(), E>,
        now: Nanos,
        here: CpuId,
    ) -> Result<Resched, E> {
        let reserved = self.bandwidth.lock();
        check(task.task().parameters())?;
        task.task().set_affinity(cpus);
        drop(reserved);
        Ok(self.refresh(task, now, here))
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
