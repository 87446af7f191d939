//! The guest suite on a kernel in QEMU, as its first program.

use std::time::Duration;

use super::counts::Counts;
use super::host::{close, report_line};
use super::logged;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Outcome};
use crate::run;

/// Where the suite is in the default root file system.
pub const SUITE: &str = "/tests/suite";

/// And the signal storm.
const STORM: &str = "/bin/storm";

/// The suite on Skein, on `machine`.
///
/// # Errors
/// If QEMU does not start.
pub fn suite(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<Counts> {
    suite_called(machine, boot, &format!("guest suite on {} processors", machine.smp.0))
}

/// As [`suite`], as a stage of that name.
///
/// # Errors
/// If QEMU does not start.
pub fn suite_called(machine: &MachineOptions, boot: &Boot, name: &str) -> anyhow::Result<Counts> {
    let machine = machine.with_init(SUITE).with_parameter("sched_test");
    suite_on(&machine, &boot.for_machine(&machine), name)
}

/// The signal storm on Skein, on `machine`.
///
/// # Errors
/// If QEMU does not start.
pub fn storm(
    machine: &MachineOptions,
    boot: &Boot,
    seconds: u64,
    seed: u64,
) -> anyhow::Result<Counts> {
    let machine = machine.with_init(&format!("{STORM} --seconds {seconds} --seed {seed}"));
    let boot = boot.for_machine(&machine);
    suite_on(&machine, &boot, &format!("signal storm of {seconds} seconds"))
}

/// The suite on whatever kernel `boot` boots.
///
/// # Errors
/// If QEMU does not start.
pub fn suite_on(machine: &MachineOptions, boot: &Boot, name: &str) -> anyhow::Result<Counts> {
    quiet_suite_on(machine, boot, name, Duration::ZERO)
}

/// As [`suite_on`], where a case says nothing for so long.
///
/// # Errors
/// If QEMU does not start.
pub fn quiet_suite_on(
    machine: &MachineOptions,
    boot: &Boot,
    name: &str,
    silence: Duration,
) -> anyhow::Result<Counts> {
    let stage = Stage::begin(name);
    let log = logged::log_path(&name.replace(' ', "-"))?;
    let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log)?.more_patient(silence);
    let mut counts = None;
    let ended = loop {
        match console.next_line() {
            Ok(Some(line)) => {
                report_line(&stage, &line);
                counts = Counts::from_closing_line(&line).or(counts);
            }
            Ok(None) => break Ok(()),
            Err(hang) => break Err(hang),
        }
    };
    let outcome = match ended {
        Ok(()) => Some(guest.wait()?),
        Err(hang) => {
            stage.print(&format!("{hang:#}"));
            stage.print(&qemu::processors(&mut guest, boot.kernel()));
            None
        }
    };
    let counts = judge(counts, outcome, &stage);
    close(stage, counts, &log);
    Ok(counts)
}

/// Believes the suite's closing line only if the run ended as that line lets expect.
fn judge(counts: Option<Counts>, outcome: Option<Outcome>, stage: &Stage) -> Counts {
    let mut counts = counts.unwrap_or_else(|| {
        stage.print("the suite did not come to its closing line");
        Counts::default()
    });
    let expected = match outcome {
        Some(Outcome::PoweredOff) => counts.passed > 0,
        Some(Outcome::FirstProgramExited(_)) => counts.failed > 0,
        _ => false,
    };
    if !expected {
        if let Some(outcome) = outcome {
            stage.print(&format!("the run did not end as it should: {outcome}"));
        }
        counts.failed += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_wrongly_is_a_failure_more() {
        let stage = Stage::begin("judging");
        let good = Some(Counts { passed: 5, failed: 0, skipped: 0 });
        let judged = |counts, outcome| judge(counts, outcome, &stage).failed;
        assert_eq!(judged(good, Some(Outcome::PoweredOff)), 0);
        assert_eq!(judged(good, Some(Outcome::Panicked)), 1);
        assert_eq!(judged(good, Some(Outcome::FirstProgramExited(1))), 1);
        assert_eq!(judged(good, None), 1);
        assert_eq!(judged(None, Some(Outcome::PoweredOff)), 1);
        let bad = Some(Counts { passed: 5, failed: 2, skipped: 0 });
        assert_eq!(judged(bad, Some(Outcome::FirstProgramExited(1))), 2);
    }
}
