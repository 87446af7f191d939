//! Every interleaving of a waiter that leaves, because it was woken or gives up, and a waker that has found it in the list, on the very
//! code of [`sched::Stand`]: the waker never touches a waiter whose function has returned.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use sched::Stand;

/// A list with room for one waiter.
#[derive(Default)]
struct World {
    linked: Mutex<bool>,
    stand: Stand,
    /// What is waited for. Relaxed: what waker and waiter do not order, nothing does.
    ready: AtomicUsize,
    /// The function that the waiter belongs to has returned.
    gone: AtomicBool,
}

impl World {
    fn linked() -> Arc<Self> {
        let world = Self::default();
        *world.linked.lock().expect("no panic") = true;
        Arc::new(world)
    }

    /// As `WaitQueue::wake`.
    fn wake(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
        let mut linked = self.linked.lock().expect("no panic");
        if core::mem::take(&mut *linked) {
            self.stand.choose();
            // The waker still needs the waiter: to find its thread, and wake it.
            assert!(!self.gone.load(Ordering::Relaxed), "a waiter is touched that is gone");
            self.stand.release();
        }
    }

    /// As dropping a `Membership`, and returning. Says whether the waiter was woken.
    fn leave(&self) -> bool {
        let woken = self.stand.is_woken();
        if woken {
            assert!(self.ready.load(Ordering::Relaxed) > 0, "woken before there is anything");
            self.stand.await_release();
        } else {
            *self.linked.lock().expect("no panic") = false;
        }
        self.gone.store(true, Ordering::Relaxed);
        woken
    }

    /// As waiting on after a wake-up that was for nothing: joins the list again.
    fn join(&self) {
        let mut linked = self.linked.lock().expect("no panic");
        if !*linked {
            self.stand.begin();
            *linked = true;
        }
    }
}

#[test]
fn a_waiter_outlives_what_its_waker_does_with_it() {
    loom::model(|| {
        let world = World::linked();
        let wakers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.wake())
        });
        world.leave();
        wakers.into_iter().for_each(|waker| waker.join().expect("joined"));
    });
}

#[test]
fn a_waiter_that_joins_again_is_woken_again() {
    loom::model(|| {
        let world = World::linked();
        let waker = {
            let world = world.clone();
            thread::spawn(move || {
                world.wake();
                world.wake();
            })
        };
        if world.stand.is_woken() {
            world.join();
        }
        world.leave();
        waker.join().expect("joined");
    });
}
