//! Taking a CPU from one task and choosing the next.

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::sync::atomic::Ordering;
use arch::time::Nanos;

use super::{CpuQueue, QueueGuard, Scheduler};
use crate::park::ParkMode;
use crate::policy::Event;
use crate::resched::Resched;
use crate::run_queue::{Class, RunQueue};
use crate::task::{Schedulable, TaskCore};
use crate::urgency::Urgency;

/// Why the running task gives the CPU up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// To sleep, unless it has been woken since it [prepared](crate::ParkState::prepare) to.
    Block,
    /// Something more urgent may be there, or its slice is over.
    Preempt,
    /// It lets others go first.
    Yield,
    /// It has ended, and will never run again.
    Exit,
}

/// What became of the task that was switched away from; for [`Scheduler::finish_switch`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is queued here, or asleep: nothing is to be done.
    Left,
    /// It is queued here and might go on elsewhere; or somebody who waits elsewhere might run here.
    Displaced,
    /// It may no longer run here: it has to be placed elsewhere.
    Migrates,
    /// It has ended.
    Ended,
}

impl Fate {
    /// What becomes of `task`, which was put back into `queue`.
    fn of_queued<T: Schedulable>(queue: &RunQueue<T>, task: &TaskCore) -> Self {
        let is_urgent = queue.queued_above_fair() > 0 && task.is_urgent();
        if is_urgent { Self::Displaced } else { Self::Left }
    }
}

/// A decided switch. The queue's lock is held across the switch: the outgoing task forgets `guard`, and the
/// incoming one releases the [lock](super::CpuQueue::spin_lock) *of the CPU that it then runs on*.
#[must_use = "the chosen task has to run"]
pub struct Switch<'a, T: Schedulable> {
    /// The lock of this CPU's queue.
    pub guard: QueueGuard<'a, T>,
    /// Who had the CPU.
    pub previous: Arc<T>,
    /// What becomes of it.
    pub fate: Fate,
}

impl<T: Schedulable> Switch<'_, T> {
    /// Who gets the CPU. The queue keeps the task alive while it runs.
    #[must_use]
    pub fn next(&self) -> &Arc<T> {
        self.guard.current.task.as_ref().unwrap_or(&self.previous)
    }
}

/// The outcome of [`Scheduler::begin_switch`].
#[must_use = "the chosen task has to run"]
pub enum Switched<'a, T: Schedulable> {
    /// The caller goes on. It [may have to come again](Scheduler::should_switch) at once.
    Stay,
    /// Another task runs now.
    To(Switch<'a, T>),
}

