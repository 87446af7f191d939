//! Changing a task's parameters and affinity, with effect at once.
//!
//! Who changes a value stores it and then looks where the task is; who queues a task stores where and then
//! reads the values. All four accesses are sequentially consistent, so that at least one side sees the other's store:
//! either the newcomer is queued with the new values, or it is found here and requeued.

use alloc::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;

use super::Scheduler;
use crate::parameters::Parameters;
use crate::policy::Event;
use crate::resched::Resched;
use crate::task::Schedulable;

impl<T: Schedulable> Scheduler<T> {
    /// Changes `task`'s parameters.
    pub fn set_parameters(
        &self,
        task: &Arc<T>,
        parameters: Parameters,
        now: Nanos,
        here: CpuId,
    ) -> Resched {
        task.task().set_parameters(parameters);
        self.refresh(task, now, here)
    }

    /// Changes the CPUs that `task` may run on. If it runs elsewhere, it leaves that CPU as soon as that has switched.
    pub fn set_affinity(&self, task: &Arc<T>, cpus: &CpuMask, now: Nanos, here: CpuId) -> Resched {
        task.task().set_affinity(cpus);
        self.refresh(task, now, here)
    }

    /// Applies changed values to a task that may be queued or running anywhere.
    fn refresh(&self, task: &Arc<T>, now: Nanos, here: CpuId) -> Resched {
        let core = task.task();
        loop {
            let cpu = core.cpu();
            let mut queue = self.cpus.get(cpu).queue.lock();
            if core.cpu() != cpu {
                continue;
            }
            if queue.is_current(core) {
                drop(queue);
                return self.tell(cpu, here);
            }
            // Asleep, or on its way into a queue: whoever queues it reads the new values.
            let Some(task) = queue.remove(core) else { return Resched::No };
            self.publish(cpu, &queue);
            drop(queue);
            // Anew, and not here again: a wider affinity may allow an idle CPU.
            return self.place(task, Event::Migrated, now, here);
        }
    }
}
