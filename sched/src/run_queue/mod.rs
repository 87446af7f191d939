//! One CPU's runnable tasks: the classes in order, and the task that runs.
//!
//! Classes, from the top: stop (the kernel's own urgent work on this CPU), deadline, real-time, fair (the pluggable
//! policy), idle (the CPU's own thread, when nothing else is there). Which class a task is in follows from its
//! [urgency](crate::urgency): its own, or a higher one that it was lent by somebody who waits for it.
//!
//! - this file: the queue, what is published of it, and `enqueue`;
//! - `pick` chooses who runs, `charge` accounts for it, `depart` is every other way out.
//!
//! The queue owns every queued task and the running one. All methods run under the queue's lock, with interrupts off.
//! A queued task's [`TaskCore::cpu`](crate::TaskCore::cpu) is this CPU and its slot says where it is.

mod charge;
mod depart;
mod pick;
mod terms;

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::time::Nanos;

use crate::deadline::{DeadlineQueue, Server};
use crate::parameters::{Discipline, Parameters};
use crate::policy::{Event, Policy, TaskView};
use crate::real_time::{End, RealTimeQueue};
use crate::slots::{Slot, Slots};
use crate::statistics::CpuStatistics;
use crate::task::{Schedulable, TaskCore, TaskId};
use crate::throttle::Throttle;
use crate::urgency::Urgency;
use crate::watchdog::Watch;
pub(crate) use terms::Terms;

/// How long a `SCHED_RR` task runs before the next of its priority (Linux's `RR_TIMESLICE`).
pub const REAL_TIME_SLICE: Nanos = Nanos::from_millis(100);

/// How many of the queue's slots are looked at in one go, as that is with interrupts off. The next look goes on from there.
pub(crate) const WINDOW: usize = 128;

/// So much less than it has run, the running task may seem to have run: far less than any slice.
const CLOSE: Nanos = Nanos::from_micros(20);

/// The class of a task, in ascending precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    Idle,
    Fair,
    RealTime,
    Deadline,
    Stop,
}

/// The task that has the CPU. The other fields say so if there is none: before the CPU is online, and while one is chosen.
#[derive(Debug)]
pub(crate) struct Current<T> {
    pub(crate) task: Option<Arc<T>>,
    /// Where it is in the table; [`Slot::NONE`] for the CPU's own, which is not there.
    slot: u32,
    pub(crate) class: Class,
    pub(crate) urgency: Urgency,
    /// When the policy wants to be asked again; [`Nanos::MAX`] for never.
    pub(crate) slice_end: Nanos,
    /// The number of the policy that picked it, if it is a fair one.
    generation: u32,
}

impl<T: Schedulable> Current<T> {
    /// The CPU's own thread runs, or nobody.
    const fn idle(task: Option<Arc<T>>) -> Self {
        Self {
            task,
            slot: Slot::NONE,
            class: Class::Idle,
            urgency: Urgency::IDLE,
            slice_end: Nanos::MAX,
            generation: 0,
        }
    }
}

/// What came of choosing a task that should give way to those who have waited longer.
pub(crate) enum Rotation<R> {
    /// It was taken, or moved.
    Moved(R),
    /// It runs at present.
    NotNow,
    /// Nobody here has waited longer than those elsewhere, or nobody may move.
    Needless,
}

/// What came of giving deadline tasks their next period.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Refilled {
    /// None was due.
    Nobody,
    /// One waits for the CPU now.
    Waits,
    /// One should have the CPU at once.
    Outranks,
}

/// A runnable task, on what terms it competes, and what its class's queue knows of it.
pub(crate) struct Member<T> {
    pub(crate) task: Arc<T>,
    pub(crate) terms: Terms,
    pub(crate) view: TaskView,
}

/// The runnable tasks of one CPU.
pub struct RunQueue<T: Schedulable> {
    pub(crate) cpu: CpuId,
    /// All of them: a task keeps its place from when it is queued here until it leaves the CPU for other reasons than to wait.
    pub(crate) slots: Slots<Member<T>>,
    stop: RealTimeQueue,
    deadline: DeadlineQueue,
    real_time: RealTimeQueue,
    pub(crate) throttle: Throttle,
    pub(crate) fair: Box<dyn Policy>,
    /// How many policies were here before this one.
    pub(crate) generation: u32,
    pub(crate) current: Current<T>,
    /// The CPU's own thread; runs when nothing else does, and is never queued.
    idle: Option<Arc<T>>,
    pub(crate) watch: Watch,
    /// Where the next look for tasks that could move begins.
    cursor: u32,
    pub(crate) statistics: CpuStatistics,
    /// Since when the CPU's own thread runs.
    pub(crate) idle_since: Option<Nanos>,
}

