//! What a run queue counts: the columns of `/proc/schedstat`, and the time that its CPU idled while its next task waited.

use arch::time::Nanos;

/// One CPU's counts since it came online. Written under its queue's lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuStatistics {
    /// Calls of the scheduler because of `sched_yield(2)`.
    pub yields: u64,
    /// Calls of the scheduler.
    pub calls: u64,
    /// Switches to the CPU's own thread, as nothing else was there.
    pub idled: u64,
    /// Tasks that were woken to here.
    pub woken: u64,
    /// Those of them that were woken from here.
    pub woken_locally: u64,
    /// Time that tasks ran here.
    pub run_time: Nanos,
    /// Time that tasks waited before they ran here.
    pub queue_delay: Nanos,
    /// Switches to tasks.
    pub slices: u64,
    /// Time that the CPU idled although the task that it ran next was waiting already.
    pub idle_while_waiting: Nanos,
}

impl CpuStatistics {
    /// A task runs now that waited for `delay`; the CPU has idled since `idle_since`, if it has.
    pub(crate) fn started(&mut self, delay: Nanos, idle_since: Option<Nanos>, now: Nanos) {
        self.slices += 1;
        self.queue_delay.0 += delay.0;
        if let Some(since) = idle_since {
            let idled = now.saturating_sub(since).min(delay);
            self.idle_while_waiting = self.idle_while_waiting.saturating_add(idled);
        }
    }
}
