//! The simulator: a load on the kernel's own scheduler, in virtual time.
//!
//! What decides is `sched::Scheduler` as the kernel has it, classes, placement, balancing and policy included; the simulator
//! plays the CPUs and the tasks. Nothing depends on the host: one thread, one queue of events ordered by time and
//! then by number, chance from the seed alone. So the same arguments give the same bytes.
//!
//! - [`task`]: a simulated task and its place in its load;
//! - [`machine`]: CPUs, switching, and what the scheduler's answers ask for;
//! - [`program`]: what each step of a load does.
//!
//! Virtual time knows no caches and no memory. A switch costs [`SWITCH_COST`], everything else in the kernel nothing.

mod machine;
mod program;
mod task;

use anyhow::{Context, ensure};
use loads::Load;
use sched::policy::{POLICIES, PolicyKind};

use crate::run::{Place, Run};
use machine::Machine;

/// What it costs a task, in nanoseconds, to be switched to.
pub const SWITCH_COST: u64 = 1000;

/// The policy called `name`.
///
/// # Errors
/// If there is none; the message names those that are there.
pub fn policy(name: &str) -> anyhow::Result<&'static PolicyKind> {
    let names: Vec<&str> = POLICIES.iter().map(|kind| kind.name).collect();
    let found = POLICIES.iter().find(|kind| kind.name == name);
    found.with_context(|| format!("there is no policy `{name}`; there are {}", names.join(", ")))
}

/// Runs `load` under `policy` on `cpus` CPUs.
///
/// # Errors
/// If there is no such policy, or the load names CPUs that are not there.
pub fn simulate(policy: &str, load: &Load, cpus: usize, seed: u64) -> anyhow::Result<Run> {
    let kind = self::policy(policy)?;
    ensure!((1..=64).contains(&cpus), "{cpus} CPUs cannot be simulated: take 1 to 64");
    for group in &load.groups {
        let missing = group.cpus.iter().find(|&&cpu| cpu >= cpus);
        ensure!(
            missing.is_none() || group.cpus.iter().any(|&cpu| cpu < cpus),
            "group {} wants CPUs that are not there",
            group.name
        );
    }
    let mut machine = Machine::new(kind, load, cpus, seed)?;
    machine.run();
    let (trace, progress) = machine.finish();
    Ok(Run {
        place: Place::Simulator,
        policy: policy.to_owned(),
        load: load.clone(),
        cpus,
        trace,
        progress,
        switch_cost: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::What;

    #[test]
    fn the_same_arguments_give_the_same_run() {
        let load = loads::standard("mixed").unwrap();
        let runs = [1, 1, 2].map(|seed| simulate("eevdf", &load, 4, seed).unwrap());
        assert_eq!(runs[0].trace, runs[1].trace);
        assert_eq!(runs[0].progress, runs[1].progress);
        assert_ne!(runs[0].trace, runs[2].trace);
    }

    #[test]
    fn every_policy_runs_every_load() {
        for kind in POLICIES {
            for (name, _) in loads::STANDARD {
                let mut load = loads::standard(name).unwrap();
                load.duration /= 10;
                let run = simulate(kind.name, &load, 2, 7).unwrap();
                // A policy that never interrupts anybody may need no second one.
                let mut entries = run.trace.entries.iter();
                let ran = entries.any(|entry| matches!(entry.what, What::Switch { .. }));
                assert!(ran, "{} on {name}", kind.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let load = loads::standard("hogs").unwrap();
        assert!(simulate("nobody", &load, 1, 1).unwrap_err().to_string().contains("eevdf"));
        assert!(simulate("eevdf", &load, 0, 1).is_err());
    }
}
