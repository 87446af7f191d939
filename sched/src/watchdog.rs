//! Whether the policy lets every task run: what a queue notes down for it, and when a task counts as starved.
//!
//! A fair task is starved when it has waited for longer than the [patience](crate::Scheduler::set_patience), stretched
//! by how small its share is and by how many wait with it, *and* the policy was asked often enough meanwhile. Time that
//! more urgent classes took does not count: no policy can help that. Neither does one long pause of the whole machine,
//! during which the policy was asked once at most.
//!
//! A contended queue is looked through every [`PERIOD`], at ticks, a long one in parts; no timer of its own keeps an idle CPU
//! awake.

use alloc::sync::Arc;

use arch::cpu::CpuId;
use arch::time::Nanos;

use crate::parameters::Nice;
use crate::run_queue::{Class, RunQueue, WINDOW};
use crate::task::Schedulable;

/// How long a task may wait at nice 0, unless the kernel says otherwise.
pub const PATIENCE: Nanos = Nanos::from_secs(10);
/// How often a contended queue is looked through.
const PERIOD: Nanos = Nanos::from_millis(250);
/// How soon the next part of a long queue is looked through.
const STEP: Nanos = Nanos::from_millis(5);
/// How often the policy is asked, at least, before a task counts as starved: so often, and twice for each that waits.
const CHANCES: u32 = 8;

/// When a task began to wait, in the queue's own terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mark {
    /// In time that more urgent classes left over.
    pub(crate) since: Nanos,
    /// How often the policy had been asked.
    pub(crate) chances: u32,
}

/// What one queue notes down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// Time that classes above the fair one took.
    urgent: Nanos,
    /// How often the policy was asked.
    chances: u32,
    /// When the queue is to be looked through.
    at: Nanos,
    /// The slot from which on.
    cursor: u32,
}

impl Watch {
    /// A task is queued that was not there.
    pub(crate) fn mark(&self, now: Nanos) -> Mark {
        Mark { since: now.saturating_sub(self.urgent), chances: self.chances }
    }

    /// The queue is contended from now on.
    pub(crate) fn begin(&mut self, now: Nanos) {
        if self.at < now {
            self.at = now.saturating_add(PERIOD);
        }
    }

    /// The running task, of `class`, was charged for `ran`.
    pub(crate) fn charge(&mut self, class: Class, ran: Nanos) {
        if class > Class::Fair {
            self.urgent = self.urgent.saturating_add(ran);
        } else {
            self.chances = self.chances.wrapping_add(1);
        }
    }

    /// When the queue is to be looked through.
    pub(crate) fn at(&self) -> Nanos {
        self.at
    }

    /// Whether the queue is to be looked through now; if so, it is again a period later.
    pub(crate) fn is_due(&mut self, now: Nanos) -> bool {
        let due = self.at <= now;
        if due {
            self.at = now.saturating_add(PERIOD);
        }
        due
    }
}

/// A task that its policy does not let run.
pub struct Starved<T> {
    /// The task.
    pub task: Arc<T>,
    /// Where it waits.
    pub cpu: CpuId,
    /// How long it has waited while the fair class had the CPU.
    pub waited: Nanos,
    /// How many tasks wait there.
    pub queued: usize,
}

impl<T: Schedulable> RunQueue<T> {
    /// Whether a task has starved, as far as the next part of the queue shows.
    pub(crate) fn sees_starved(&mut self, patience: Nanos, slice: Nanos, now: Nanos) -> bool {
        let from = self.watch.cursor;
        let (starved, next) = self.starved(from, patience, slice, now);
        let found = starved.is_some();
        self.watch.cursor = next.unwrap_or(0);
        if next.is_some() {
            self.watch.at = now.saturating_add(STEP);
        }
        found
    }

    /// The task that has starved longest in the part of the queue that begins with slot `from`, given how long one may wait
    /// at nice 0; and where the next part begins, if there is one.
    pub(crate) fn starved(
        &self,
        from: u32,
        patience: Nanos,
        slice: Nanos,
        now: Nanos,
    ) -> (Option<Starved<T>>, Option<u32>) {
        let queued = self.queued();
        let here = self.watch.mark(now);
        let waiting = self.waiting_from(from).filter(|queued| queued.terms.class == Class::Fair);
        let starved = waiting.filter_map(|entry| {
            let core = entry.task.task();
            let mark = core.mark();
            let waited = here.since.saturating_sub(mark.since);
            let stretch = Nice::default().weight().div_ceil(core.parameters().weight().max(1));
            let turns = slice.0.saturating_mul(2 * queued as u64);
            let bearable = patience.0.saturating_add(turns).saturating_mul(u64::from(stretch));
            let asked = here.chances.wrapping_sub(mark.chances);
            let is_starved = waited.0 > bearable && asked >= CHANCES + 2 * queued as u32;
            is_starved.then_some((waited, entry))
        });
        let worst = starved.max_by_key(|(waited, _)| *waited);
        let next = from.saturating_add(WINDOW as u32);
        let worst = worst.map(|(waited, entry)| Starved {
            task: Arc::clone(&entry.task),
            cpu: self.cpu,
            waited,
            queued,
        });
        (worst, (next < self.slots.limit()).then_some(next))
    }
}
