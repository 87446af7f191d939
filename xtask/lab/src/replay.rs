//! The kernel's scheduling decisions, decided again: [`replay`].
//!
//! In a kernel booted with `record=decisions`, each queue's policy instance reports what it is told and what it answers, a
//! [`Word`] each. A policy sees plain data and has no clock, so an instance of the same source, told the same in the same
//! order, must answer the same. If it does not, the first answer that differs is named.
//!
//! A word is one or two records of the trace: `docs/trace.md` has their layout.

use std::collections::BTreeMap;
use std::fmt;

use arch::cpu::CpuId;
use arch::time::Nanos;
use records::decision::{CPU_BITS, Head, Kind};
use sched::TaskId;
use sched::policy::{Event, Memory, Policy, PolicyKind, Setup, TaskView, Verdict};

use crate::trace::{Trace, What};

/// One record of the conversation, as it is in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The queue: its CPU in the low [`CPU_BITS`] bits, and which policy's instance of it.
    pub queue: usize,
    /// What kind of record.
    pub kind: Kind,
    /// A byte more: the event, or a flag.
    pub flag: u8,
    /// The low half of a task's number.
    pub task: u32,
    /// The first value.
    pub first: u64,
    /// The second value.
    pub second: u64,
}

impl Word {
    /// Reads a record: `head` holds the kind, the flag, the queue and the task.
    #[must_use]
    pub fn read(head: u64, first: u64, second: u64) -> Option<Self> {
        let Head { kind, flag, queue, task } = Head::from_word(head)?;
        Some(Self { queue: queue.into(), kind, flag, task, first, second })
    }
}

/// The event with this number.
fn event(number: u8) -> Option<Event> {
    const ALL: [Event; 8] = [
        Event::Spawned,
        Event::Woken,
        Event::Preempted,
        Event::Yielded,
        Event::Migrated,
        Event::Blocked,
        Event::MigratedAway,
        Event::Exited,
    ];
    ALL.get(usize::from(number)).copied()
}

/// Where a policy answered something else than in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// When, in nanoseconds from the beginning of the trace.
    pub time: u64,
    /// On which CPU's queue.
    pub queue: usize,
    /// How many answers agreed before, on all queues.
    pub agreed: u64,
    /// What was asked.
    pub question: String,
    /// What the kernel's instance answered.
    pub kernel: String,
    /// What this one answers.
    pub here: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue & ((1 << CPU_BITS) - 1);
        let Self { time, agreed, question, kernel, here, .. } = self;
        let milliseconds = *time as f64 / 1e6;
        write!(
            f,
            "after {agreed} equal answers, at {milliseconds:.6} ms on CPU {queue}: {question}: \
             the kernel answered {kernel}, the replay {here}"
        )
    }
}

/// What came out of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All answers were equal; so many.
    Equal(u64),
    /// The first that was not.
    Diverged(Box<Divergence>),
}

/// One queue's instance, decided again.
struct Instance {
    policy: Box<dyn Policy>,
    /// The first half of what is told of a task, until its memory follows.
    half: Option<Word>,
}

/// Has the instances of `kind` decide again what the trace recorded.
///
/// # Errors
/// If the trace does not hold a conversation from its beginning, or was recorded under another policy.
pub fn replay(trace: &Trace, kind: &PolicyKind) -> anyhow::Result<Outcome> {
    let mut instances: BTreeMap<usize, Instance> = BTreeMap::new();
    let mut agreed = 0;
    for entry in &trace.entries {
        let What::Decision(word) = &entry.what else { continue };
        if word.kind == Kind::Begin {
            let setup =
                Setup { cpu: CpuId::new(word.queue & ((1 << CPU_BITS) - 1)), seed: word.first };
            let mut policy = (kind.create)(setup);
            anyhow::ensure!(policy.reserve(1 << 16), "no memory for the replay");
            instances.insert(word.queue, Instance { policy, half: None });
            continue;
        }
        // Without its beginning nothing is known of a queue.
        let Some(instance) = instances.get_mut(&word.queue) else {
            anyhow::bail!(
                "the beginning of CPU {}'s queue was lost ({} records were); boot with a larger \
                 trace=",
                word.queue,
                trace.lost
            );
        };
        match instance.hear(word)? {
            None => {}
            Some((_, kernel, here)) if kernel == here => agreed += 1,
            Some((question, kernel, here)) => {
                let divergence = Divergence {
                    time: entry.time,
                    queue: word.queue,
                    agreed,
                    question,
                    kernel,
                    here,
                };
                return Ok(Outcome::Diverged(Box::new(divergence)));
            }
        }
    }
    anyhow::ensure!(agreed > 0, "the trace holds no decisions: boot with record=decisions");
    Ok(Outcome::Equal(agreed))
}

/// A question, the kernel's answer, and the one given here.
type Answer = (String, String, String);

