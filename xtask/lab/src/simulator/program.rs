//! What the steps of a load do: [`Machine::go_on`].

use loads::Step;
use sched::Leave;

use super::machine::Machine;
use crate::trace::What;

/// What became of a step.
enum Done {
    /// It is over.
    Yes,
    /// It uses the CPU for so many nanoseconds, and is over then.
    Works(u64),
    /// It gives the CPU up, and is over when the task runs again.
    Leaves(Leave),
    /// It waits, and has to be tried again when the task runs again.
    Waits,
}

impl Machine<'_> {
    /// Takes `task`, which runs on `cpu` and has no work left, through its steps until it works (`None`) or has a reason to
    /// leave the CPU.
    pub(super) fn go_on(&mut self, task: usize, cpu: usize) -> Option<Leave> {
        loop {
            let state = &mut self.tasks[task];
            let group = &self.load.groups[state.group];
            if std::mem::take(&mut state.is_in_step) {
                state.step += 1;
            }
            if state.step == group.steps.len() {
                state.step = 0;
                state.rounds += 1;
                if group.rounds.is_some_and(|rounds| state.rounds >= u64::from(rounds)) {
                    self.end(task, cpu);
                    return Some(Leave::Exit);
                }
            }
            let step = group.steps[self.tasks[task].step];
            match self.perform(task, cpu, step) {
                Done::Yes => self.tasks[task].step += 1,
                Done::Works(time) => {
                    let state = &mut self.tasks[task];
                    (state.left, state.is_in_step) = (time.max(1), true);
                    return None;
                }
                Done::Leaves(leave) => {
                    self.tasks[task].is_in_step = true;
                    return Some(leave);
                }
                Done::Waits => return Some(Leave::Block),
            }
        }
    }

    fn perform(&mut self, task: usize, cpu: usize, step: Step) -> Done {
        match step {
            Step::Run(span) => {
                Done::Works(span.draw(&mut self.tasks[task].chance).as_nanos() as u64)
            }
            Step::Sleep(span) => {
                let time = span.draw(&mut self.tasks[task].chance).as_nanos() as u64;
                self.wake_at(self.now + time, task);
                Done::Leaves(Leave::Block)
            }
            Step::Every(period) => self.await_period(task, period.as_nanos() as u64),
            Step::Yield => Done::Leaves(Leave::Yield),
            Step::Lock(lock) => self.lock(task, lock),
            Step::Unlock(lock) => self.unlock(task, cpu, lock),
            Step::Send(channel) => {
                self.channels[channel].tokens += 1;
                if let Some(waiter) = self.channels[channel].waiters.pop_front() {
                    self.wake(waiter, cpu);
                }
                Done::Yes
            }
            Step::Receive(channel) => {
                let channel = &mut self.channels[channel];
                if channel.tokens > 0 {
                    channel.tokens -= 1;
                    return Done::Yes;
                }
                channel.waiters.push_back(task);
                Done::Waits
            }
            Step::Spawn(group) => {
                self.tasks[task].children += 1;
                let index = self.tasks.iter().filter(|other| other.group == group).count();
                self.start(group, index, Some(task), cpu);
                Done::Yes
            }
            Step::Join if self.tasks[task].children == 0 => Done::Yes,
            Step::Join => {
                self.tasks[task].joins = true;
                Done::Waits
            }
        }
    }

    /// Sleeps until the next multiple of `period` after the task's start. One that has passed already was missed.
    fn await_period(&mut self, task: usize, period: u64) -> Done {
        let state = &mut self.tasks[task];
        // One period for each round: being late does not shift those that follow.
        let due = state.started + (state.rounds + state.missed + 1) * period;
        if due <= self.now {
            let late = (self.now - due) / period + 1;
            state.missed += late;
            return Done::Yes;
        }
        self.wake_at(due, task);
        Done::Leaves(Leave::Block)
    }

    fn lock(&mut self, task: usize, lock: usize) -> Done {
        let lock = &mut self.locks[lock];
        if lock.holder.is_none() {
            lock.holder = Some(task);
        }
        // Who waited owns it when woken.
        if lock.holder == Some(task) {
            return Done::Yes;
        }
        lock.waiters.push_back(task);
        Done::Waits
    }

    fn unlock(&mut self, task: usize, cpu: usize, lock: usize) -> Done {
        let lock = &mut self.locks[lock];
        if lock.holder == Some(task) {
            lock.holder = lock.waiters.pop_front();
            if let Some(next) = lock.holder {
                self.wake(next, cpu);
            }
        }
        Done::Yes
    }

    /// The end of a task: tells the one that started it.
    fn end(&mut self, task: usize, cpu: usize) {
        self.tasks[task].has_ended = true;
        let number = self.tasks[task].task.number;
        self.record(cpu, What::Exit { task: number });
        let Some(parent) = self.tasks[task].parent else { return };
        self.tasks[parent].children -= 1;
        if self.tasks[parent].children == 0 && std::mem::take(&mut self.tasks[parent].joins) {
            self.wake(parent, cpu);
        }
    }
}
