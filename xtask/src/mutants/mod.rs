//! `make mutants`: takes single lines out of the memory manager and of the signal protocol, and expects the tests to notice.
//!
//! A test that passes says little if it would pass without the code that it is about. Each [`Mutant`] of [`list`] and [`signals`] removes
//! one flush, one push-down, one reference, one wake-up or one look, in a copy of the tree below the target directory, and names
//! the one test that must fail then. A text that is not found exactly once, a mutant that does not compile, and a test that fails
//! without any mutant are errors: the list has to be mended then.

mod list;
mod scratch;
mod signals;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::progress::Stage;
use crate::tests::Counts;
use list::MUTANTS;
use scratch::{Scratch, Verdict};

/// How long a test may take without a mutant.
const PATIENCE: Duration = Duration::from_secs(600);
/// With a mutant a test hangs, and so counts as failed, that takes so many times what it takes without one: without some
/// flushes it would wait for ever. What makes both slow does not make a mutant look killed.
const HANGS: u32 = 20;
/// But nothing hangs that takes less.
const BRIEF: Duration = Duration::from_secs(20);

/// One change that must not go unnoticed.
struct Mutant {
    /// The invariant that it breaks (of `docs/cow-tree.md`, where it has a number), and how.
    name: &'static str,
    /// The file, from the top of the tree.
    file: &'static str,
    /// What is in it, exactly once.
    text: &'static str,
    /// What is put there instead.
    instead: &'static str,
    /// What must fail then.
    killer: Killer,
}

/// A test of a crate.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Killer {
    /// The crate.
    package: &'static str,
    kind: Kind,
    /// The test program, `tests/*.rs` of the crate; of the kernel, whose library it is, the crate's name.
    program: &'static str,
    /// The test in it.
    test: &'static str,
}

/// How a test is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On the simulated machine.
    Simulation,
    /// As a loom model.
    Model,
    /// In the kernel's library: a unit test, whose path is its name.
    Kernel,
}

/// Applies every mutant whose name contains `only`, one after the other.
///
/// # Errors
/// If a text is not where the list says, a mutant does not compile, or a test fails without one.
pub fn run(only: &str) -> anyhow::Result<ExitCode> {
    let all = MUTANTS.iter().chain(signals::MUTANTS);
    let chosen: Vec<&Mutant> = all.filter(|mutant| mutant.name.contains(only)).collect();
    if chosen.is_empty() {
        bail!("no mutant's name contains {only:?}");
    }
    let scratch = Scratch::prepare()?;
    for mutant in &chosen {
        scratch.find(mutant)?;
    }
    let times = unchanged(&scratch, &chosen)?;
    let stage = Stage::begin(format!("{} mutants", chosen.len()));
    let mut counts = Counts::default();
    for mutant in chosen {
        stage.note(mutant.name);
        let killer = mutant.killer;
        let usual = times.iter().find(|(other, _)| *other == killer).map(|&(_, time)| time);
        let patience = usual.map_or(BRIEF, |time| BRIEF.max(time * HANGS));
        let verdict = scratch.with(mutant, |scratch| scratch.test(killer, patience))?;
        if verdict == Verdict::Passed {
            stage.print(&format!(
                "SURVIVED {}: {}::{} passes",
                mutant.name, killer.program, killer.test
            ));
            counts += Counts { failed: 1, ..Counts::default() };
        } else {
            let how = if verdict == Verdict::Hung { "hangs" } else { "fails" };
            stage.print(&format!(
                "killed {}: {}::{} {how}",
                mutant.name, killer.program, killer.test
            ));
            counts += Counts { passed: 1, ..Counts::default() };
        }
    }
    stage.finish(counts);
    Ok(counts.conclude())
}

/// Runs each killer on the tree as it is: all must pass. The value says how long each took.
fn unchanged(scratch: &Scratch, chosen: &[&Mutant]) -> anyhow::Result<Vec<(Killer, Duration)>> {
    let stage = Stage::begin("the same tests without a mutant");
    let mut done: Vec<(Killer, Duration)> = Vec::new();
    for mutant in chosen {
        if done.iter().any(|(killer, _)| *killer == mutant.killer) {
            continue;
        }
        stage.note(mutant.killer.test);
        let start = Instant::now();
        if scratch.test(mutant.killer, PATIENCE)? != Verdict::Passed {
            bail!("{}::{} fails without a mutant", mutant.killer.program, mutant.killer.test);
        }
        done.push((mutant.killer, start.elapsed()));
    }
    stage.finish(format!("{} tests pass", done.len()));
    Ok(done)
}
