//! Boots in a row: each must reach the prompt and power off.

use super::counts::Counts;
use super::logged;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Outcome};
use crate::run;
use crate::session::PROMPT;

/// Boots `number` times and counts each boot as a test.
pub fn row(machine: &MachineOptions, boot: &Boot, number: u32) -> Counts {
    let boot = boot.for_machine(machine);
    let stage = Stage::begin(format!("{number} boots on {} processors", machine.smp.0));
    let mut counts = Counts::default();
    for index in 1..=number {
        stage.note(&format!("boot {index} of {number}, {} failed", counts.failed));
        let result = one(machine, &boot, index);
        if let Err(error) = &result {
            stage.print(&format!("boot {index}: {error:#}"));
        }
        counts += Counts::one(&result);
    }
    stage.finish(counts);
    counts
}

/// Boots once.
fn one(machine: &MachineOptions, boot: &Boot, index: u32) -> anyhow::Result<()> {
    let mut guest = run::start(machine, boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let log = logged::log_path(&format!("boot-{index}"))?;
    let mut console = Console::new(input, output, &log)?;
    let conversation = console.wait_for(PROMPT).and_then(|_| {
        console.send("poweroff\n")?;
        while console.next_line()?.is_some() {}
        Ok(())
    });
    if let Err(error) = conversation {
        let processors = qemu::processors(&mut guest, boot.kernel());
        return Err(error.context(format!("see {}\n{processors}", log.display())));
    }
    match guest.wait()? {
        Outcome::PoweredOff => {
            // The logs of good boots would only pile up.
            let _ = std::fs::remove_file(log);
            Ok(())
        }
        other => anyhow::bail!("{other}; see {}", log.display()),
    }
}
