//! Processors: which there are, where a thread runs, and how threads on several of them meet.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::report::Failure;
use crate::sys;

/// Words of an affinity mask: 1024 processors.
type Mask = [u64; 16];

/// The processors that this process could use before it kept any thread on one of them.
///
/// # Errors
/// Those of `sched_getaffinity`.
pub fn allowed() -> Result<Vec<usize>, Errno> {
    static ALLOWED: OnceLock<Result<Vec<usize>, Errno>> = OnceLock::new();
    let read = || {
        let mut mask: Mask = [0; 16];
        sys!(SYS_sched_getaffinity, 0, size_of::<Mask>(), &mut mask)?;
        Ok((0..mask.len() * 64).filter(|cpu| mask[cpu / 64] & 1 << (cpu % 64) != 0).collect())
    };
    ALLOWED.get_or_init(read).clone()
}

/// The first `count` processors.
///
/// # Errors
/// If there are fewer.
pub fn first(count: usize) -> Result<Vec<usize>, Failure> {
    let mut cpus = allowed()?;
    if cpus.len() < count {
        return Err(format!("needs {count} processors, there are {}", cpus.len()).into());
    }
    cpus.truncate(count);
    Ok(cpus)
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// Those of `sched_setaffinity`.
pub fn pin(cpu: usize) -> Result<(), Errno> {
    let mut mask: Mask = [0; 16];
    mask[cpu / 64] = 1 << (cpu % 64);
    sys!(SYS_sched_setaffinity, 0, size_of::<Mask>(), &mask).map(drop)
}

/// Waits, without sleeping, until the word has at least this value.
///
/// Each turn says `PAUSE`, at which QEMU's `-icount` lets the next processor run.
pub fn spin_until(word: &AtomicU64, value: u64) {
    // Acquire: pairs with the release by which the word was raised, so that what came before it is seen.
    while word.load(Ordering::Acquire) < value {
        spin_loop();
    }
}

/// A place where threads on different processors start together, again and again.
#[derive(Debug)]
pub struct StartingLine<'a> {
    arrived: &'a AtomicU64,
    runners: u64,
}

impl<'a> StartingLine<'a> {
    /// For so many runners, who share the word; it must be zero.
    #[must_use]
    pub fn new(arrived: &'a AtomicU64, runners: usize) -> Self {
        Self { arrived, runners: runners as u64 }
    }

    /// Waits until every runner has come to start `round`; rounds are counted from zero.
    pub fn wait(&self, round: u64) {
        // Release, with the acquire in `spin_until`: what a runner did before is done when the round starts.
        self.arrived.fetch_add(1, Ordering::Release);
        spin_until(self.arrived, self.runners * (round + 1));
    }
}