impl<T: Schedulable> RunQueue<T> {
    pub(crate) fn new(cpu: CpuId, fair: Box<dyn Policy>) -> Self {
        Self {
            cpu,
            slots: Slots::new(),
            stop: RealTimeQueue::default(),
            deadline: DeadlineQueue::default(),
            real_time: RealTimeQueue::default(),
            throttle: Throttle::new(),
            fair,
            generation: 0,
            current: Current::idle(None),
            idle: None,
            watch: Watch::default(),
            cursor: 0,
            statistics: CpuStatistics::default(),
            idle_since: None,
        }
    }

    /// Makes room for `tasks` tasks in all, so that nothing here allocates later.
    #[must_use]
    pub(crate) fn reserve(&mut self, tasks: usize) -> bool {
        self.slots.reserve(tasks)
            && self.stop.reserve(tasks)
            && self.deadline.reserve(tasks)
            && self.real_time.reserve(tasks)
            && self.fair.reserve(tasks)
    }

    /// Takes the CPU's own thread, which runs already.
    pub(crate) fn set_idle(&mut self, idle: Arc<T>, now: Nanos) {
        idle.task().set_cpu(self.cpu);
        idle.task().park.set_runnable();
        idle.task().park.set_on_cpu();
        idle.task().note_queued(now);
        let _ = idle.task().note_started(now);
        self.idle_since = Some(now);
        self.idle = Some(Arc::clone(&idle));
        self.current = Current::idle(Some(idle));
    }

    /// How many tasks wait here and may run, the running one not counted.
    #[must_use]
    pub fn queued(&self) -> usize {
        let running = usize::from(self.current.slot != Slot::NONE);
        self.slots.len() - running - self.deadline.throttled()
    }

    /// Whether the task in `slot` runs.
    pub(crate) fn is_running(&self, slot: u32) -> bool {
        slot == self.current.slot
    }

    /// How many of those who wait are in classes above the fair one.
    pub(crate) fn queued_above_fair(&self) -> usize {
        self.stop.len() + self.deadline.len() + self.real_time.len()
    }

    /// How many tasks wait here or run here, the CPU's own not counted.
    #[must_use]
    pub fn load(&self) -> u32 {
        (self.slots.len() - self.deadline.throttled()) as u32
    }

