//! What threads and processes have used (getrusage(2)). Key type: [`Usage`].

use arch::addr::PAGE_SIZE;
use arch::time::Nanos;

use super::family;
use super::process::Process;
use super::thread::Thread;

/// CPU time, faults and switches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Nanos,
    /// CPU time in kernel mode.
    pub system: Nanos,
    /// Page faults that needed no I/O.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Switches away because the thread slept.
    pub voluntary_switches: u64,
    /// Switches away because it was preempted.
    pub involuntary_switches: u64,
    /// The most memory that was resident, in bytes.
    pub peak_resident: u64,
}

impl Usage {
    /// Adds what `other` has used; of peaks the higher one counts.
    pub fn add(&mut self, other: &Self) {
        self.user = self.user.saturating_add(other.user);
        self.system = self.system.saturating_add(other.system);
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.peak_resident = self.peak_resident.max(other.peak_resident);
    }

    /// CPU time in both modes.
    #[must_use]
    pub fn cpu_time(&self) -> Nanos {
        self.user.saturating_add(self.system)
    }

    /// What `thread` has used so far.
    #[must_use]
    pub fn of_thread(thread: &Thread) -> Self {
        let statistics = thread.scheduling.task.statistics();
        let (user, system) = thread.scheduling.cpu_times();
        Self {
            user,
            system,
            minor_faults: thread.minor_faults(),
            major_faults: 0,
            voluntary_switches: statistics.voluntary_switches,
            involuntary_switches: statistics.involuntary_switches,
            peak_resident: 0,
        }
    }

    /// What the children that `process` waited for, and theirs, have used.
    #[must_use]
    pub fn of_children(process: &Process) -> Self {
        family::lock().ro(&process.kinship).children_usage
    }

    /// The CPU time of a process. Allowed in interrupt handlers.
    #[must_use]
    pub fn cpu_time_of(process: &Process) -> Nanos {
        Self::times_of(process).cpu_time()
    }

    /// The time of a process in user mode. Allowed in interrupt handlers.
    #[must_use]
    pub fn user_time_of(process: &Process) -> Nanos {
        Self::times_of(process).user
    }

    /// What the threads of `process` have used so far, without the peak of its memory. Allowed with locks held.
    pub(super) fn times_of(process: &Process) -> Self {
        let mut sum = Self::default();
        process.for_each_thread(|thread| sum.add(&Self::of_thread(thread)));
        sum.add(&process.ended_threads.lock());
        sum
    }

    /// What the threads of `process`, ended ones included, have used so far.
    #[must_use]
    pub fn of_process(process: &Process) -> Self {
        let mut sum = Self::times_of(process);
        sum.peak_resident = sum.peak_resident.max(peak_resident(process));
        sum
    }
}

/// The most memory that has been resident in the process's present space, in bytes; 0 without one.
pub(super) fn peak_resident(process: &Process) -> u64 {
    process.space().map_or(0, |space| space.usage().peak_resident * PAGE_SIZE as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_times_and_keep_the_higher_peak() {
        let mut sum = Usage { user: Nanos(5), peak_resident: 9, ..Usage::default() };
        sum.add(&Usage { user: Nanos(2), system: Nanos(1), peak_resident: 4, ..Usage::default() });
        assert_eq!((sum.cpu_time(), sum.peak_resident), (Nanos(8), 9));
    }
}
