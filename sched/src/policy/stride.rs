//! Stride scheduling: shares in proportion to weights, by counting.
//!
//! After Waldspurger and Weihl, "Stride Scheduling" (1995). Each task has a *pass*, which grows with the time that it
//! runs, the slower the larger its weight is; the lowest pass runs next, for a fixed quantum. The global pass grows as
//! that of a task would that had all the weight; how far a task was from it when it left (its *remain*, kept in its
//! [`Memory`]) is where it starts when it comes back, at most a quantum behind.

use alloc::boxed::Box;

use arch::time::Nanos;

use super::{CounterKind, Event, Memory, Pick, Policy, PolicyKind, TaskView, Verdict, placement};
use crate::queue::KeyedQueue;
use crate::task::TaskId;

/// The quantum.
pub const SLICE: Nanos = Nanos::from_millis(4);
/// The weight at which a pass grows like real time.
const UNIT: i64 = 1024;

/// The policy's row in the table.
pub const KIND: PolicyKind = PolicyKind {
    name: "stride",
    about: "stride scheduling: shares in proportion to weights, in quanta of 4 ms",
    slice: SLICE,
    create: |_| Box::new(Stride::default()),
    select_cpu: placement::idle_near_last,
    counters: &[
        CounterKind { name: "quanta", unit: "quanta", about: "quanta that were used to the end" },
        CounterKind {
            name: "remains_cut",
            unit: "tasks",
            about: "tasks that came back owed more than a quantum, and got no more than that",
        },
    ],
};

/// A task and its pass.
#[derive(Clone, Copy, Debug)]
struct Client {
    pass: i64,
    task: TaskView,
}

impl Client {
    fn quantum(&self) -> Nanos {
        if self.task.slice > Nanos::ZERO { self.task.slice } else { SLICE }
    }

    fn virtual_time(&self, time: Nanos) -> i64 {
        time.0 as i64 * UNIT / i64::from(self.task.weight)
    }
}

/// The run queue of one CPU.
#[derive(Debug, Default)]
pub struct Stride {
    queue: KeyedQueue<(i64, TaskId), Client>,
    current: Option<Client>,
    /// What is left of the current quantum.
    left: Nanos,
    /// The pass of a task that had all the weight.
    global: i64,
    /// Sum of the weights, the current task's included.
    weight: i64,
    counters: [u64; 2],
}

impl Stride {
    fn join(&mut self, task: TaskView) -> Client {
        let mut client = Client { pass: 0, task };
        let quantum = client.virtual_time(client.quantum());
        let remain = task.memory.0[0] as i64;
        self.counters[1] += u64::from(remain < -quantum);
        client.pass = self.global + remain.max(-quantum);
        self.weight += i64::from(task.weight);
        client
    }

    fn part(&mut self, client: &Client) -> TaskView {
        self.weight -= i64::from(client.task.weight);
        let remain = client.pass - self.global;
        TaskView { memory: Memory([remain as u64, 0]), ..client.task }
    }
}

impl Policy for Stride {
    fn reserve(&mut self, tasks: usize) -> bool {
        self.queue.reserve(tasks)
    }

    fn enqueue(&mut self, task: &TaskView, event: Event) {
        let returning = matches!(event, Event::Preempted | Event::Yielded);
        let client = match self.current.take_if(|current| returning && current.task.id == task.id) {
            Some(mut current) => {
                if event == Event::Yielded {
                    // It gives the rest of its quantum away.
                    current.pass += current.virtual_time(self.left);
                }
                current
            }
            None => self.join(*task),
        };
        self.queue.push((client.pass, task.id), client);
    }

    fn pick(&mut self, _now: Nanos) -> Option<Pick> {
        let (_, client) = self.queue.pop()?;
        self.current = Some(client);
        self.left = client.quantum();
        Some(client.task.runs_for(self.left))
    }

    fn tick(&mut self, ran: Nanos) -> Verdict {
        let Some(current) = &mut self.current else { return Verdict::Reschedule };
        current.pass += current.virtual_time(ran);
        self.global += ran.0 as i64 * UNIT / self.weight.max(1);
        self.left = self.left.saturating_sub(ran);
        if self.left > Nanos::ZERO {
            return Verdict::Continue(self.left);
        }
        self.counters[0] += 1;
        self.left = current.quantum();
        Verdict::Reschedule
    }

    fn preempts(&mut self, _task: TaskId) -> bool {
        false
    }

    fn leave(&mut self, _event: Event) -> Memory {
        let Some(current) = self.current.take() else { return Memory::default() };
        self.part(&current).memory
    }

    fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        let client = self.queue.take(|client| client.task.id == task)?;
        Some(self.part(&client))
    }

    fn steal(&mut self, may_move: &dyn Fn(&TaskView) -> bool) -> Option<TaskView> {
        // Who has the highest pass would wait longest here.
        let movable = self.queue.iter().filter(|client| may_move(&client.task));
        let last = movable.max_by_key(|client| client.pass)?.task.id;
        self.remove(last)
    }

    fn drain(&mut self) -> Option<TaskView> {
        let (_, client) = self.queue.pop()?;
        Some(self.part(&client))
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn counters(&self) -> &[u64] {
        &self.counters
    }
}
