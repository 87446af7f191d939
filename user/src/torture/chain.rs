//! Chains of forks without writes: each process is a copy of a copy of a copy, and nobody touches what all share.

use std::fmt;

use super::process::{self, Ended, fail};
use super::region::Region;
use crate::random::Random;
use crate::{ok, sys};

/// Generations that are all alive at the end.
const DEEP: u32 = 250;
/// Generations of which two are alive at a time.
const LONG: u32 = 3000;
/// Operations that prepare the memory.
const STEPS: usize = 60;

/// What the chains were.
pub(super) struct Chains;

impl fmt::Display for Chains {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "chains of {DEEP} and of {LONG} generations")
    }
}

/// Runs both chains over memory that `seed` has prepared.
pub(super) fn run(seed: u64) -> Chains {
    // In a process of its own, which ends with the memory.
    let deep = process::fork(|| {
        let region = prepared(seed);
        descend(&region, DEEP);
        region.check();
    });
    expect_success(deep, "the deep chain");
    let long = process::fork(|| {
        process::adopt_orphans();
        let region = prepared(seed);
        if let Err(error) = process::fork(|| hand_on(&region, LONG)) {
            fail(&format!("fork of the long chain: {error}"));
        }
        let mut generations = 0;
        while let Some((pid, ended)) = process::wait_for_any() {
            if ended != Ended::Exited(0) {
                fail(&format!("process {pid} of the long chain: {ended:?}"));
            }
            generations += 1;
        }
        if generations != LONG + 1 {
            fail(&format!("{generations} generations of {}", LONG + 1));
        }
        region.check();
    });
    expect_success(long, "the long chain");
    Chains
}

fn prepared(seed: u64) -> Region {
    let mut region = Region::new(0);
    let mut random = Random::new(seed);
    (0..STEPS).for_each(|_| region.step(&mut random));
    region
}

fn expect_success(child: Result<i32, nix::errno::Errno>, what: &str) {
    match child {
        Ok(pid) => {
            let ended = process::wait_for(pid);
            if ended != Ended::Exited(0) {
                fail(&format!("{what}: {ended:?}"));
            }
        }
        Err(error) => fail(&format!("fork of {what}: {error}")),
    }
}

/// Forks without the C library, which would write here and there.
fn fork_bare() -> usize {
    match sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
        Ok(pid) => pid,
        Err(error) => fail(&format!("fork in a chain: {error}")),
    }
}

/// Every generation waits for the next; the last one looks at the memory.
fn descend(region: &Region, left: u32) {
    if left == 0 {
        region.check();
        return;
    }
    let pid = fork_bare();
    if pid == 0 {
        descend(region, left - 1);
        process::exit(0);
    }
    let ended = process::wait_for(pid as i32);
    if ended != Ended::Exited(0) {
        fail(&format!("generation {left} of the deep chain: {ended:?}"));
    }
}

/// Every generation ends as soon as it has made the next; some look at the memory.
fn hand_on(region: &Region, left: u32) {
    let mut left = left;
    while left > 0 {
        if left.is_multiple_of(100) {
            region.check();
        }
        if fork_bare() != 0 {
            ok!(SYS_exit_group, 0);
        }
        left -= 1;
    }
    region.check();
}
