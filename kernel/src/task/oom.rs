//! When memory has run out: whom to kill. Entry point: [`kill_one`].
//!
//! The choice is Linux's: the process that holds the most memory, shifted by its adjustment
//! (`/proc/PID/oom_score_adj`, proc(5)). What counts is resident pages and page tables, as there, and besides what the process
//! keeps the kernel from freeing: full sockets and pipes, unlinked files, timers, queued signals, kernel stacks, the map of areas. That is
//! counted when it is needed, by looking at what is open, so nobody pays for it before. Processes that share one address space go
//! together, as nothing comes back before the last of them has ended. Allocates nothing.
//!
//! Memory that is on its way back is waited for, instead of killing somebody else as well: that of a process which is ending,
//! and that of an address space which is being taken apart ([`releasing`]). But not for ever, for one that is ending may be waiting for a lock
//! whose holder waits for memory: see [`Search`].

use alloc::sync::{Arc, Weak};

use arch::addr::PAGE_SIZE;
use arch::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::thread::KernelStack;
use mm::AddressSpace;

use super::id::Pid;
use super::name::Name;
use super::process::Process;
use super::status::{CoreFile, ExitStatus};
use super::table;
use crate::coredump::gather;
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

/// Whom a search may pass over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// While a process is ending, nobody else is killed.
    Patient,
    /// Those that are ending have been waited for long enough: the largest of the others is killed.
    PastEnding,
}

/// How many times memory began to be released, and how many times that was done.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// Runs `release`, which gives an address space up. Who finds memory exhausted meanwhile waits for it.
pub(super) fn releasing(release: impl FnOnce()) {
    // Before the space leaves its process, where `kill_one` looks for it; sequentially consistent, so that one of the two is seen.
    BEGUN.fetch_add(1, Ordering::SeqCst);
    release();
    DONE.fetch_add(1, Ordering::SeqCst);
}

/// A moment before an attempt to get memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(DONE.load(Ordering::SeqCst))
    }

    /// Whether memory is being released, or has been since this moment: another attempt may succeed.
    fn saw_release(self) -> bool {
        BEGUN.load(Ordering::SeqCst) != self.0
    }
}

/// Somebody looks for a process to kill.
static SEARCHING: AtomicBool = AtomicBool::new(false);

/// Kills the process that frees the most memory, out of `total_pages`, and says so in the log. `before` is a moment before
/// the attempt that failed. Where several threads find memory exhausted at once, one looks and the others wait for what comes of it.
pub fn kill_one(total_pages: u64, before: Moment, search: Search) -> Killed {
    // Acquire and release: who looks next sees whom the last one killed.
    if SEARCHING.swap(true, Ordering::Acquire) {
        return Killed::Pending;
    }
    let killed = search_and_kill(total_pages, before, search);
    SEARCHING.store(false, Ordering::Release);
    killed
}

fn search_and_kill(total_pages: u64, before: Moment, search: Search) -> Killed {
    let mut victim: Option<Victim> = None;
    let mut pending = false;
    table::visit_processes(|process| {
        let Some(space) = process.space() else { return };
        let state = process.signals();
        if state.exit.is_some() {
            // Its core file would take even more memory.
            gather::abort(&state);
            pending = true;
            return;
        }
        drop(state);
        let held = Held::by(process, &space);
        let score = score(held.pages(), process.out_of_memory_adjustment(), total_pages);
        let Some(score) = score.filter(|_| process.pid() != Pid::INIT) else { return };
        if victim.as_ref().is_none_or(|best| score > best.score) {
            victim = Some(Victim {
                score,
                held,
                process: process.clone(),
                space: Arc::downgrade(&space),
            });
        }
    });
    if search == Search::Patient && (pending || before.saw_release()) {
        return Killed::Pending;
    }
    let Some(victim) = victim else { return Killed::Nobody };
    kill(&victim);
    Killed::One(victim.process.pid())
}