impl Instance {
    /// Tells the policy `word`, and compares the answers, if it is a question.
    fn hear(&mut self, word: &Word) -> anyhow::Result<Option<Answer>> {
        let had =
            |answer: bool, task: u32| if answer { format!("task {task}") } else { "none".into() };
        let is_set = word.flag != 0;
        Ok(match word.kind {
            Kind::Begin => None,
            Kind::Enqueue => {
                self.half = Some(*word);
                None
            }
            Kind::Memory => self.second_half(word)?,
            Kind::Pick => {
                let show = |task: String, slice: u64| format!("{task} for {slice} ns");
                let kernel = show(had(is_set, word.task), word.first);
                let pick = self.policy.pick(Nanos(word.second));
                let here = show(
                    had(pick.is_some(), pick.map_or(0, |pick| pick.task.0 as u32)),
                    pick.map_or(0, |pick| pick.slice.0),
                );
                Some(("pick".into(), kernel, here))
            }
            Kind::Tick => {
                let show = |go_on: bool, left: u64| {
                    if go_on { format!("go on for {left} ns") } else { "reschedule".into() }
                };
                let here = match self.policy.tick(Nanos(word.first)) {
                    Verdict::Continue(left) => show(true, left.0),
                    Verdict::Reschedule => show(false, 0),
                };
                let question = format!("tick after {} ns", word.first);
                Some((question, show(!is_set, word.second), here))
            }
            Kind::Preempts => {
                let here = self.policy.preempts(TaskId(word.task.into()));
                let question = format!("does task {} preempt?", word.task);
                Some((question, is_set.to_string(), here.to_string()))
            }
            Kind::Leave => {
                let event = event(word.flag).unwrap_or(Event::Blocked);
                let here = self.policy.leave(event);
                let kernel = Memory([word.first, word.second]);
                Some((format!("leave ({event:?})"), format!("{kernel:?}"), format!("{here:?}")))
            }
            Kind::Remove => {
                let here = self.policy.remove(TaskId(word.task.into())).is_some();
                Some((format!("remove task {}", word.task), is_set.to_string(), here.to_string()))
            }
            Kind::Steal | Kind::Drain => self.give_up(word, is_set),
        })
    }

    /// Whom to give up depends on affinities that only the kernel knows: who was given up there must be there here.
    fn give_up(&mut self, word: &Word, was_given: bool) -> Option<Answer> {
        if !was_given {
            return None;
        }
        let here = self.policy.remove(TaskId(word.task.into())).is_some();
        let question = format!("give up task {}", word.task);
        Some((question, "true".into(), here.to_string()))
    }

    fn second_half(&mut self, word: &Word) -> anyhow::Result<Option<Answer>> {
        let Some(half) = self.half.take() else { anyhow::bail!("a memory without its task") };
        let view = TaskView {
            id: TaskId(half.task.into()),
            slot: 0,
            weight: half.first as u32,
            batch: half.first >> 32 & 1 != 0,
            slice: Nanos(half.second),
            memory: Memory([word.first, word.second]),
        };
        let event = event(half.flag).unwrap_or(Event::Migrated);
        self.policy.enqueue(&view, event);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Entry;

    /// The conversation of an instance that was given two tasks and picked task `picked` for `slice`.
    fn conversation(picked: u32, slice: u64) -> Trace {
        let word = |kind, task, first| Word { queue: 512, kind, flag: 1, task, first, second: 0 };
        let words = [
            word(Kind::Begin, 0, 7),
            word(Kind::Enqueue, 1, 1024),
            word(Kind::Memory, 1, 0),
            word(Kind::Enqueue, 2, 1024),
            word(Kind::Memory, 2, 0),
            word(Kind::Pick, picked, slice),
        ];
        let entry = |word| Entry { time: 5, cpu: 0, what: What::Decision(word) };
        Trace { cpus: 1, entries: words.map(entry).to_vec(), ..Trace::default() }
    }

    fn diverged(trace: &Trace) -> Divergence {
        match replay(trace, &sched::policy::round_robin::KIND) {
            Ok(Outcome::Diverged(divergence)) => *divergence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_answers_are_counted_and_another_one_is_named() {
        let here = diverged(&conversation(1, 0)).here;
        let slice = here.strip_prefix("task 1 for ").and_then(|rest| rest.strip_suffix(" ns"));
        let slice = slice.and_then(|slice| slice.parse().ok()).expect("round-robin picks task 1");
        let same = replay(&conversation(1, slice), &sched::policy::round_robin::KIND);
        assert_eq!(same.unwrap(), Outcome::Equal(1));
        let text = diverged(&conversation(2, slice)).to_string();
        assert!(text.contains("on CPU 0: pick: the kernel answered task 2"), "{text}");
    }

    #[test]
    fn without_its_beginning_a_conversation_is_refused() {
        let mut trace = conversation(1, 0);
        trace.entries.remove(0);
        assert!(replay(&trace, &sched::policy::round_robin::KIND).is_err());
        assert!(replay(&Trace::default(), &sched::policy::round_robin::KIND).is_err());
    }
}
