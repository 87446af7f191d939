//! A process for loom: real threads' words and sleeps, the kernel's locks replaced by loom's. All decisions are those of
//! the crates [`signals`] and [`sched`].
#![allow(dead_code, reason = "each test program uses a part of it")]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex, MutexGuard};
use sched::park::Woken;
use sched::{ParkMode, ParkState, WakeMask};
use signals::duty::{self, Duty};
use signals::{
    AttentionWord, Crew, Member, Part, Signal, SignalSet, StopNews, StopState, stop, taker,
};

/// A thread as its senders see it.
pub struct Task {
    number: usize,
    pub park: ParkState,
    pub attention: AttentionWord,
    /// How often a waker put it into a run queue.
    pub queued: AtomicUsize,
    /// Its processor was interrupted.
    pub interrupted: AtomicBool,
}

impl Member for Task {
    fn attention(&self) -> &AttentionWord {
        &self.attention
    }

    /// The kernel's `wake_and_interrupt`.
    fn wake(&self, sleeps: WakeMask) {
        if self.park.wake(sleeps) == Woken::Enqueue {
            self.park.await_off_cpu();
            self.park.set_runnable();
            self.queued.fetch_add(1, Ordering::Relaxed);
        }
        if self.park.is_on_cpu() {
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }
}

/// What a thread has under the lock.
#[derive(Default)]
pub struct Own {
    pub blocked: SignalSet,
    pub awaited: SignalSet,
    pub pending: SignalSet,
    exiting: bool,
    owes_stop: bool,
    ending: Option<()>,
}

impl Part for Own {
    type Status = ();

    fn blocked(&self) -> SignalSet {
        self.blocked
    }
    fn awaited(&self) -> SignalSet {
        self.awaited
    }
    fn pending(&self) -> SignalSet {
        self.pending
    }
    fn is_exiting(&self) -> bool {
        self.exiting
    }
    fn set_exiting(&mut self) {
        self.exiting = true;
    }
    fn owes_stop(&self) -> bool {
        self.owes_stop
    }
    fn owes_stop_mut(&mut self) -> &mut bool {
        &mut self.owes_stop
    }
    fn has_fatal_fault(&self) -> bool {
        false
    }
    fn ending(&self) -> Option<()> {
        self.ending
    }
    fn ending_mut(&mut self) -> &mut Option<()> {
        &mut self.ending
    }
}

/// What the signal lock guards.
#[derive(Default)]
pub struct State {
    threads: Vec<(Arc<Task>, Own)>,
    pub pending: SignalSet,
    pub exit: Option<()>,
    pub stop: StopState,
    /// What the parent was told.
    pub told: Vec<StopNews>,
}

impl State {
    /// Tells the parent that the last thread has stopped, if it has.
    fn tell(&mut self, news: Option<StopNews>) {
        if let Some(news) = news {
            let all_arrived = self.threads.iter().all(|(_, own)| !own.owes_stop);
            assert!(all_arrived, "a stop is complete, and somebody has not stopped");
            self.told.push(news);
        }
    }
}

impl Crew for State {
    type Thread = Task;
    type Part = Own;

    fn threads(&self) -> impl Iterator<Item = &Task> {
        self.threads.iter().map(|(task, _)| &**task)
    }
    fn part<'a>(&'a self, thread: &'a Task) -> &'a Own {
        let found = self.threads.iter().find(|(task, _)| task.number == thread.number);
        &found.expect("it lives").1
    }
    fn part_mut<'a>(&'a mut self, thread: &'a Task) -> &'a mut Own {
        let found = self.threads.iter_mut().find(|(task, _)| task.number == thread.number);
        &mut found.expect("it lives").1
    }
    fn for_each(&mut self, mut change: impl FnMut(&Task, &mut Own)) {
        self.threads.iter_mut().for_each(|(task, own)| change(task, own));
    }
    fn shared_pending(&self) -> SignalSet {
        self.pending
    }
    fn discard(&mut self, signals: SignalSet) {
        self.pending = self.pending.difference(signals);
        self.for_each(|_, own| own.pending = own.pending.difference(signals));
    }
    fn exit(&self) -> Option<()> {
        self.exit
    }
    fn stop(&self) -> &StopState {
        &self.stop
    }
    fn stop_mut(&mut self) -> &mut StopState {
        &mut self.stop
    }
}

/// Where a thread of the model got to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It left its CPU in this kind of sleep.
    Asleep(ParkMode),
    /// It has nothing to do, and runs its program.
    UserMode,
    /// It ended.
    Gone,
}

/// A process and its threads.
pub struct Process {
    state: Mutex<State>,
    pub tasks: Vec<Arc<Task>>,
}

impl Process {
    /// A process of `count` threads, each of which runs in the kernel.
    pub fn new(count: usize) -> Arc<Self> {
        let tasks: Vec<Arc<Task>> = (0..count).map(|number| Arc::new(running(number))).collect();
        let threads = tasks.iter().map(|task| (Arc::clone(task), Own::default())).collect();
        Arc::new(Self { state: Mutex::new(State { threads, ..State::default() }), tasks })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }

