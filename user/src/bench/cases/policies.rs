//! What a switch costs under each scheduling policy, on kernels that have policies to choose from.

use std::fs;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::Case;
use crate::bench::clock::ticks;
use crate::bench::cpus;
use crate::bench::memory::SharedWords;
use crate::bench::meter::{Meter, Plan, Row};
use crate::bench::process::{Child, partner};
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[Case {
    name: "policy_yield",
    description: "sched_yield(2) among eight processes of one processor that all do so, under a \
                  scheduling policy.",
    run: policies,
}];

/// Skein's choice of the fair class's policy: all names, the active one in brackets.
const POLICY: &str = "/proc/sys/kernel/sched_policy";
/// How many processes take turns.
const PROCESSES: u64 = 8;
/// Turns of one sample.
const TURNS: u64 = 400;
const PLAN: Plan = Plan { samples: 100, operations: TURNS };
/// Turns before anything is measured.
const SETTLED: u64 = 2000;

/// The active policy, chosen again when this is dropped.
struct Restored(String);

impl Drop for Restored {
    fn drop(&mut self) {
        // The rows are printed; the next case says it if the kernel does not take the policy any more.
        let _ = fs::write(POLICY, &self.0);
    }
}

fn policies(meter: &Meter) -> Result<(), Failure> {
    let text = fs::read_to_string(POLICY).map_err(|_| "there are no policies to choose from")?;
    let bare = |word: &str| word.trim_matches(['[', ']']).to_owned();
    let active = text.split_whitespace().find(|word| word.starts_with('['));
    let _restored = Restored(active.map(bare).ok_or("no policy is active")?);
    for name in text.split_whitespace().map(bare) {
        meter.row(&name, |row| {
            fs::write(POLICY, &name)?;
            yields(row)
        });
    }
    Ok(())
}

/// Measures a turn: with eight processes there are about as many switches.
fn yields(row: &Row) -> Result<(), Failure> {
    let cpu = cpus::first(1)?[0];
    cpus::pin(cpu)?;
    let words = SharedWords::new(1)?;
    let turns = words.word(0);
    let turn = || {
        turns.fetch_add(1, Ordering::Relaxed);
        sys!(SYS_sched_yield).map(drop)
    };
    let others = (1..PROCESSES).map(|_| partner(cpu, || Ok(turn()?)));
    let others: Vec<Child> = others.collect::<Result<_, Errno>>()?;
    let turn_until = |end: u64| -> Result<(), Errno> {
        while turns.load(Ordering::Relaxed) < end {
            turn()?;
        }
        Ok(())
    };
    turn_until(SETTLED)?;
    row.sample(PLAN, || {
        let (before, start) = (turns.load(Ordering::Relaxed), ticks());
        turn_until(before + TURNS)?;
        let taken = row.clock().since(start);
        // The others had the processor when the last turn was over, and went on.
        Ok(taken * TURNS / (turns.load(Ordering::Relaxed) - before))
    })?;
    others.into_iter().try_for_each(Child::finish)?;
    Ok(())
}
