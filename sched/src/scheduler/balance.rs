//! Ticks, and moving work from busy CPUs to others.
//!
//! An idle CPU *pulls* as it goes idle. Otherwise the busier CPU *pushes*: only contended CPUs take ticks,
//! so only they have the occasion.

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::{Scheduler, look};
use crate::policy::{Event, Verdict};
use crate::resched::Resched;
use crate::run_queue::{Rotation, RunQueue, Terms};
use crate::task::Schedulable;

/// How often a CPU with two tasks more than another gives one away.
const BALANCE_PERIOD: Nanos = Nanos::from_millis(10);
/// How often a CPU with one task more than another gives one away, so that in the long run all tasks get the same share.
const ROTATION_PERIOD: Nanos = Nanos::from_millis(60);

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
        let switches = over || refilled || queue.throttling_ended(now);
        self.watch(&mut queue, now);
        self.publish(this, cpu, &queue);
        drop(queue);
        if switches { self.tell(cpu, cpu) } else { Resched::No }
    }

    /// Looks for a starved task if that is due.
    fn watch(&self, queue: &mut RunQueue<T>, now: Nanos) {
        let patience = self.patience();
        if queue.queued() > 0
            && queue.watch.is_due(now)
            && patience > Nanos::ZERO
            && queue.starved(patience, self.policy().slice, now).is_some()
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
        let Some(target) = self.least_loaded(cpu, now) else { return Resched::No };
        let difference = load.saturating_sub(self.load(target));
        let period = if difference > 1 { BALANCE_PERIOD } else { ROTATION_PERIOD };
        // Contended for the first time, or again after a pause: it has lasted no period yet.
        let stale = now.0 > this.balance_at.load(Ordering::Relaxed).saturating_add(period.0);
        let moved = match difference {
            0 => return Resched::No,
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
        let next = now.saturating_add(period).0;
        this.balance_at.store(next, Ordering::Relaxed);
        if moved.is_some() {
            // The newcomer stays for a period.
            self.cpus.get(target).balance_at.store(next, Ordering::Relaxed);
        }
        moved.unwrap_or(Resched::No)
    }

    /// The CPU with the lowest load; among equals the one whose task has waited least lately, then the next one upwards.
    fn least_loaded(&self, cpu: CpuId, now: Nanos) -> Option<CpuId> {
        let others = self.online().iter().filter(|&other| other != cpu);
        others
            .min_by_key(|&other| (self.load(other), self.waited_on(other, now), other < cpu, other))
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
        let this = self.cpus.get(to);
        let mut queue = this.queue.lock();
        task.task().move_to(to);
        if self.must_leave(to, task.task()) {
            drop(queue);
            return self.place(task, Event::Migrated, now, from);
        }
        let terms = Terms::of(task.task());
        let preempts = queue.enqueue(task, terms, Event::Migrated, now);
        self.publish(this, to, &queue);
        drop(queue);
        if preempts { self.tell(to, from) } else { look(to, from) }
    }

    /// Steals a task for `thief`, whose queue is empty and locked, and makes it current there.
    pub(super) fn pull(&self, queue: &mut RunQueue<T>, thief: CpuId, now: Nanos) -> Option<Arc<T>> {
        let mut tried = arch::cpu::CpuMask::only(thief);
        loop {
            let candidates = self.online();
            let victim = candidates
                .iter()
                .filter(|&cpu| !tried.contains(cpu) && self.load(cpu) > 1)
                .max_by_key(|&cpu| self.load(cpu))?;
            tried.insert(victim);
            // Two queues are locked here; `try_lock` cannot deadlock with another thief.
            let this = self.cpus.get(victim);
            let Some(mut other) = this.queue.try_lock() else { continue };
            let Some(task) = other.steal(thief) else { continue };
            self.publish(this, victim, &other);
            drop(other);
            let terms = Terms::of(task.task());
            queue.enqueue(task, terms, Event::Migrated, now);
            return queue.pick(now);
        }
    }
}
