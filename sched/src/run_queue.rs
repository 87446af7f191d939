//! One CPU's runnable tasks: the classes in order, and the task that runs.
//!
//! Classes, from the top: stop (the kernel's own urgent work on this CPU), real-time, fair (the pluggable policy), idle
//! (the CPU's own thread, when nothing else is there). A deadline class has its place between the first two.
//!
//! The queue owns every queued task and the running one. All methods run under the queue's lock, with interrupts off.
//! A queued task's [`TaskCore::cpu`](crate::TaskCore::cpu) is this CPU and its slot says where it is.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::time::Nanos;

use crate::parameters::{Discipline, Parameters, STOP_PRIORITY};
use crate::policy::{Event, Policy, TaskView, Verdict};
use crate::real_time::{End, RealTimeQueue};
use crate::slots::{Slot, Slots};
use crate::task::{Schedulable, TaskCore, TaskId};
use crate::watchdog::Watch;

/// How long a `SCHED_RR` task runs before the next of its priority (Linux's `RR_TIMESLICE`).
pub const REAL_TIME_SLICE: Nanos = Nanos::from_millis(100);

/// The class of a task, in ascending precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    Idle,
    Fair,
    RealTime,
    Stop,
}

/// The task that has the CPU.
#[derive(Debug)]
pub(crate) struct Current<T> {
    pub(crate) task: Arc<T>,
    pub(crate) class: Class,
    /// The parameters that it was picked with.
    parameters: Parameters,
    /// When the policy wants to be asked again; [`Nanos::MAX`] for never.
    pub(crate) slice_end: Nanos,
    /// The number of the policy that picked it, if it is a fair one.
    generation: u32,
}

impl<T: Schedulable> Current<T> {
    fn idle(task: Arc<T>) -> Self {
        let parameters = task.task().parameters();
        Self { task, class: Class::Idle, parameters, slice_end: Nanos::MAX, generation: 0 }
    }
}

/// A task that waits, and in which class.
pub(crate) struct Queued<T> {
    pub(crate) task: Arc<T>,
    pub(crate) class: Class,
}

/// The runnable tasks of one CPU.
pub struct RunQueue<T: Schedulable> {
    pub(crate) cpu: CpuId,
    pub(crate) slots: Slots<Queued<T>>,
    stop: RealTimeQueue,
    real_time: RealTimeQueue,
    pub(crate) fair: Box<dyn Policy>,
    /// How many policies were here before this one.
    pub(crate) generation: u32,
    pub(crate) current: Option<Current<T>>,
    /// The CPU's own thread; runs when nothing else does, and is never queued.
    idle: Option<Arc<T>>,
    /// The task that came last from another CPU.
    newcomer: Option<TaskId>,
    pub(crate) watch: Watch,
}

impl<T: Schedulable> RunQueue<T> {
    pub(crate) fn new(cpu: CpuId, fair: Box<dyn Policy>) -> Self {
        Self {
            cpu,
            slots: Slots::new(),
            stop: RealTimeQueue::default(),
            real_time: RealTimeQueue::default(),
            fair,
            generation: 0,
            current: None,
            idle: None,
            newcomer: None,
            watch: Watch::default(),
        }
    }

    /// Makes room for `tasks` tasks in all, so that nothing here allocates later.
    #[must_use]
    pub(crate) fn reserve(&mut self, tasks: usize) -> bool {
        self.slots.reserve(tasks)
            && self.stop.reserve(tasks)
            && self.real_time.reserve(tasks)
            && self.fair.reserve(tasks)
    }

    /// Takes the CPU's own thread, which runs already.
    pub(crate) fn set_idle(&mut self, idle: Arc<T>, now: Nanos) {
        idle.task().set_cpu(self.cpu);
        idle.task().park.set_runnable();
        idle.task().park.set_on_cpu();
        idle.task().note_queued(now);
        idle.task().note_started(now);
        self.idle = Some(Arc::clone(&idle));
        self.current = Some(Current::idle(idle));
    }

