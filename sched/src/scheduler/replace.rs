//! Replacing the fair class's policy while everything runs.
//!
//! The new instances are made first, with room for every task; then each CPU in turn changes over under its queue's lock:
//! the old instance is drained into the new one, and the running task, which the new one does not know, is told to come
//! by. In between some CPUs have the old policy and some the new one. That is no matter: each task is in the hands of one
//! queue at a time, and its [`Memory`](crate::policy::Memory) carries the number of the policy that it is for.
//!
//! Locks: the room's, rank `TASK`, keeps replacements apart; inside it each queue's.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arch::cpu::{CpuId, CpuMask};
use arch::time::Nanos;

use super::{OutOfMemory, Scheduler};
use crate::policy::{Event, POLICIES, Policy, PolicyKind, Setup};
use crate::run_queue::{Class, RunQueue};
use crate::task::Schedulable;

/// The CPUs that have to [call the scheduler](Scheduler::begin_switch) after a replacement.
#[must_use = "a running task comes to know the new policy only when its CPU calls the scheduler"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced(pub CpuMask);

impl<T: Schedulable> Scheduler<T> {
    /// Makes `kind` the policy of the fair class, on all CPUs, with no task lost.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed then.
    pub fn replace_policy(
        &self,
        kind: &'static PolicyKind,
        now: Nanos,
    ) -> Result<Replaced, OutOfMemory> {
        let mut room = self.room.lock();
        let mut new = self.make_policies(kind, room.reserved)?;
        room.generation = room.generation.wrapping_add(1);
        let number = if kind.name == self.first_policy.name {
            0
        } else {
            let position = POLICIES.iter().position(|other| other.name == kind.name);
            1 + position.unwrap_or(POLICIES.len())
        };
        self.policy.store(number, arch::sync::atomic::Ordering::Relaxed);
        let mut told = CpuMask::default();
        for ((cpu, this), policy) in self.cpus.iter().zip(&mut new) {
            let mut queue = this.queue.lock();
            queue.replace_policy(policy, room.generation, now);
            if queue.load() > 0 {
                // The caller interrupts all of them, whoever else told them before.
                this.resched.store(true, arch::sync::atomic::Ordering::Release);
                told.insert(cpu);
            }
            self.publish(this, cpu, &queue);
        }
        drop(room);
        // The old instances, outside all locks.
        drop(new);
        Ok(Replaced(told))
    }

    fn make_policies(
        &self,
        kind: &PolicyKind,
        tasks: usize,
    ) -> Result<Vec<Box<dyn Policy>>, OutOfMemory> {
        let mut policies = Vec::new();
        policies.try_reserve_exact(self.cpus.iter().count()).map_err(|_| OutOfMemory)?;
        for (cpu, _) in self.cpus.iter() {
            let mut policy = (kind.create)(Setup { cpu, seed: self.seed });
            if !policy.reserve(tasks) {
                return Err(OutOfMemory);
            }
            policies.push(policy);
        }
        Ok(policies)
    }

    /// The values of the policy's counters on `cpu`, in the order in which its row describes them.
    #[must_use]
    pub fn policy_counters(&self, cpu: CpuId) -> [u64; PolicyKind::MOST_COUNTERS] {
        let queue = self.cpus.get(cpu).queue.lock();
        let counters = queue.fair.counters();
        core::array::from_fn(|i| counters.get(i).copied().unwrap_or(0))
    }

    /// How often the policy was replaced.
    #[must_use]
    pub fn replacements(&self) -> u32 {
        self.room.lock().generation
    }
}

impl<T: Schedulable> RunQueue<T> {
    /// Exchanges the policy's instance for `policy`, number `generation`, and moves all tasks over.
    fn replace_policy(&mut self, policy: &mut Box<dyn Policy>, generation: u32, now: Nanos) {
        core::mem::swap(&mut self.fair, policy);
        self.generation = generation;
        while let Some(view) = policy.drain() {
            self.adopt(view.slot, now);
        }
        // What a policy does not give up, it loses all the same: the tasks are the queue's.
        (0..self.slots.limit()).for_each(|slot| self.adopt(slot, now));
    }

    /// Hands the task in `slot` to the policy, if it is a fair one that the policy does not have yet.
    fn adopt(&mut self, slot: u32, now: Nanos) {
        if self.is_running(slot) {
            return;
        }
        let Some(queued) = self.slots.get_mut(slot) else { return };
        let core = queued.task.task();
        if queued.terms.class == Class::Fair && core.memory_of() != self.generation {
            core.remember_for(self.generation);
            core.set_mark(self.watch.mark(now));
            queued.view = core.view(slot);
            self.fair.enqueue(&queued.view, Event::Migrated);
        }
    }
}
