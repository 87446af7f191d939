//! Every interleaving of a sleeper and its wakers, on the very code of [`sched::ParkState`].
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p sched --release --test 'loom_*'`.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use sched::park::Woken;
use sched::{ParkMode, ParkState, Phase, WakeMask};

/// A task, the condition it waits for, and the run queue of its CPU: how often it is queued.
struct Model {
    park: ParkState,
    ready: AtomicBool,
    queue: Mutex<usize>,
    enqueued: AtomicUsize,
}

impl Model {
    /// A task that runs.
    fn new() -> Arc<Self> {
        let park = ParkState::new();
        assert_eq!(park.wake(WakeMask::EVENT), Woken::Enqueue);
        park.set_runnable();
        park.set_on_cpu();
        let queue = Mutex::new(0);
        Arc::new(Self { park, ready: AtomicBool::new(false), queue, enqueued: AtomicUsize::new(0) })
    }

    /// One round of `block_current`: returns whether the task left its CPU.
    fn try_sleep(&self) -> bool {
        self.park.prepare(ParkMode::Interruptible);
        if self.ready.load(Ordering::Relaxed) {
            self.park.cancel();
            return false;
        }
        // `begin_switch`, then `finish` by the incoming task.
        let committed = {
            let _queue = self.queue.lock().unwrap();
            self.park.commit()
        };
        if committed {
            self.park.set_off_cpu();
        }
        committed
    }

    /// `Scheduler::wake`.
    fn wake(&self, sleeps: WakeMask) {
        if self.park.wake(sleeps) == Woken::Enqueue {
            self.park.await_off_cpu();
            let mut queue = self.queue.lock().unwrap();
            self.park.set_runnable();
            *queue += 1;
            self.enqueued.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// If the task sleeps although its condition is true, a wake-up was lost.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let model = Model::new();
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.ready.store(true, Ordering::Relaxed);
                model.wake(WakeMask::EVENT);
            })
        };
        let slept = model.try_sleep();
        waker.join().unwrap();
        let queued = *model.queue.lock().unwrap();
        assert_eq!(queued, usize::from(slept), "queued exactly if it left its CPU");
        assert_eq!(model.park.phase(), Phase::Runnable);
    });
}

/// Two wakers, for different reasons: the task is queued exactly once.
#[test]
fn two_wakers_queue_once() {
    let mut builder = loom::model::Builder::new();
    // Three threads: all interleavings with up to three preemptions.
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let model = Model::new();
        let wakers = [WakeMask::EVENT, WakeMask::SIGNAL].map(|sleeps| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.ready.store(true, Ordering::Relaxed);
                model.wake(sleeps);
            })
        });
        let slept = model.try_sleep();
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_eq!(*model.queue.lock().unwrap(), usize::from(slept));
    });
}

/// The waker does not queue the task before its CPU has left its stack.
#[test]
fn a_woken_task_is_off_its_cpu_before_it_is_queued() {
    loom::model(|| {
        let model = Model::new();
        let stack = Arc::new(loom::cell::UnsafeCell::new(0));
        let waker = {
            let (model, stack) = (Arc::clone(&model), Arc::clone(&stack));
            thread::spawn(move || {
                if model.park.wake(WakeMask::EVENT) == Woken::Enqueue {
                    model.park.await_off_cpu();
                    // Whoever resumes the task reads what the switch saved: loom reports a race.
                    stack.with(|saved| assert_eq!(unsafe { *saved }, 1));
                }
            })
        };
        model.park.prepare(ParkMode::Interruptible);
        if model.park.commit() {
            stack.with_mut(|saved| unsafe { *saved = 1 });
            model.park.set_off_cpu();
        }
        waker.join().unwrap();
    });
}

/// A task that is preempted while it prepares to sleep stays queued; its waker adds no second entry.
#[test]
fn preemption_while_parking_does_not_commit() {
    loom::model(|| {
        let model = Model::new();
        let waker = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.ready.store(true, Ordering::Relaxed);
                model.wake(WakeMask::EVENT);
            })
        };
        model.park.prepare(ParkMode::Killable);
        {
            // `Leave::Preempt`: put back without a commit.
            *model.queue.lock().unwrap() += 1;
            model.park.set_off_cpu();
        }
        {
            // Picked again.
            *model.queue.lock().unwrap() -= 1;
            model.park.set_on_cpu();
        }
        let sleeps = !model.ready.load(Ordering::Relaxed) && {
            let _queue = model.queue.lock().unwrap();
            model.park.commit()
        };
        if sleeps {
            model.park.set_off_cpu();
        }
        waker.join().unwrap();
        assert_eq!(*model.queue.lock().unwrap(), usize::from(sleeps));
    });
}
