//! The torture program in the guest, as its first program: `make torture`, and briefly in `make test`.

use clap::Args;

use super::counts::Counts;
use super::host::close;
use super::logged;
use crate::console::Console;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::{self, Boot, Outcome};
use crate::run;

/// Where the program is in the default root file system.
const PROGRAM: &str = "/bin/torture";
/// How its last line begins when all was well.
const SUCCESS: &str = "torture: all as expected";

/// What `make torture` takes besides the machine.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// How long, in seconds of the guest
    #[arg(long, env = "SECONDS", default_value = "1200")]
    pub seconds: u64,
    /// Where the random numbers start
    #[arg(long, env = "SEED", default_value = "1")]
    pub seed: u64,
}

/// Lets the program run and counts it as one test.
///
/// # Errors
/// If QEMU does not start.
pub fn test(machine: &MachineOptions, boot: &Boot, plan: &Plan) -> anyhow::Result<Counts> {
    let Plan { seconds, seed } = plan;
    let machine =
        machine.with_init(&format!("{PROGRAM} --pressure --seconds {seconds} --seed {seed}"));
    let boot = boot.for_machine(&machine);
    let stage = Stage::begin(format!("torture on {} processors", machine.smp.0));
    let log = logged::log_path(&format!("torture-{}", machine.smp.0))?;
    let mut guest = run::start(&machine, &boot, &qemu::Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let mut console = Console::new(input, output, &log)?;
    let mut is_done = false;
    let ended = loop {
        match console.next_line() {
            Ok(Some(line)) => {
                stage.note(&line);
                is_done |= line.starts_with(SUCCESS);
            }
            Ok(None) => break Ok(()),
            Err(hang) => break Err(hang),
        }
    };
    let result = match ended {
        Ok(()) => judge(&guest.wait()?, is_done),
        Err(hang) => {
            stage.print(&qemu::processors(&mut guest, boot.kernel()));
            Err(hang)
        }
    };
    if let Err(error) = &result {
        stage.print(&format!("{error:#}"));
    }
    close(stage, Counts::one(&result), &log);
    Ok(Counts::one(&result))
}

/// The program must have come to its end, and the machine with it.
fn judge(outcome: &Outcome, is_done: bool) -> anyhow::Result<()> {
    anyhow::ensure!(is_done, "the program did not come to its closing line: {outcome}");
    anyhow::ensure!(matches!(outcome, Outcome::PoweredOff), "{outcome}");
    Ok(())
}
