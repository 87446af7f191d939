//! Multi-level feedback queue: who sleeps a lot runs first, who computes sinks.
//!
//! After Corbató's CTSS (1962) in the form of Arpaci-Dusseau, "Operating Systems: Three Easy Pieces", chapter 8:
//! 1. the highest level that is not empty runs, taking turns within it;
//! 2. new tasks start at the top;
//! 3. a task that has used its allotment at a level, in however many pieces, goes down one;
//! 4. after each [`BOOST_PERIOD`] everybody starts at the top again, so nobody starves.
//!
//! Weights scale the allotment: a nice task sinks faster. A task's level and use are in its [`Memory`]
//! together with the number of the boost that they date from; older ones count as the top. Boosts are numbered by the time,
//! the same for all CPUs: who migrates takes its level along.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{
    CounterKind, Event, Line, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement,
};
use crate::task::TaskId;

/// How many levels.
pub const LEVELS: usize = 5;
/// A turn, and the allotment at weight 1024, at the top; twice as much at each level below.
pub const SLICE: Nanos = Nanos::from_millis(2);
/// How often everybody returns to the top.
pub const BOOST_PERIOD: Nanos = Nanos::from_millis(500);
/// The least of an allotment that is worth a switch.
const GRANULARITY: Nanos = Nanos::from_micros(100);

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "mlfq",
    about: "multi-level feedback queue: five levels, 2 to 32 ms, everybody back to the top twice a second",
    slice: SLICE,
    create: |_| Box::new(Mlfq::default()),
    select_cpu: placement::idle_near_last,
    counters: &[
        CounterKind {
            name: "demotions",
            unit: "tasks",
            about: "tasks that used their allotment up and went down a level",
        },
        CounterKind {
            name: "boosts",
            unit: "times",
            about: "times that everybody returned to the top level",
        },
        CounterKind {
            name: "wakeup_preemptions",
            unit: "tasks",
            about: "tasks that were queued at a higher level than the running one's",
        },
    ],
};

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    level: usize,
    /// What is left of its allotment there.
    left: Nanos,
    /// The number of the boost that this dates from.
    boost: u64,
}

/// The run queue of one CPU.
#[derive(Debug, Default)]
pub struct Mlfq {
    levels: [Line; LEVELS],
    current: Option<(TaskView, Standing)>,
    /// The number of the last boost.
    boost: u64,
    counters: [u64; 3],
}

impl Mlfq {
    fn allotment(task: &TaskView, level: usize) -> Nanos {
        let at_top = if task.slice > Nanos::ZERO { task.slice } else { SLICE };
        let scaled = (at_top.0 << level).saturating_mul(u64::from(task.weight)) / 1024;
        Nanos(scaled.clamp(GRANULARITY.0, BOOST_PERIOD.0))
    }

    fn top(&self, task: &TaskView) -> Standing {
        Standing { level: 0, left: Self::allotment(task, 0), boost: self.boost }
    }

    /// The memory: level, remaining nanoseconds; the boost they date from.
    fn remember(standing: Standing) -> Memory {
        Memory([standing.left.0 << 8 | standing.level as u64, standing.boost])
    }

    fn standing(&self, task: &TaskView) -> Standing {
        let Memory([word, boost]) = task.memory;
        // A CPU that was idle has not heard of the last boosts yet.
        if word == 0 || boost < self.boost {
            return self.top(task);
        }
        Standing { level: (word & 0xff) as usize % LEVELS, left: Nanos(word >> 8), boost }
    }

    fn boost(&mut self, number: u64) {
        self.boost = number;
        self.counters[1] += 1;
        let [top, others @ ..] = &mut self.levels;
        for level in others {
            // Who has come from a CPU that boosted already stays.
            for _ in 0..level.len() {
                let Some(task) = level.pop_front() else { break };
                let stays = task.memory.0[1] >= number;
                if stays { &mut *level } else { &mut *top }.push_back(task);
            }
        }
    }
}

impl Policy for Mlfq {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.levels.iter_mut().all(|level| level.reserve(tasks))
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        let returning = matches!(event, Event::Preempted | Event::Yielded);
        let current = self.current.take_if(|(current, _)| returning && current.id == task.id);
        let standing = current.map_or_else(|| self.standing(task), |(_, standing)| standing);
        let task = TaskView { memory: Self::remember(standing), ..*task };
        let level = &mut self.levels[standing.level];
        // Pushed aside within its allotment by a more urgent one: it goes on first.
        if event == Event::Preempted && standing.left < Self::allotment(&task, standing.level) {
            level.push_front(task);
        } else {
            level.push_back(task);
        }
    }

    fn pick(&mut self, now: Nanos) -> Option<Pick> {
        let number = now.0 / BOOST_PERIOD.0;
        if number > self.boost {
            self.boost(number);
        }
        let task = self.levels.iter_mut().find_map(Line::pop_front)?;
        let standing = self.standing(&task);
        self.current = Some((task, standing));
        Some(task.runs_for(standing.left.max(GRANULARITY)))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let Some((task, standing)) = &mut self.current else { return Verdict::Reschedule };
        standing.left = standing.left.saturating_sub(ran);
        if standing.left >= GRANULARITY {
            return Verdict::Continue(standing.left);
        }
        self.counters[0] += u64::from(standing.level + 1 < LEVELS);
        standing.level = (standing.level + 1).min(LEVELS - 1);
        standing.left = Self::allotment(task, standing.level);
        Verdict::Reschedule
    }

    fn preempts(&mut self, task: TaskId) -> bool {
        let Some((_, standing)) = &self.current else { return true };
        let above = self.levels.iter().take(standing.level);
        let preempts = above.filter_map(Line::last).any(|woken| woken.id == task);
        self.counters[2] += u64::from(preempts);
        preempts
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let current = self.current.take();
        current.map_or_else(Memory::default, |(_, standing)| Self::remember(standing))
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.levels.iter_mut().find_map(|level| level.remove(task))
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // From the bottom: it would wait longest here.
        self.levels.iter_mut().rev().find_map(|level| level.take_last(may_move))
    }

    fn drain(&mut self) -> Option<TaskView> {
        self.levels.iter_mut().find_map(Line::pop_front)
    }

    fn len(&self) -> usize {
        self.levels.iter().map(Line::len).sum()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
