//! Every interleaving of a policy's replacement with a waker, a thief and a sleeper.
//!
//! As in `loom_steal`, the park protocol is the scheduler's own, and the run queues are loom's mutexes around lists; the
//! steps under each lock are those of `Scheduler::replace_policy`, `place`, `push` and `begin_switch`.
#![cfg(loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use sched::park::Woken;
use sched::{ParkMode, ParkState, WakeMask};

/// A queue: the number of its policy, the tasks that this policy holds, and who has the CPU.
#[derive(Default)]
struct Queue {
    generation: u32,
    /// The task, and the number of the policy that it was queued with.
    held: Vec<(u32, u32)>,
    current: Option<u32>,
}

struct Model {
    park: ParkState,
    queues: [Mutex<Queue>; 2],
}

impl Model {
    fn new() -> Arc<Self> {
        let queues = [Mutex::new(Queue::default()), Mutex::new(Queue::default())];
        Arc::new(Self { park: ParkState::new(), queues })
    }

    fn enqueue(queue: &mut Queue, task: u32) {
        queue.held.push((task, queue.generation));
    }

    /// `Scheduler::wake`.
    fn wake(&self, cpu: usize) {
        if self.park.wake(WakeMask::EVENT) == Woken::Enqueue {
            self.park.await_off_cpu();
            let mut queue = self.queues[cpu].lock().unwrap();
            self.park.set_runnable();
            Self::enqueue(&mut queue, 1);
        }
    }

    /// `Scheduler::replace_policy`: one CPU after the other, the old policy drained into the new one.
    fn replace(&self) {
        for queue in &self.queues {
            let mut queue = queue.lock().unwrap();
            queue.generation += 1;
            let drained = std::mem::take(&mut queue.held);
            for (task, _) in drained {
                Self::enqueue(&mut queue, task);
            }
        }
    }

    /// `Scheduler::push`: in transit the task is in nobody's queue.
    fn migrate(&self, from: usize, to: usize) {
        let taken = self.queues[from].lock().unwrap().held.pop();
        if let Some((task, _)) = taken {
            Self::enqueue(&mut self.queues[to].lock().unwrap(), task);
        }
    }

    /// `begin_switch` on an idle CPU.
    fn pick(&self, cpu: usize) -> bool {
        let mut queue = self.queues[cpu].lock().unwrap();
        let Some((task, generation)) = queue.held.pop() else { return false };
        assert_eq!(generation, queue.generation, "picked by a policy that does not know it");
        assert!(!self.park.is_on_cpu(), "a task runs on two CPUs");
        self.park.set_on_cpu();
        queue.current = Some(task);
        true
    }

    /// The task goes to sleep; returns whether it does.
    fn sleep(&self, cpu: usize) -> bool {
        self.park.prepare(ParkMode::Interruptible);
        let mut queue = self.queues[cpu].lock().unwrap();
        let sleeps = self.park.commit();
        if sleeps {
            queue.current = None;
            self.park.set_off_cpu();
        }
        sleeps
    }

    /// In how many places the task is; every queue's tasks are known to its present policy.
    fn places(&self) -> usize {
        let mut places = 0;
        for queue in &self.queues {
            let queue = queue.lock().unwrap();
            assert!(queue.held.iter().all(|(_, generation)| *generation == queue.generation));
            places += queue.held.len() + usize::from(queue.current.is_some());
        }
        places
    }
}

#[test]
fn a_waking_task_ends_up_with_the_new_policy() {
    loom::model(|| {
        let model = Model::new();
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake(0))
        };
        model.replace();
        waker.join().unwrap();
        assert_eq!(model.places(), 1);
    });
}

#[test]
fn a_migrating_task_is_neither_lost_nor_with_the_old_policy() {
    loom::model(|| {
        let model = Model::new();
        model.wake(0);
        let thief = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.migrate(0, 1))
        };
        model.replace();
        thief.join().unwrap();
        assert_eq!(model.places(), 1);
    });
}

#[test]
fn picking_sleeping_and_waking_go_on_during_a_replacement() {
    let mut builder = loom::model::Builder::new();
    // Three threads: all interleavings with up to three preemptions.
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let model = Model::new();
        model.wake(0);
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake(1))
        };
        let replacer = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.replace())
        };
        assert!(model.pick(0), "it is queued here");
        let slept = model.sleep(0);
        waker.join().unwrap();
        replacer.join().unwrap();
        let places = model.places();
        assert!(places == usize::from(!slept) || places == 1, "lost or duplicated");
    });
}
