//! `make debug`, used as a script would: gdb must stop at a breakpoint in `fork`.

use std::io::Write;

use anyhow::{Context, bail, ensure};

use super::counts::Counts;
use super::logged;
use crate::options::MachineOptions;
use crate::progress::Stage;
use crate::qemu::Boot;
use crate::symbols::Function;
use crate::{debug, symbols, workspace};

/// What the guest runs: the part of the suite that forks.
const FORKING_PROGRAM: &str = "/tests/suite fork";
/// How the paths of the functions that carry out fork(2) end. Other parts of a process are copied by functions of that name
/// too, but some of those at an execve(2) as well.
const FORK_PATHS: [&str; 2] = ["task::fork::fork", "AddressSpace>::fork"];
/// How many breakpoint registers the processor has.
const BREAKPOINT_REGISTERS: usize = 4;

/// Runs the script, where there is a gdb.
pub fn test(machine: &MachineOptions, boot: &Boot) -> Counts {
    let stage = Stage::begin("breakpoint in fork");
    if workspace::find_program("gdb").is_none() {
        stage.finish("skipped: gdb is not installed");
        return Counts::one_skipped();
    }
    let machine = machine.with_init(FORKING_PROGRAM).with_processors(1);
    let result = stops_in_fork(&machine, &boot.for_machine(&machine));
    if let Err(error) = &result {
        stage.print(&format!("{error:#}"));
    }
    let counts = Counts::one(&result);
    stage.finish(counts);
    counts
}

/// Boots under gdb with breakpoints at every function that may carry out fork(2).
fn stops_in_fork(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<()> {
    let functions = symbols::functions(&std::fs::read(boot.kernel())?)?;
    let candidates = fork_functions(&functions);
    if candidates.is_empty() {
        bail!("no function of the kernel is called {}", FORK_PATHS.join(" or "));
    }
    let mut script = tempfile::NamedTempFile::new()?;
    for function in &candidates {
        writeln!(script, "hbreak *{:#x}", function.address)?;
    }
    writeln!(script, "continue\nbacktrace 3\nkill")?;
    let log = logged::log_path("debugger")?;
    let mut said = String::new();
    debug::with_script(machine, boot, script.path(), |command| {
        logged::run(command, &log, |line| {
            said.push_str(line);
            said.push('\n');
        })
    })
    .with_context(|| format!("see {}", log.display()))?;
    ensure!(said.contains("Breakpoint "), "gdb did not stop; see {}", log.display());
    ensure!(said.contains("fork"), "gdb did not name the function; see {}", log.display());
    Ok(())
}

/// The functions that carry out fork(2), at most as many as can be broken at.
fn fork_functions(functions: &[Function]) -> Vec<&Function> {
    let forks = |function: &&Function| FORK_PATHS.iter().any(|path| function.name.ends_with(path));
    functions.iter().filter(forks).take(BREAKPOINT_REGISTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fork_is_found_by_the_end_of_its_path() {
        let names = [
            "kernel::task::fork::fork",
            "kernel::fs::table::FileTable::fork",
            "mm::space::fork::<impl mm::space::AddressSpace>::fork",
        ];
        let functions = names.map(|name| Function { address: 1, size: 1, name: name.into() });
        let found: Vec<_> =
            fork_functions(&functions).iter().map(|function| function.name.as_str()).collect();
        assert_eq!(found, [names[0], names[2]]);
    }
}
