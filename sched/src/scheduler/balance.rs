//! Ticks, and moving work from busy CPUs to others.
//!
//! An idle CPU *pulls* as it goes idle. Otherwise the busier CPU *pushes*: only contended CPUs take ticks,
//! so only they have the occasion.

use alloc::sync::Arc;

use arch::cpu::{CpuId, CpuMask};
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::Scheduler;
use crate::policy::{Event, Verdict};
use crate::resched::Resched;
use crate::run_queue::{Refilled, Rotation, RunQueue};
use crate::task::Schedulable;

/// How often a CPU with two tasks more than another gives one away.
const BALANCE_PERIOD: Nanos = Nanos::from_millis(10);
/// How often a CPU with one task more than another gives one away, so that in the long run all tasks get the same share.
const ROTATION_PERIOD: Nanos = Nanos::from_millis(60);
/// Of how many equally loaded CPUs it is asked how long their tasks have waited: each has its queue locked for that.
const MOST_COMPARED: usize = 4;

impl<T: Schedulable> Scheduler<T> {
    /// Charges the task that runs on `cpu` and says whether another should run. Called on that CPU when
    /// its [deadline](Self::deadline) has passed; calling it early does no harm.
    pub fn tick(&self, cpu: CpuId, now: Nanos) -> Resched {
        let this = self.cpus.get(cpu);
        let mut queue = this.queue.lock();
        let verdict = queue.charge(now);
        let refilled = queue.refill(now);
        let waiting = queue.queued() > 0;
        if verdict == Verdict::Reschedule && !waiting {
            queue.renew_slice(now);
        }
        let over = verdict == Verdict::Reschedule && (waiting || queue.is_exhausted());
        let switches = over || refilled == Refilled::Outranks || queue.throttling_ended(now);
        self.watch(&mut queue, now);
        self.publish(this, cpu, &queue);
        drop(queue);
        if switches {
            return self.tell(cpu, cpu);
        }
        // Deadline tasks may use every CPU.
        let waits = refilled == Refilled::Waits;
        let other = waits.then(|| self.offer(&self.online(), cpu, cpu)).flatten();
        other.map_or(Resched::No, |other| Resched::look(other, cpu))
    }

    /// Looks for a starved task if that is due.
    fn watch(&self, queue: &mut RunQueue<T>, now: Nanos) {
        let patience = self.patience();
        if queue.queued() > 0
            && queue.watch.is_due(now)
            && patience > Nanos::ZERO
            && queue.sees_starved(patience, self.policy().slice, now)
        {
            self.alarm.store(true, Ordering::Relaxed);
        }
    }

    /// Gives a waiting task of `cpu` to a less loaded CPU, if that is due. Called on `cpu` after a tick.
    pub fn balance(&self, cpu: CpuId, now: Nanos) -> Resched {
        let this = self.cpus.get(cpu);
        let load = self.load(cpu);
        if load < 2 || now.0 < this.balance_at.load(Ordering::Relaxed) {
            return Resched::No;
        }
        let target = self.least_loaded(cpu, load, now);
        let difference = target.map_or(0, |target| load.saturating_sub(self.load(target)));
        let Some(target) = target.filter(|_| difference > 0) else {
            self.postpone_balance(cpu, now.saturating_add(BALANCE_PERIOD));
            return Resched::No;
        };
        let period = if difference > 1 { BALANCE_PERIOD } else { ROTATION_PERIOD };
        // Contended for the first time, or again after a pause: it has lasted no period yet.
        let stale = now.0 > this.balance_at.load(Ordering::Relaxed).saturating_add(period.0);
        let moved = match difference {
            1 if stale => None,
            1 => match self.rotate(cpu, target, now) {
                Rotation::Moved(resched) => Some(resched),
                Rotation::NotNow => return Resched::No,
                Rotation::Needless => None,
            },
            _ => match self.push(cpu, target, now) {
                None => return Resched::No,
                moved => moved,
            },
        };
        let next = now.saturating_add(period);
        self.postpone_balance(cpu, next);
        if moved.is_some() {
            // The newcomer stays for a period.
            self.postpone_balance(target, next);
        }
        moved.unwrap_or(Resched::No)
    }

    fn postpone_balance(&self, cpu: CpuId, until: Nanos) {
        self.cpus.get(cpu).balance_at.store(until.0, Ordering::Relaxed);
    }

