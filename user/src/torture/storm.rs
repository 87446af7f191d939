//! Families of processes, with threads, that change their memory at random and fork while they do.

use std::fmt;
use std::time::Instant;

use super::options::Options;
use super::process::{self, Ended, FAILED, fail};
use super::region::Region;
use crate::random::Random;
use crate::{pthread, sys};

/// Threads of a process, at most. Each has the slot of its number.
const THREADS: usize = 3;
/// Generations below the first process of a family.
const DEPTH: u32 = 3;
/// Operations of a thread in its life.
const STEPS: usize = 120;

/// What a storm did.
pub(super) struct Storm {
    families: usize,
}

impl fmt::Display for Storm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} families of processes", self.families)
    }
}

/// Has families run side by side until `end`, each with a seed of its own.
pub(super) fn run(options: &Options, seed: &mut u64, end: Instant) -> Storm {
    let mut families = 0;
    let mut alive: Vec<(i32, u64)> = Vec::new();
    loop {
        while alive.len() < options.processes && (Instant::now() < end || families == 0) {
            *seed = seed.wrapping_add(1);
            let own = *seed;
            match process::fork(|| live(own)) {
                Ok(pid) => alive.push((pid, own)),
                Err(error) => fail(&format!("fork of a family: {error}")),
            }
            families += 1;
        }
        let Some((pid, ended)) = process::wait_for_any() else { break };
        let family = alive.iter().position(|(known, _)| *known == pid);
        let seed = family.map(|index| alive.swap_remove(index).1);
        match (seed, ended) {
            // Orphans of those that were killed on purpose may end in any way but this one.
            (None, Ended::Exited(FAILED)) | (Some(_), Ended::Killed(_)) => {
                fail(&format!("process {pid}: {ended:?}"))
            }
            (Some(seed), Ended::Exited(status)) if status != 0 => {
                fail(&format!("the family with seed {seed} ended with status {status}"))
            }
            _ => {}
        }
    }
    Storm { families }
}

/// The first process of a family.
fn live(seed: u64) {
    let threads = 1 + Random::new(seed).below(THREADS);
    std::thread::scope(|scope| {
        for slot in 0..threads {
            scope.spawn(move || {
                let random =
                    Random::new(seed.wrapping_mul(THREADS as u64).wrapping_add(slot as u64));
                Thread { slot, threads, region: Region::new(slot), random, depth: DEPTH }
                    .live(STEPS);
            });
        }
    });
}

/// A thread with its memory. Others of its process have theirs in other slots.
struct Thread {
    slot: usize,
    /// Threads of its process when that was forked.
    threads: usize,
    region: Region,
    random: Random,
    /// Generations that may still follow.
    depth: u32,
}

impl Thread {
    fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.below(40) {
                0 if self.depth > 0 => self.fork_and_check(),
                1 if self.depth > 0 => self.fork_and_kill(),
                2 => {
                    let _ = sys!(SYS_sched_yield);
                }
                _ => self.region.step(&mut self.random),
            }
        }
        self.region.check();
    }

    /// A child sees what was there when it was forked, whatever parent and child do afterwards.
    fn fork_and_check(&mut self) {
        let seed = self.random.bits();
        let child = process::fork(|| self.be_child(seed));
        let pid = match child {
            Ok(pid) => pid,
            Err(error) => fail(&format!("fork: {error}")),
        };
        (0..5).for_each(|_| self.region.step(&mut self.random));
        self.region.check();
        let ended = process::wait_for(pid);
        if ended != Ended::Exited(0) {
            fail(&format!("child {pid} of a family: {ended:?}"));
        }
    }

    fn be_child(&mut self, seed: u64) {
        self.region.check();
        self.random = Random::new(seed);
        self.depth -= 1;
        let others = (0..self.threads).filter(|slot| *slot != self.slot);
        if self.random.below(2) == 0 {
            // The memory of the parent's other threads, which this process does not have: shared, and in no known state.
            others.for_each(Region::remove);
            self.threads = 1;
            self.with_second_thread();
        } else {
            self.live(STEPS / 4);
        }
    }

    /// Goes on with another thread beside this one.
    fn with_second_thread(&mut self) {
        let slot = (self.slot + 1) % THREADS;
        let random = Random::new(self.random.bits());
        let mut second = Thread { slot, threads: 1, region: Region::new(slot), random, depth: 0 };
        // Children must not take their sibling's memory for their own.
        let depth = std::mem::replace(&mut self.depth, 0);
        let own = || self.live(STEPS / 4);
        if let Err(error) = pthread::beside(move || second.live(STEPS / 4), own) {
            fail(&format!("a second thread: {error}"));
        }
        self.depth = depth;
    }

    /// A child that is killed in the middle of its work.
    fn fork_and_kill(&mut self) {
        let seed = self.random.bits();
        let child = process::fork(|| {
            self.depth = 0;
            self.random = Random::new(seed);
            loop {
                self.live(STEPS);
            }
        });
        let pid = match child {
            Ok(pid) => pid,
            Err(error) => fail(&format!("fork: {error}")),
        };
        (0..3).for_each(|_| self.region.step(&mut self.random));
        if let Err(error) = sys!(SYS_kill, pid, libc::SIGKILL) {
            fail(&format!("kill: {error}"));
        }
        let ended = process::wait_for(pid);
        if !matches!(ended, Ended::Killed(libc::SIGKILL)) {
            fail(&format!("child {pid}, which was killed: {ended:?}"));
        }
    }
}
