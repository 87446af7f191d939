//! When memory has run out: whom to kill. Entry point: [`kill_one`].
//!
//! The choice is Linux's: the process with the most resident memory, shifted by its adjustment
//! (`/proc/PID/oom_score_adj`, proc(5)). Allocates nothing.

use alloc::sync::Arc;

use super::id::Pid;
use super::process::Process;
use super::status::{CoreFile, ExitStatus};
use super::table;
use crate::log_error;
use crate::signal::{Signal, send};

/// The adjustment of processes that are never killed.
const NEVER: i32 = -1000;

/// What came of looking for a victim.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killed {
    /// A process was killed; its memory comes back as it ends.
    One(Pid),
    /// One that was killed before has not ended yet: wait for it.
    Pending,
    /// There is nobody left who may be killed.
    Nobody,
}

/// Kills the process that frees the most memory, out of `total_pages`, and says so in the log.
pub fn kill_one(total_pages: u64) -> Killed {
    let mut victim: Option<(i64, Arc<Process>)> = None;
    let mut pending = false;
    table::visit_processes(|process| {
        let Some(space) = process.space() else { return };
        if process.signals().exit.is_some() {
            pending = true;
        }
        let score = score(space.usage().resident, process.out_of_memory_adjustment(), total_pages);
        let Some(score) = score.filter(|_| process.pid() != Pid::INIT) else { return };
        if victim.as_ref().is_none_or(|(best, _)| score > *best) {
            victim = Some((score, process.clone()));
        }
    });
    if pending {
        return Killed::Pending;
    }
    let Some((_, process)) = victim else { return Killed::Nobody };
    let resident = process.space().map_or(0, |space| space.usage().resident);
    let name = process.main_thread().map(|thread| thread.name());
    let pid = process.pid();
    match name {
        Some(name) => {
            log_error!("out of memory: killed process {pid} ({name}), {resident} pages resident")
        }
        None => log_error!("out of memory: killed process {pid}, {resident} pages resident"),
    }
    let status = ExitStatus::Killed(Signal::SIGKILL, CoreFile::Absent);
    send::begin_exit(&mut process.signals(), status);
    Killed::One(pid)
}

/// How much killing it is worth: resident pages, shifted by thousandths of all memory. `None` for never.
fn score(resident: u64, adjustment: i32, total: u64) -> Option<i64> {
    let shift = i64::from(adjustment) * (total / 1000) as i64;
    (adjustment != NEVER).then(|| (resident as i64 + shift).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_goes_first_and_adjustments_shift() {
        assert!(score(200, 0, 10_000) > score(100, 0, 10_000));
        assert!(score(100, 500, 10_000) > score(200, 0, 10_000));
        assert_eq!(score(1_000_000, NEVER, 10_000), None);
        assert_eq!(score(5, -900, 10_000), Some(1));
    }
}