    /// Of the CPUs that a task may use which waits on `cpu`, the one with the lowest load, if that is lower than `load`;
    /// among equals the one whose task has waited least lately, then the next one upwards.
    fn least_loaded(&self, cpu: CpuId, load: u32, now: Nanos) -> Option<CpuId> {
        let is_lower = |&other: &CpuId| other != cpu && self.load(other) < load;
        // Before any lock is taken: mostly there is none.
        let lower: CpuMask = self.online().iter().filter(is_lower).collect();
        if lower.is_empty() {
            return None;
        }
        let candidates = self.cpus.get(cpu).queue.lock().places_of_waiting(&lower);
        let lowest = candidates.iter().map(|other| self.load(other)).min()?;
        let equals: CpuMask =
            candidates.iter().filter(|&other| self.load(other) <= lowest).collect();
        let upwards = equals.iter().filter(|&other| other > cpu);
        let around = equals.iter().filter(|&other| other < cpu);
        let compared = upwards.chain(around).take(MOST_COMPARED).enumerate();
        compared
            .min_by_key(|&(order, other)| (self.waited_on(other, now), order))
            .map(|(_, other)| other)
    }

    /// How long the task that runs on `cpu` has waited lately.
    fn waited_on(&self, cpu: CpuId, now: Nanos) -> Nanos {
        self.cpus.get(cpu).queue.lock().current_waited(now)
    }

    /// Moves any waiting task. `None` if there is none that may move.
    fn push(&self, from: CpuId, to: CpuId, now: Nanos) -> Option<Resched> {
        let this = self.cpus.get(from);
        let mut queue = this.queue.lock();
        let task = queue.steal(to)?;
        self.publish(this, from, &queue);
        drop(queue);
        Some(self.arrive(task, from, to, now))
    }

    /// Evens out who waits: of the tasks on `from` the one that has waited least lately goes to `to`, whose task has waited
    /// less, and the others have more room. So where tasks do not divide among CPUs, the short share goes around.
    fn rotate(&self, from: CpuId, to: CpuId, now: Nanos) -> Rotation<Resched> {
        let there = self.waited_on(to, now);
        let this = self.cpus.get(from);
        let mut queue = this.queue.lock();
        match queue.give_up_spoiled(to, there, now) {
            Rotation::Moved(task) => {
                self.publish(this, from, &queue);
                drop(queue);
                Rotation::Moved(self.arrive(task, from, to, now))
            }
            Rotation::NotNow => Rotation::NotNow,
            Rotation::Needless => Rotation::Needless,
        }
    }

    /// Queues a task on `to` that was taken from the queue of `from`.
    fn arrive(&self, task: Arc<T>, from: CpuId, to: CpuId, now: Nanos) -> Resched {
        // In transit the task is in nobody's queue; a change of its affinity meanwhile is seen under the new lock.
        let queue = self.cpus.get(to).queue.lock();
        task.task().move_to(to);
        if self.must_leave(to, task.task()) {
            drop(queue);
            return self.place(task, Event::Migrated, now, from);
        }
        self.add(self.cpus.get(queue.cpu), queue, task, Event::Migrated, now, from)
    }

    /// Steals a task for `thief`, whose queue is empty and locked. Says whether there was one.
    #[must_use]
    #[inline(never)]
    pub(super) fn pull(&self, queue: &mut RunQueue<T>, thief: CpuId, now: Nanos) -> bool {
        let mut tried = CpuMask::only(thief);
        loop {
            let candidates = self.online();
            let victim = candidates
                .iter()
                .filter(|&cpu| !tried.contains(cpu) && self.load(cpu) > 1)
                .max_by_key(|&cpu| self.load(cpu));
            let Some(victim) = victim else { return false };
            tried.insert(victim);
            // Two queues are locked here; `try_lock` cannot deadlock with another thief.
            let this = self.cpus.get(victim);
            let Some(mut other) = this.queue.try_lock() else { continue };
            let Some(task) = other.steal(thief) else { continue };
            // Under the lock of the queue that loses it: see `refresh`.
            task.task().move_to(thief);
            self.publish(this, victim, &other);
            drop(other);
            queue.enqueue(task, Event::Migrated, now);
            return true;
        }
    }
}