    /// kill(2), in the order of the kernel's `send::post`.
    pub fn send(&self, signal: Signal) {
        let mut state = self.lock();
        if state.exit.is_some() {
            return;
        }
        stop::cancel_opposites(&mut *state, signal);
        if signal == Signal::SIGKILL {
            state.exit = Some(());
            duty::end_all(&mut *state);
        } else if signal != Signal::SIGCONT {
            state.pending.insert(signal);
            taker::wake(&*state, None, signal);
        }
    }

    /// The kernel's `mask::set`.
    pub fn set_mask(&self, task: &Task, mask: SignalSet) {
        let mut state = self.lock();
        let former = core::mem::replace(&mut state.part_mut(task).blocked, mask);
        taker::retarget(&*state, task, mask.difference(former));
        duty::refresh(&*state, task);
    }

    /// The kernel's `block_current`, up to the point where the thread has left its CPU. `None` if it was not to sleep.
    pub fn block(&self, task: &Task, mode: ParkMode, done: impl Fn() -> bool) -> Option<Place> {
        loop {
            let look = || (done() || task.attention.forbids(mode)).then_some(());
            if task.park.prepare_unless(mode, look).is_some() {
                return None;
            }
            if task.park.commit() {
                task.park.set_off_cpu();
                return Some(Place::Asleep(mode));
            }
        }
    }

    /// The end of one thread: `stop_taking_signals`, then `leave_process`.
    pub fn exit_thread(&self, task: &Task) -> Place {
        {
            let mut state = self.lock();
            taker::retire(&mut *state, task);
            let news = stop::arrive(&mut *state, task);
            state.tell(news);
        }
        self.lock().threads.retain(|(other, _)| other.number != task.number);
        Place::Gone
    }

    /// The signal loop, until the thread sleeps, ends or enters user mode.
    pub fn live(&self, task: &Task) -> Place {
        while task.attention.is_set() {
            let mut state = self.lock();
            match duty::next(&mut *state, task) {
                Duty::EndProcess(()) | Duty::EndThread(()) => {
                    drop(state);
                    return self.exit_thread(task);
                }
                Duty::Announce(news) => state.told.push(news),
                Duty::Park => {
                    let news = stop::arrive(&mut *state, task);
                    duty::refresh(&*state, task);
                    state.tell(news);
                    drop(state);
                    if let Some(place) = self.stay_stopped(task) {
                        return place;
                    }
                }
                Duty::Signals => {
                    if let Some(signal) = take_signal(&mut state, task) {
                        drop(state);
                        // Here the kernel asks whether the group is orphaned.
                        stop::begin(&mut *self.lock(), signal);
                    }
                }
            }
        }
        Place::UserMode
    }

    fn stay_stopped(&self, task: &Task) -> Option<Place> {
        self.block(task, ParkMode::Stopped, || stop::is_over(&*self.lock(), task))
    }

    /// With nobody else about: every thread goes on that can, until none can. Panics if one should have been told to.
    pub fn settle(&self, places: &mut [Place]) {
        let mut progress = true;
        while progress {
            progress = false;
            for (task, place) in self.tasks.iter().zip(places.iter_mut()) {
                let went_on = match *place {
                    Place::Asleep(_) if task.queued.swap(0, Ordering::Relaxed) > 0 => {
                        task.park.set_on_cpu();
                        *place = self.stay_stopped(task).unwrap_or_else(|| self.live(task));
                        true
                    }
                    Place::UserMode if task.attention.is_set() => {
                        assert!(
                            task.interrupted.swap(false, Ordering::Relaxed),
                            "its processor was not interrupted"
                        );
                        *place = self.live(task);
                        true
                    }
                    _ => false,
                };
                progress |= went_on;
            }
        }
    }
}

/// The end of `deliver::take`: the next signal, which is a stop signal or one without effect.
fn take_signal(state: &mut State, task: &Task) -> Option<Signal> {
    let deliverable = state.pending.difference(state.part(task).blocked);
    let signal = deliverable.lowest();
    if let Some(signal) = signal {
        state.pending.remove(signal);
        if SignalSet::STOP.contains(signal) {
            state.stop.permit();
        }
    }
    duty::refresh(&*state, task);
    signal.filter(|&signal| SignalSet::STOP.contains(signal))
}

/// A thread that is on a CPU.
fn running(number: usize) -> Task {
    let task = Task {
        number,
        park: ParkState::new(),
        attention: AttentionWord::new(),
        queued: AtomicUsize::new(0),
        interrupted: AtomicBool::new(false),
    };
    assert_eq!(task.park.wake(WakeMask::EVENT), Woken::Enqueue);
    task.park.set_runnable();
    task.park.set_on_cpu();
    task
}
