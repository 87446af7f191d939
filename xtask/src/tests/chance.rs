//! The guest suite under the scheduling policy that decides by chance: `make test-chaos`, and once in `make test`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::counts::Counts;
use super::guest;
use crate::options::MachineOptions;
use crate::qemu::Boot;

/// The environment variable with the seed that a person has chosen; empty or absent otherwise.
const SEED: &str = "CHAOS_SEED";

/// Runs the suite as often as `rounds` says, from a seed that is said and one more each time: a person's, or another one
/// whenever this runs.
///
/// # Errors
/// If QEMU does not start.
pub fn suite(machine: &MachineOptions, boot: &Boot, rounds: u32) -> anyhow::Result<Counts> {
    let first = first_seed(&std::env::var(SEED).unwrap_or_default())?;
    let mut total = Counts::default();
    for seed in first..first + u64::from(rounds) {
        println!("==> chance from seed {seed}: `make test-chaos ROUNDS=1 SEED={seed}` repeats it");
        let machine = machine.with_parameter(&format!("sched=chaos sched_seed={seed}"));
        let name = format!("guest suite under chance on {} processors", machine.smp.0);
        total += guest::suite_called(&machine, boot, &name)?;
    }
    Ok(total)
}

/// The seed that was chosen, or the time of day.
fn first_seed(chosen: &str) -> anyhow::Result<u64> {
    if chosen.is_empty() {
        return Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    }
    chosen.parse().with_context(|| format!("SEED={chosen} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_seed_is_taken_and_another_is_new() {
        assert_eq!(first_seed("17").unwrap(), 17);
        assert!(first_seed("").unwrap() > 1_700_000_000);
        assert!(first_seed("luck").is_err());
    }
}
