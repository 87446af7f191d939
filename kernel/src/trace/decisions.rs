//! `record=decisions`: what every policy instance is told and answers, in the trace, so that it can be decided again
//! on the host (`make replay`).
//!
//! [`recorded`] gives a policy's row whose instances are [`Recorder`]s around the policy's own. A word of the conversation is one
//! record of [`Event::Decision`], for `enqueue` two; [`records::decision`] has its head and the kinds.

use alloc::boxed::Box;

use arch::cpu::CpuId;
use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use arch::time::Nanos;
use records::decision::{Head, Kind};
use sched::TaskId;
use sched::policy::{
    Event as Told, Memory, POLICIES, Pick, Policy, PolicyKind, Setup, TaskView, Verdict,
};

use super::{Event, record_words};

/// How many policies there may be.
const MOST: usize = 16;

/// Set by the command line, before the scheduler is made.
static WANTED: AtomicBool = AtomicBool::new(false);

/// How often a policy was instantiated for the boot CPU: tells instances of one queue apart. Relaxed: the instances of a
/// change of policy are made by one CPU.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Has all instances made from now on recorded.
pub fn enable() {
    // Relaxed: set on the boot CPU before any policy is made.
    WANTED.store(true, Ordering::Relaxed);
}

/// `kind`, or the row that is the same but recorded, if that was asked for.
#[must_use]
pub fn recorded(kind: &'static PolicyKind) -> &'static PolicyKind {
    static RECORDED: [PolicyKind; MOST] = [
        row::<0>(),
        row::<1>(),
        row::<2>(),
        row::<3>(),
        row::<4>(),
        row::<5>(),
        row::<6>(),
        row::<7>(),
        row::<8>(),
        row::<9>(),
        row::<10>(),
        row::<11>(),
        row::<12>(),
        row::<13>(),
        row::<14>(),
        row::<15>(),
    ];
    const { assert!(POLICIES.len() <= MOST, "more policies than can be recorded") };
    if !WANTED.load(Ordering::Relaxed) {
        return kind;
    }
    let position = POLICIES.iter().position(|other| other.name == kind.name);
    position.map_or(kind, |position| &RECORDED[position])
}

/// The recorded row of policy number `N`; of the first where there is none.
const fn row<const N: usize>() -> PolicyKind {
    let number = if N < POLICIES.len() { N } else { 0 };
    PolicyKind { create: create::<N>, ..POLICIES[number] }
}

fn create<const N: usize>(setup: Setup) -> Box<dyn Policy> {
    let kind = POLICIES.get(N).unwrap_or(&POLICIES[0]);
    if setup.cpu == CpuId::BOOT {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    let queue = Head::queue_of(setup.cpu.index(), GENERATION.load(Ordering::Relaxed));
    let recorder = Recorder { inner: (kind.create)(setup), queue };
    recorder.say(Kind::Begin, 0, 0, setup.seed, 0);
    Box::new(recorder)
}

/// A policy instance that says what it hears and answers.
struct Recorder {
    inner: Box<dyn Policy>,
    queue: u16,
}

impl Recorder {
    fn say(&self, kind: Kind, flag: u8, task: u64, first: u64, second: u64) {
        // Numbers of tasks that are alive at a time do not come near to half a word.
        let head = Head { kind, flag, queue: self.queue, task: task as u32 };
        record_words(Event::Decision, head.to_word(), first, second);
    }

    /// A task that was given up, or none.
    fn say_given(&self, kind: Kind, given: Option<&TaskView>) {
        let task = given.map_or(0, |view| view.id.0);
        self.say(kind, u8::from(given.is_some()), task, 0, 0);
    }
}

impl Policy for Recorder {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.inner.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Told) {
        let words = u64::from(task.weight) | u64::from(task.batch) << 32;
        self.say(Kind::Enqueue, event as u8, task.id.0, words, task.slice.0);
        self.say(Kind::Memory, 0, task.id.0, task.memory.0[0], task.memory.0[1]);
        self.inner.enqueue(task, event);
    }

    fn pick(&mut self, now: Nanos) -> Option<Pick> {
        let pick = self.inner.pick(now);
        let (task, slice) = pick.map_or((0, 0), |pick| (pick.task.0, pick.slice.0));
        self.say(Kind::Pick, u8::from(pick.is_some()), task, slice, now.0);
        pick
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let verdict = self.inner.tick(ran);
        match verdict {
            Verdict::Continue(left) => self.say(Kind::Tick, 0, 0, ran.0, left.0),
            Verdict::Reschedule => self.say(Kind::Tick, 1, 0, ran.0, 0),
        }
        verdict
    }

    fn preempts(&mut self, task: TaskId) -> bool {
        let answer = self.inner.preempts(task);
        self.say(Kind::Preempts, answer.into(), task.0, 0, 0);
        answer
    }

    fn leave(&mut self, event: Told) -> Memory {
        let memory = self.inner.leave(event);
        self.say(Kind::Leave, event as u8, 0, memory.0[0], memory.0[1]);
        memory
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let removed = self.inner.remove(task);
        self.say(Kind::Remove, removed.is_some().into(), task.0, 0, 0);
        removed
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        let stolen = self.inner.steal(may_move);
        self.say_given(Kind::Steal, stolen.as_ref());
        stolen
    }

    fn drain(&mut self) -> Option<TaskView> {
        let drained = self.inner.drain();
        self.say_given(Kind::Drain, drained.as_ref());
        drained
    }

    fn counters(&self) -> &[u64] {
        self.inner.counters()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_row_is_the_same_policy() {
        let kind = &POLICIES[1];
        assert!(core::ptr::eq(recorded(kind), kind));
        enable();
        let row = recorded(kind);
        assert!(!core::ptr::eq(row, kind));
        assert_eq!((row.name, row.slice), (kind.name, kind.slice));
        let setup = Setup { cpu: CpuId::BOOT, seed: 1 };
        let mut policy = (row.create)(setup);
        assert!(policy.reserve(4) && policy.is_empty());
        assert_eq!(policy.pick(Nanos(5)), None);
    }
}