    /// Whether the CPU's own thread runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.class == Class::Idle
    }

    /// Whether `task` is the one that runs here.
    pub(crate) fn is_current(&self, task: &TaskCore) -> bool {
        self.current.task.as_ref().is_some_and(|current| current.task().id() == task.id())
    }

    /// Queues `task`. Returns whether it should take the CPU from the running one at once.
    #[inline(always)]
    pub(crate) fn enqueue(&mut self, task: Arc<T>, event: Event, now: Nanos) -> bool {
        // Before the terms are looked at: see `Scheduler::refresh`.
        task.task().move_to(self.cpu);
        let terms = Terms::of(task.task());
        self.enqueue_on(terms, task, event, now)
    }

    /// As [`enqueue`](Self::enqueue), on `terms` that were read after the task was [moved](TaskCore::move_to) here.
    #[inline(always)]
    pub(crate) fn enqueue_on(
        &mut self,
        mut terms: Terms,
        task: Arc<T>,
        event: Event,
        now: Nanos,
    ) -> bool {
        let core = task.task();
        debug_assert_eq!(core.slot(), Slot::NONE, "a task is queued twice");
        self.catch_up(core, now);
        if terms.discipline == Discipline::Deadline {
            serve(core, &core.parameters(), event, now);
            terms.follow_server(core);
        }
        core.remember_for(self.generation);
        let id = core.id();
        self.insert(task, terms, event, now) && self.outranks_current(&terms, id, now)
    }

    /// Puts `task` into its class's queue. Says whether it may run at once.
    fn insert(&mut self, task: Arc<T>, terms: Terms, event: Event, now: Nanos) -> bool {
        let core = task.task();
        if self.queued() == 0 {
            self.watch.begin(now);
        }
        core.set_slot(self.slots.next());
        core.note_queued(now);
        core.set_mark(self.watch.mark(now));
        task.was_queued(self.cpu, event);
        let view = core.view(core.slot());
        let slot = self.slots.insert(Member { task, terms, view });
        // Where it will stay: the policy gets to see it there, as it is large.
        let Some(member) = self.slots.get(slot) else { return false };
        match terms.class {
            Class::Fair | Class::Idle => {
                self.fair.enqueue(&member.view, event);
                self.limit_real_time(now);
                true
            }
            _ => self.insert_urgent(slot, event, now),
        }
    }

    /// Puts the task in `slot`, of a class above the fair one, into its class's queue. Says whether it may run at once.
    #[cold]
    fn insert_urgent(&mut self, slot: u32, event: Event, now: Nanos) -> bool {
        let Some(Member { task, terms, view }) = self.slots.get(slot) else { return false };
        let (core, view) = (task.task(), *view);
        let is_deadline = terms.class == Class::Deadline;
        if is_deadline && terms.lent < terms.urgency && core.server().is_exhausted() {
            let refill_at = core.server().refill_at(&core.parameters().reservation);
            self.deadline.throttle(view, refill_at);
            return false;
        }
        let end = match event {
            Event::Preempted if !self.turn_is_over(terms.discipline, now) => End::Head,
            _ => End::Tail,
        };
        match terms.class {
            Class::Stop => self.stop.enqueue(view, 0, end),
            Class::Deadline => self.deadline.enqueue(view, terms.urgency),
            _ => self.real_time.enqueue(view, terms.urgency.priority(), end),
        }
        true
    }

    /// Lets the policy know how far the running task has come before it places `newcomer`: who ran alone was not charged
    /// since it began to, and would seem to have run ahead of the newcomer when it is.
    fn catch_up(&mut self, newcomer: &TaskCore, now: Nanos) {
        if self.current.class == Class::Fair
            && let Some(current) = &self.current.task
            && current.task().id() != newcomer.id()
            && current.task().started_at().saturating_add(self.tolerance()) < now
        {
            // If its turn is over, that shows in the queue's deadline.
            let _ = self.charge(now);
        }
    }

    /// How much the running task may have run without being charged when another is placed. While more wait, none: they would
    /// pay for what two that wake each other gain by it.
    fn tolerance(&self) -> Nanos {
        if self.queued() == 0 { CLOSE } else { Nanos::ZERO }
    }

    /// Whether a preempted round-robin task has used up its turn.
    fn turn_is_over(&self, discipline: Discipline, now: Nanos) -> bool {
        discipline == Discipline::RoundRobin && self.current.slice_end <= now
    }

    fn outranks_current(&mut self, terms: &Terms, id: TaskId, now: Nanos) -> bool {
        let current = &self.current;
        if current.task.is_none() {
            return true;
        }
        match (terms.class, current.class) {
            // A task that the policy does not know gives way, so that it comes to know it.
            (Class::Fair, Class::Fair) => {
                current.generation != self.generation || self.fair.preempts(id)
            }
            (Class::RealTime, Class::Fair) => !self.throttle.is_on(now),
            (Class::Fair, Class::RealTime) => self.throttle.is_on(now),
            _ => terms.urgency > current.urgency,
        }
    }

    /// How long the running task has waited lately; nothing while the CPU idles.
    pub(crate) fn current_waited(&self, now: Nanos) -> Nanos {
        match &self.current.task {
            Some(current) if self.current.class != Class::Idle => current.task().waited(now),
            _ => Nanos::ZERO,
        }
    }

    /// How urgent the running task is.
    pub(crate) fn urgency(&self) -> Urgency {
        self.current.urgency
    }

    /// How urgent the first waiting task of the deadline and real-time classes is; idle if there is none.
    pub(crate) fn waiting_urgency(&self) -> Urgency {
        if self.queued_above_fair() == 0 {
            return Urgency::IDLE;
        }
        let real_time = || self.real_time.first().map(Urgency::real_time);
        self.deadline.first().or_else(real_time).unwrap_or(Urgency::IDLE)
    }

    /// When the queue wants to be looked at again: for the running task only while others wait for the CPU.
    pub(crate) fn deadline(&self) -> Nanos {
        let refill = self.deadline.next_refill().unwrap_or(Nanos::MAX);
        let current = &self.current;
        if self.queued() == 0 {
            let is_served = current.class == Class::Deadline;
            return if is_served { current.slice_end.min(refill) } else { refill };
        }
        let turn = match current.class {
            Class::Fair if self.real_time.len() > 0 => current.slice_end.min(self.throttle.ends()),
            _ => current.slice_end,
        };
        turn.min(self.watch.at()).min(refill)
    }

    /// The tasks queued here, those included that wait for a new period.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<T>> {
        let running = self.current.slot;
        let waiting = self.slots.iter().filter(move |(slot, _)| *slot != running);
        waiting.map(|(_, member)| &member.task)
    }

    /// Those who wait among the [`WINDOW`] slots from `from` on.
    pub(crate) fn waiting_from(&self, from: u32) -> impl Iterator<Item = &Member<T>> {
        let running = self.current.slot;
        let waiting = self.slots.window(from, WINDOW).filter(move |(slot, _)| *slot != running);
        waiting.map(|(_, member)| member)
    }
}

/// Brings the server of a deadline task up to date that is about to be queued.
fn serve(core: &TaskCore, parameters: &Parameters, event: Event, now: Nanos) {
    let mut server = if core.takes_new_server() { Server::default() } else { core.server() };
    let reserved = &parameters.reservation;
    if server.deadline == Nanos::ZERO || matches!(event, Event::Woken | Event::Spawned) {
        server.wake(reserved, now);
    }
    if event == Event::Yielded {
        // The rest of the period is not needed (sched(7)).
        server.left = server.left.min(0);
    }
    if server.is_exhausted() && server.refill_at(reserved) <= now {
        server.refill(reserved, now);
    }
    core.set_server(server);
}