    /// How many tasks are queued here, the running one not counted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.stop.len() + self.real_time.len() + self.fair.len()
    }

    /// How many tasks are queued here or run here, the CPU's own not counted.
    #[must_use]
    pub fn load(&self) -> u32 {
        (self.queued() + usize::from(!self.is_idle())) as u32
    }

    /// Whether the CPU's own thread runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.as_ref().is_none_or(|current| current.class == Class::Idle)
    }

    /// Whether `task` is the one that runs here.
    pub(crate) fn is_current(&self, task: &TaskCore) -> bool {
        self.current.as_ref().is_some_and(|current| current.task.task().id() == task.id())
    }

    /// Queues `task`. Returns whether it should take the CPU from the running one at once.
    pub(crate) fn enqueue(&mut self, task: Arc<T>, event: Event, now: Nanos) -> bool {
        let core = task.task();
        debug_assert_eq!(core.slot(), Slot::NONE, "a task is queued twice");
        if matches!(event, Event::Migrated | Event::Spawned) {
            self.newcomer = Some(core.id());
        }
        // Before the parameters are read: see `Scheduler::refresh`.
        core.move_to(self.cpu);
        let parameters = core.parameters();
        let id = core.id();
        let class = class_of(&parameters);
        if self.queued() == 0 {
            self.watch.begin(now);
        }
        let slot = self.slots.insert(Queued { task, class });
        let Some(Queued { task, .. }) = self.slots.get(slot) else { return false };
        let core = task.task();
        core.set_slot(slot);
        core.note_queued(now);
        task.was_queued(self.cpu, event);
        core.remember_for(self.generation);
        core.set_mark(self.watch.mark(now));
        let view = view_of(core, &parameters, slot);
        let end = match event {
            Event::Preempted if !self.turn_is_over(&parameters, now) => End::Head,
            _ => End::Tail,
        };
        match class {
            Class::Stop => self.stop.enqueue(view, 0, end),
            Class::RealTime => self.real_time.enqueue(view, parameters.priority, end),
            Class::Fair | Class::Idle => self.fair.enqueue(view, event),
        }
        self.outranks_current(&parameters, id)
    }

    /// Whether a preempted round-robin task has used up its turn.
    fn turn_is_over(&self, parameters: &Parameters, now: Nanos) -> bool {
        parameters.discipline == Discipline::RoundRobin
            && self.current.as_ref().is_some_and(|current| current.slice_end <= now)
    }

    fn outranks_current(&mut self, parameters: &Parameters, id: TaskId) -> bool {
        let Some(current) = &self.current else { return true };
        let class = class_of(parameters);
        if class != current.class {
            return class > current.class;
        }
        match class {
            Class::RealTime => parameters.priority > current.parameters.priority,
            // A task that the policy does not know gives way, so that it comes to know it.
            Class::Fair => current.generation != self.generation || self.fair.preempts(id),
            Class::Stop | Class::Idle => false,
        }
    }

    /// Takes the next task out of the queue and makes it current. `None` if nothing is queued.
    pub(crate) fn pick(&mut self, now: Nanos) -> Option<Arc<T>> {
        debug_assert!(
            self.current.is_none(),
            "the current task is put back before the next is picked"
        );
        let (view, class, slice) = if let Some(view) = self.stop.pick() {
            (view, Class::Stop, Nanos::MAX)
        } else if let Some(view) = self.real_time.pick() {
            (view, Class::RealTime, Nanos::MAX)
        } else {
            let pick = self.fair.pick(now)?;
            (pick.task, Class::Fair, pick.slice)
        };
        debug_assert!(self.owns(&view), "a policy returned a view that it was not given");
        let task = self.slots.remove(view.slot)?.task;
        let parameters = task.task().parameters();
        let slice = match parameters.discipline {
            Discipline::RoundRobin if class == Class::RealTime => REAL_TIME_SLICE,
            _ => slice,
        };
        task.task().set_slot(Slot::NONE);
        let slice_end = now.saturating_add(slice);
        let generation = self.generation;
        let task_too = Arc::clone(&task);
        self.current = Some(Current { task: task_too, class, parameters, slice_end, generation });
        Some(task)
    }

    /// Makes the CPU's own thread current.
    pub(crate) fn pick_idle(&mut self) -> Option<Arc<T>> {
        let task = self.idle.clone()?;
        self.current = Some(Current::idle(Arc::clone(&task)));
        Some(task)
    }

    /// Charges the current task for its time since the last call and says whether it should go on.
    pub(crate) fn charge(&mut self, now: Nanos) -> Verdict {
        let Some(current) = &mut self.current else { return Verdict::Reschedule };
        let ran = current.task.task().charge(now);
        self.watch.charge(current.class, ran);
        match current.class {
            Class::Fair if current.generation != self.generation => Verdict::Reschedule,
            Class::Fair => {
                let verdict = self.fair.tick(ran);
                current.slice_end = match verdict {
                    Verdict::Continue(left) => now.saturating_add(left),
                    Verdict::Reschedule => now,
                };
                verdict
            }
            _ if current.slice_end <= now => Verdict::Reschedule,
            _ => Verdict::Continue(current.slice_end.saturating_sub(now)),
        }
    }

    /// The current task ran its slice to the end and nobody else is there: it starts another.
    pub(crate) fn renew_slice(&mut self, now: Nanos) {
        if let Some(current) = &mut self.current
            && current.class == Class::RealTime
        {
            current.slice_end = now.saturating_add(REAL_TIME_SLICE);
        }
    }

    /// The current task goes back into the queue (preempted, yielded). The CPU's own is just put aside.
    pub(crate) fn put_back(&mut self, event: Event, now: Nanos) -> Option<Arc<T>> {
        let current = self.current.as_ref()?;
        let (task, class) = (Arc::clone(&current.task), current.class);
        if class == Class::Idle {
            self.current = None;
            return Some(task);
        }
        // With new parameters it is a newcomer, perhaps in another class; to a new policy it is one too.
        let is_known = class != Class::Fair || current.generation == self.generation;
        let event = if is_known && task.task().parameters() == current.parameters {
            event
        } else {
            self.leave_policy(Event::MigratedAway);
            Event::Migrated
        };
        self.enqueue(Arc::clone(&task), event, now);
        self.current = None;
        Some(task)
    }

    /// The current task leaves this CPU (blocked, exited, migrated away).
    pub(crate) fn take_current(&mut self, event: Event) -> Option<Arc<T>> {
        self.leave_policy(event);
        self.current.take().map(|current| current.task)
    }

    fn leave_policy(&mut self, event: Event) {
        if let Some(current) = &self.current
            && current.class == Class::Fair
            && current.generation == self.generation
        {
            let memory = self.fair.leave(event);
            current.task.task().set_memory(memory);
        }
    }

    /// Takes a queued task out.
    pub(crate) fn remove(&mut self, task: &TaskCore) -> Option<Arc<T>> {
        let id = task.id();
        let queued = self.slots.get(task.slot()).filter(|queued| queued.task.task().id() == id)?;
        let view = match queued.class {
            Class::Stop => self.stop.remove(id),
            Class::RealTime => self.real_time.remove(id),
            Class::Fair | Class::Idle => self.fair.remove(id),
        }?;
        self.release(&view)
    }

    /// Gives up a task that may run on `thief`, the most urgent class first.
    pub(crate) fn steal(&mut self, thief: CpuId) -> Option<Arc<T>> {
        self.steal_except(thief, None)
    }

    /// As [`steal`](Self::steal), but not the task that came last.
    pub(crate) fn steal_resident(&mut self, thief: CpuId) -> Option<Arc<T>> {
        self.steal_except(thief, self.newcomer)
    }

    fn steal_except(&mut self, thief: CpuId, except: Option<TaskId>) -> Option<Arc<T>> {
        let slots = &self.slots;
        let may_move = |view: &TaskView| {
            Some(view.id) != except
                && slots.get(view.slot).is_some_and(|queued| queued.task.task().may_run_on(thief))
        };
        let view = self.real_time.steal(&may_move).or_else(|| self.fair.steal(&may_move))?;
        self.release(&view)
    }

    fn owns(&self, view: &TaskView) -> bool {
        self.slots.get(view.slot).is_some_and(|queued| queued.task.task().id() == view.id)
    }

    fn release(&mut self, view: &TaskView) -> Option<Arc<T>> {
        debug_assert!(self.owns(view), "a policy returned a view that it was not given");
        let task = self.slots.remove(view.slot)?.task;
        task.task().set_slot(Slot::NONE);
        task.task().set_memory(view.memory);
        Some(task)
    }

    /// How urgent the running task is: 0 for the CPU's own, 1 for fair ones, 1 plus the priority for real-time ones.
    pub(crate) fn precedence(&self) -> u8 {
        match &self.current {
            Some(current) if current.class >= Class::RealTime => 1 + current.parameters.priority,
            Some(current) if current.class == Class::Fair => 1,
            _ => 0,
        }
    }

    /// When the policy wants to be asked again: never while nobody waits for the CPU.
    pub(crate) fn deadline(&self) -> Nanos {
        match &self.current {
            Some(current) if self.queued() > 0 => current.slice_end.min(self.watch.at()),
            _ => Nanos::MAX,
        }
    }

    /// The tasks queued here.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<T>> {
        self.slots.iter().map(|(_, queued)| &queued.task)
    }
}

fn class_of(parameters: &Parameters) -> Class {
    if parameters.discipline.is_real_time() {
        if parameters.priority >= STOP_PRIORITY { Class::Stop } else { Class::RealTime }
    } else {
        Class::Fair
    }
}

pub(crate) fn view_of(core: &TaskCore, parameters: &Parameters, slot: u32) -> TaskView {
    TaskView {
        id: core.id(),
        slot,
        weight: parameters.weight().max(1),
        batch: matches!(parameters.discipline, Discipline::Batch | Discipline::Idle),
        slice: parameters.slice,
        memory: core.memory(),
    }
}
