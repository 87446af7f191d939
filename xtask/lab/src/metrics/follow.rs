//! Follows a trace from event to event and adds up what it sees: [`Follower`].

use std::collections::{BTreeMap, BTreeSet};

use super::{INTERVAL, jain, stays_runnable};
use crate::trace::{IDLE, Reason, Task};

/// What is known of a task.
#[derive(Default)]
struct Known {
    /// Where it ran last.
    last_cpu: Option<usize>,
    /// Since when it waits after a wake-up.
    woken: Option<u64>,
    /// It was there from the beginning of the run, or nearly.
    is_old: bool,
    /// It has slept.
    has_slept: bool,
    /// CPU time in each interval.
    used: Vec<u64>,
    /// The CPUs that it may use; empty for all.
    allowed: Vec<usize>,
}

pub(super) struct Follower {
    now: u64,
    duration: u64,
    running: Vec<Task>,
    waiting: BTreeSet<Task>,
    tasks: BTreeMap<Task, Known>,
    busy: Vec<Vec<u64>>,
    pub(super) latencies: Vec<u64>,
    pub(super) switches: u64,
    pub(super) migrations: u64,
    /// In nanoseconds of one CPU.
    pub(super) idle_while_runnable: f64,
}

impl Follower {
    pub(super) fn new(cpus: usize, duration: u64) -> Self {
        let intervals = duration.div_ceil(INTERVAL) as usize;
        Self {
            now: 0,
            duration,
            running: vec![IDLE; cpus],
            waiting: BTreeSet::new(),
            tasks: BTreeMap::new(),
            busy: vec![vec![0; intervals]; cpus],
            latencies: Vec::new(),
            switches: 0,
            migrations: 0,
            idle_while_runnable: 0.0,
        }
    }

    pub(super) fn set_allowed(&mut self, cpus: impl Iterator<Item = (Task, Vec<usize>)>) {
        for (task, allowed) in cpus {
            self.tasks.entry(task).or_default().allowed = allowed;
        }
    }

    fn task(&mut self, task: Task) -> &mut Known {
        self.tasks.entry(task).or_default()
    }

    /// Adds up the time from the last event to this one.
    pub(super) fn advance(&mut self, time: u64) {
        let time = time.min(self.duration);
        if time <= self.now {
            return;
        }
        self.idle_while_runnable += (self.idle_for_nothing() as u64 * (time - self.now)) as f64;
        for cpu in 0..self.running.len() {
            let task = self.running[cpu];
            if task == IDLE {
                continue;
            }
            let mut from = self.now;
            while from < time {
                let interval = (from / INTERVAL) as usize;
                let until = time.min((interval as u64 + 1) * INTERVAL);
                self.busy[cpu][interval] += until - from;
                let intervals = self.busy[cpu].len();
                let used = &mut self.task(task).used;
                used.resize(intervals, 0);
                used[interval] += until - from;
                from = until;
            }
        }
        self.now = time;
    }

    /// How many CPUs idle now although they could take a waiting task.
    fn idle_for_nothing(&self) -> usize {
        let may_use = |task: &Task, cpu: usize| {
            let allowed = self.tasks.get(task).map_or(&[][..], |known| &known.allowed);
            allowed.is_empty() || allowed.contains(&cpu)
        };
        let idle = self.running.iter().enumerate().filter(|(_, task)| **task == IDLE);
        let useful =
            idle.filter(|(cpu, _)| self.waiting.iter().any(|task| may_use(task, *cpu))).count();
        useful.min(self.waiting.len())
    }

    pub(super) fn switch(&mut self, cpu: usize, from: Task, to: Task, reason: Reason) {
        let now = self.now;
        if from != IDLE {
            if stays_runnable(from, reason) {
                self.waiting.insert(from);
            } else {
                self.waiting.remove(&from);
            }
            let known = self.task(from);
            known.last_cpu = Some(cpu);
            known.has_slept |= reason == Reason::Blocked;
            known.has_slept |= reason == Reason::Ended;
        }
        self.running[cpu] = to;
        if to == IDLE {
            return;
        }
        self.switches += 1;
        self.waiting.remove(&to);
        let known = self.task(to);
        // Early enough to be compared over the whole run.
        known.is_old |= known.last_cpu.is_none() && now < INTERVAL / 2;
        let moved = known.last_cpu.is_some_and(|last| last != cpu);
        known.last_cpu = Some(cpu);
        let woken = known.woken.take();
        self.migrations += u64::from(moved);
        self.latencies.extend(woken.map(|woken| now - woken));
    }

    pub(super) fn wake(&mut self, task: Task) {
        let now = self.now;
        self.waiting.insert(task);
        self.task(task).woken = Some(now);
    }

    /// A thread id may have belonged to another task before.
    pub(super) fn born(&mut self, task: Task) {
        let allowed = std::mem::take(&mut self.task(task).allowed);
        self.tasks.insert(task, Known { allowed, ..Known::default() });
    }

    pub(super) fn utilisation(&self) -> Vec<Vec<f64>> {
        let length = |interval: usize| {
            (self.duration - interval as u64 * INTERVAL).clamp(1, INTERVAL) as f64
        };
        let part = |(interval, busy): (usize, &u64)| *busy as f64 / length(interval);
        self.busy.iter().map(|cpu| cpu.iter().enumerate().map(part).collect()).collect()
    }

    /// The tasks that competed all the time, with their weights.
    fn competitors(&self, weight: &dyn Fn(Task) -> Option<f64>) -> Vec<(&Known, f64)> {
        let competed = |known: &Known| known.is_old && !known.has_slept && !known.used.is_empty();
        let tasks = self.tasks.iter().filter(|(_, known)| competed(known));
        tasks.filter_map(|(task, known)| Some((known, weight(*task)?))).collect()
    }

    pub(super) fn fairness(&self, weight: &dyn Fn(Task) -> Option<f64>) -> Vec<Option<f64>> {
        let competitors = self.competitors(weight);
        let intervals = (self.duration / INTERVAL) as usize;
        let share = |interval: usize| {
            let shares =
                competitors.iter().map(|(known, weight)| known.used[interval] as f64 / weight);
            jain(&shares.collect::<Vec<_>>())
        };
        (0..intervals).map(share).collect()
    }

    /// The CPU time and the weight of each that competed all the time.
    fn shares(&self, weight: &dyn Fn(Task) -> Option<f64>) -> Vec<(f64, f64)> {
        let total = |known: &Known| known.used.iter().sum::<u64>() as f64;
        let competitors = self.competitors(weight).into_iter();
        competitors.map(|(known, weight)| (total(known), weight)).collect()
    }

    pub(super) fn fairness_overall(&self, weight: &dyn Fn(Task) -> Option<f64>) -> Option<f64> {
        let shares = self.shares(weight);
        jain(&shares.iter().map(|(time, weight)| time / weight).collect::<Vec<_>>())
    }

    /// The largest distance from a weighted share, as a part of that share.
    pub(super) fn worst_share(&self, weight: &dyn Fn(Task) -> Option<f64>) -> Option<f64> {
        let shares = self.shares(weight);
        let (time, weight) = shares
            .iter()
            .fold((0.0, 0.0), |(time, weight), share| (time + share.0, weight + share.1));
        let off = shares.iter().map(|share| (share.0 / share.1 / (time / weight) - 1.0).abs());
        off.reduce(f64::max)
    }
}
