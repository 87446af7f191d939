//! Shares of CPU time, held to what the default policy promises: a stage of `make test`.
//!
//! The clocks of the machine count instructions ([`Timing`]), so that nothing depends on what else the host does: the
//! same kernel and programs give the same shares in every run. The loads and the rules are the laboratory's.

use anyhow::{Context, ensure};
use lab::metrics::Metrics;

use super::guest;
use crate::options::{Accelerator, MachineOptions};
use crate::progress::Stage;
use crate::qemu::{Boot, Timing};
use crate::tests::Counts;

/// The policy that promises shares.
const POLICY: &str = "eevdf";

/// Of all CPU time, what may be idle while somebody waits.
const IDLE: f64 = 0.01;

/// What must hold of a load.
struct Bound {
    load: &'static str,
    /// What holds of those who always want to run; nothing where tasks sleep and lock as they like.
    shares: Option<Shares>,
}

/// Bounds of shares.
struct Shares {
    /// How far a task may be from its weighted share, as a part of that share.
    off: f64,
    /// Jain's index of CPU time over weight, at least.
    jain: f64,
}

/// The loads, on four processors.
const BOUNDS: [Bound; 5] = [
    Bound { load: "four", shares: Some(Shares { off: 0.03, jain: 0.999 }) },
    Bound { load: "five", shares: Some(Shares { off: 0.03, jain: 0.999 }) },
    Bound { load: "hogs", shares: Some(Shares { off: 0.03, jain: 0.999 }) },
    Bound { load: "nice", shares: Some(Shares { off: 0.05, jain: 0.999 }) },
    Bound { load: "mixed", shares: None },
];

/// Runs the loads; each counts as a test.
pub fn test(machine: &MachineOptions, boot: &Boot) -> Counts {
    let stage = Stage::begin("shares of CPU time, by counted instructions");
    let loads = BOUNDS.map(|bound| bound.load);
    let machine = MachineOptions {
        accel: Accelerator::Tcg,
        timing: Timing::SlowInstructions,
        ..machine.clone()
    };
    let mut counts = Counts::default();
    match guest::on(&machine, boot, &[POLICY], &loads, 1) {
        Ok(runs) => {
            for bound in &BOUNDS {
                let run = runs.iter().find(|run| run.load.name == bound.load);
                let result =
                    run.context("it did not run").and_then(|run| bound.judge(&Metrics::of(run)));
                match &result {
                    Ok(found) => stage.print(&format!("{}: {found}", bound.load)),
                    Err(error) => stage.print(&format!("{}: {error:#}", bound.load)),
                }
                counts += Counts::one(&result);
            }
        }
        Err(error) => {
            stage.print(&format!("{error:#}"));
            counts += Counts::one(&Err::<(), _>(error));
        }
    }
    stage.finish(counts);
    counts
}

impl Bound {
    /// Holds a run to the bound; returns what was found, in words.
    fn judge(&self, metrics: &Metrics) -> anyhow::Result<String> {
        let idle = metrics.idle_while_runnable;
        let mut found = format!("idle while somebody waits {:.2} %", idle * 100.0);
        ensure!(idle < IDLE, "{found}");
        if let Some(shares) = &self.shares {
            let off = metrics.worst_share.context("nobody competed")?;
            let jain = metrics.fairness_overall.context("nobody competed")?;
            found = format!("off by {:.2} %, Jain {jain:.5}, {found}", off * 100.0);
            ensure!(off <= shares.off && jain >= shares.jain, "{found}");
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_held_by_itself() {
        let found = |off, jain, idle| Metrics {
            worst_share: Some(off),
            fairness_overall: Some(jain),
            idle_while_runnable: idle,
            ..Metrics::default()
        };
        let [four, .., mixed] = &BOUNDS;
        assert!(four.judge(&found(0.02, 0.9995, 0.0)).is_ok());
        assert!(four.judge(&found(0.04, 0.9995, 0.0)).is_err());
        assert!(four.judge(&found(0.02, 0.9, 0.0)).is_err());
        assert!(four.judge(&Metrics::default()).is_err());
        assert!(mixed.judge(&found(0.5, 0.9, 0.005)).is_ok());
        assert!(mixed.judge(&found(0.5, 0.9, 0.02)).is_err());
    }
}
