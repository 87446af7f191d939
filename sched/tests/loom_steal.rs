//! Every interleaving of a waker that queues a task and a thief that steals it.
//!
//! The park protocol and the task's atomics are the scheduler's own; the run queues are loom's mutexes around lists,
//! because the spin locks under the real ones are not loom's.
#![cfg(loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use sched::park::Woken;
use sched::{ParkMode, ParkState, WakeMask};

struct Model {
    park: ParkState,
    queues: [Mutex<Vec<u32>>; 2],
}

impl Model {
    /// A sleeping task and two CPUs.
    fn new() -> Arc<Self> {
        let queues = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
        Arc::new(Self { park: ParkState::new(), queues })
    }

    fn wake(&self, cpu: usize) {
        if self.park.wake(WakeMask::EVENT) == Woken::Enqueue {
            self.park.await_off_cpu();
            let mut queue = self.queues[cpu].lock().unwrap();
            self.park.set_runnable();
            queue.push(1);
        }
    }

    /// CPU `thief`, idle, steals from `victim` and runs what it got.
    fn steal(&self, thief: usize, victim: usize) -> bool {
        let own = self.queues[thief].lock().unwrap();
        let Ok(mut other) = self.queues[victim].try_lock() else { return false };
        let Some(_task) = other.pop() else { return false };
        drop(other);
        assert!(!self.park.is_on_cpu(), "a task runs on two CPUs");
        self.park.set_on_cpu();
        drop(own);
        true
    }
}

#[test]
fn a_task_is_run_by_at_most_one_of_two_thieves() {
    loom::model(|| {
        let model = Model::new();
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake(0))
        };
        let thief = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.steal(1, 0))
        };
        waker.join().unwrap();
        let stolen = thief.join().unwrap();
        let left = model.queues[0].lock().unwrap().len();
        assert_eq!(left + usize::from(stolen), 1, "lost or duplicated");
    });
}

#[test]
fn a_stolen_task_can_sleep_and_be_woken_again_at_once() {
    loom::model(|| {
        let model = Model::new();
        model.wake(0);
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.wake(0))
        };
        assert!(model.steal(1, 0));
        model.park.prepare(ParkMode::Interruptible);
        let slept = {
            let _queue = model.queues[1].lock().unwrap();
            model.park.commit()
        };
        if slept {
            model.park.set_off_cpu();
        }
        waker.join().unwrap();
        // The waker came before the announcement (no effect), between (no sleep), or after the commit (queued).
        let queued = model.queues[0].lock().unwrap().len();
        assert!(queued <= usize::from(slept));
    });
}