/// Whom a search has found.
struct Victim {
    score: i64,
    held: Held,
    process: Arc<Process>,
    /// Weak, so that its memory comes back when the process gives it up.
    space: Weak<AddressSpace>,
}

/// Kills the victim, and all processes that run in the same address space (vfork(2), `CLONE_VM`): it is freed when the last of
/// them has ended. The first process is spared even then.
fn kill(victim: &Victim) {
    let Victim { held, process, space, .. } = victim;
    let name = process.main_thread().map_or(Name::new(b"?"), |thread| thread.name());
    let pid = process.pid();
    log_error!("out of memory: killed process {pid} ({name}), {held}");
    let status = ExitStatus::Killed(Signal::SIGKILL, CoreFile::Absent);
    send::begin_exit(&mut process.signals(), status);
    table::visit_processes(|other| {
        let shares =
            other.space().is_some_and(|its| core::ptr::eq(Arc::as_ptr(&its), space.as_ptr()));
        if shares && other.pid() != Pid::INIT && !Arc::ptr_eq(other, process) {
            log_error!("out of memory: killed process {}, which shares its memory", other.pid());
            send::begin_exit(&mut other.signals(), status);
        }
    });
}

/// How much memory a process holds, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    /// Resident pages.
    resident: u64,
    /// Page tables.
    tables: u64,
    /// Kernel memory that it keeps from being freed.
    kernel: u64,
}

impl Held {
    /// What `process`, whose memory is `space`, holds. What it shares with others counts whole: whom to kill is a guess.
    fn by(process: &Process, space: &AddressSpace) -> Self {
        // Of one thread's table: those of the others are nearly always the same one.
        let files = process.main_thread().and_then(|thread| thread.try_files());
        let files = files.map_or(0, |files| files.held_memory());
        let (signals, threads) = {
            let state = process.signals();
            (state.held_memory(), state.thread_count)
        };
        let stacks = threads * KernelStack::SIZE;
        let usage = space.usage();
        let kernel = files + signals + stacks + process.timers.held_memory() + usage.area_bytes();
        Self {
            resident: usage.resident,
            tables: space.table_frames(),
            kernel: (kernel / PAGE_SIZE) as u64,
        }
    }

    fn pages(&self) -> u64 {
        self.resident + self.tables + self.kernel
    }
}

impl core::fmt::Display for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { resident, tables, kernel } = self;
        write!(f, "{resident} pages resident, {tables} in tables, {kernel} in the kernel")
    }
}

/// What `/proc/PID/oom_score` shows of `process` on a machine of `total_pages`: 666 for holding nothing, and two thirds of a
/// point for each thousandth of memory, as Linux scales it.
#[must_use]
pub fn points(process: &Process, total_pages: u64) -> u64 {
    let Some(space) = process.space() else { return 0 };
    let pages = Held::by(process, &space).pages();
    let adjustment = process.out_of_memory_adjustment();
    let Some(score) = score(pages, adjustment, total_pages) else { return 0 };
    let thousandths = score * 1000 / total_pages.max(1) as i64;
    ((1000 + thousandths) * 2 / 3).max(0) as u64
}

/// How much killing it is worth: pages held, shifted by thousandths of all memory. `None` for never.
fn score(pages: u64, adjustment: i32, total: u64) -> Option<i64> {
    let shift = i64::from(adjustment) * (total / 1000) as i64;
    (adjustment != NEVER).then(|| pages as i64 + shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_comes_back_is_waited_for() {
        let before = Moment::now();
        releasing(|| assert!(before.saw_release()));
        assert!(before.saw_release(), "the attempt may have failed just before");
        let after = Moment::now();
        assert!(!after.saw_release());
    }

    #[test]
    fn the_largest_goes_first_and_adjustments_shift() {
        assert!(score(200, 0, 10_000) > score(100, 0, 10_000));
        assert!(score(100, 500, 10_000) > score(200, 0, 10_000));
        assert_eq!(score(1_000_000, NEVER, 10_000), None);
        assert!(score(5, -900, 10_000) < score(0, 0, 10_000));
    }
}