impl<T: Schedulable> Scheduler<T> {
    /// Takes the CPU of `this` queue from the task that runs there and chooses the next one.
    ///
    /// Called on that CPU by that task, with interrupts off and no lock held that is not to be held across the switch.
    #[inline]
    pub fn begin_switch<'a>(
        &self,
        this: &'a CpuQueue<T>,
        now: Nanos,
        leave: Leave,
    ) -> Switched<'a, T> {
        let mut queue = this.queue.lock();
        let cpu = queue.cpu;
        // Under the lock, and before the choice: whatever is queued after this sets the flag again.
        this.resched.store(false, Ordering::Release);
        let _ = queue.charge(now);
        queue.statistics.calls += 1;
        queue.statistics.yields += u64::from(leave == Leave::Yield);
        let Some((previous, fate)) = self.put_down(&mut queue, cpu, now, leave) else {
            self.publish(this, cpu, &queue);
            return Switched::Stay;
        };
        let search = self.pull_urgent(&mut queue, cpu, now);
        let ran = Urgency(this.urgency.load(Ordering::Relaxed));
        let has_picked = queue.pick(now) || self.pull(&mut queue, cpu, now) && queue.pick(now);
        if !has_picked {
            queue.pick_idle();
        }
        self.publish(this, cpu, &queue);
        let looks_again = (search.is_incomplete || ran > Urgency::FAIR)
            && self.has_missed(&search, cpu, queue.urgency());
        if looks_again {
            this.resched.store(true, Ordering::Release);
        }
        let Some(next) = queue.current.task.as_ref().filter(|next| !Arc::ptr_eq(&previous, next))
        else {
            return Switched::Stay;
        };
        let core = next.task();
        let delay = core.note_started(now);
        core.park.set_on_cpu();
        let fate = if looks_again && fate == Fate::Left { Fate::Displaced } else { fate };
        match leave {
            Leave::Block | Leave::Exit => previous.task().note_left_voluntarily(),
            Leave::Preempt | Leave::Yield => previous.task().note_left_involuntarily(),
        }
        queue.note_switch(delay, now);
        // Written under the queue's lock only, so a load and a store replace the locked addition.
        this.switches.store(this.switches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Switched::To(Switch { guard: queue, previous, fate })
    }

    /// Removes the running task from the CPU. `None` if it turns out that it has no reason to go.
    fn put_down(
        &self,
        queue: &mut RunQueue<T>,
        cpu: CpuId,
        now: Nanos,
        leave: Leave,
    ) -> Option<(Arc<T>, Fate)> {
        let current = queue.current.task.as_ref()?.task();
        match leave {
            Leave::Exit => {
                current.park.set_dead();
                Some((queue.take_current(Event::Exited)?, Fate::Ended))
            }
            Leave::Block if current.park.commit() => {
                self.note_blocked(current);
                Some((queue.take_current(Event::Blocked)?, Fate::Left))
            }
            _ if self.moves_away(queue, current, cpu) => {
                Some((queue.take_current(Event::MigratedAway)?, Fate::Migrates))
            }
            _ => {
                let yields = leave == Leave::Yield;
                let event = if yields { Event::Yielded } else { Event::Preempted };
                let task = queue.put_back(event, now)?;
                let fate = Fate::of_queued(queue, task.task());
                Some((task, fate))
            }
        }
    }

    /// Whether the running task of `cpu` has to go elsewhere, or is better off there.
    #[inline(always)]
    fn moves_away(&self, queue: &RunQueue<T>, core: &TaskCore, cpu: CpuId) -> bool {
        match queue.current.class {
            Class::Idle => return false,
            _ if core.is_pinned_to(cpu) => {}
            _ if !core.may_run_on(cpu) && self.must_leave(cpu, core) => return true,
            // A task that others push aside goes where a CPU is idle; that CPU would not come and look by itself.
            _ if queue.queued() > 0 && core.may_run_on_any(&self.idle) => return true,
            Class::Fair => return false,
            _ => {}
        }
        queue.is_displaced() && self.has_refuge(core, cpu, queue.urgency())
    }

    /// Counts a task that went to sleep uninterruptibly. Its waker, who waits until it is off the CPU, counts it off.
    fn note_blocked(&self, core: &TaskCore) {
        if matches!(core.park.mode(), Some(ParkMode::Uninterruptible | ParkMode::Killable)) {
            core.set_counted_as_blocked();
            self.blocked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Completes a switch, on the CPU that `previous` has left, after its queue's lock was released.
    ///
    /// Afterwards the CPU looks whether it [should switch](Self::should_switch) again, unless the task has simply left.
    ///
    /// Before releasing that lock the caller has [marked](crate::ParkState::set_off_cpu) `previous` as off the CPU.
    pub fn finish_switch(&self, previous: Arc<T>, fate: Fate, now: Nanos, here: CpuId) -> Resched {
        match fate {
            Fate::Left | Fate::Ended => Resched::No,
            Fate::Displaced => {
                let usable = self.usable(&previous.task().affinity());
                let other = self.offer(&usable, here, here);
                other.map_or(Resched::No, |other| Resched::look(other, here))
            }
            Fate::Migrates => self.place(previous, Event::Migrated, now, here),
        }
    }
}
