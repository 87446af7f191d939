//! Making processes, against the parent's resident size.
//!
//! Between two samples the parent writes one byte into each 2 MiB of its memory, so that every fork meets an
//! address space in use, and not one that is still shared from the fork before. The parent is one thread and may
//! run on any processor, and so may its children.

use super::Case;
use crate::bench::clock::{Clock, ticks};
use crate::bench::memory::{MEBIBYTE, Region};
use crate::bench::meter::{Meter, Plan};
use crate::bench::process::{Program, fork};
use crate::bench::report::Failure;
use crate::bench::tiny::TinyProgram;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fork_call",
        description: "fork(2) until it returns in the parent; the child exits at once, unseen.",
        run: fork_call,
    },
    Case {
        name: "fork_exit_wait",
        description: "fork(2), the child's _exit(2), and the parent's wait4(2) for it.",
        run: fork_exit_wait,
    },
    Case {
        name: "fork_exec_wait",
        description: "fork(2), the child's execve(2) of a tiny static program, its end, and wait4(2).",
        run: fork_exec_wait,
    },
    Case {
        name: "vfork_exec",
        description: "clone(CLONE_VM|CLONE_VFORK) with execve(2) of a tiny static program, until the \
                      parent goes on.",
        run: vfork_exec,
    },
    Case {
        name: "posix_spawn",
        description: "posix_spawn(3) of a tiny static program, until it returns.",
        run: posix_spawn,
    },
];

const PLAN: Plan = Plan { samples: 200, operations: 1 };

/// A row for each resident size; `body` is one sample.
fn by_size(meter: &Meter, mut body: impl FnMut(Clock) -> Result<u64, Failure>) {
    for size in meter.options().sizes() {
        meter.row(&format!("{size} MiB"), |row| {
            let region = Region::resident(size * MEBIBYTE)?;
            row.sample(PLAN, || {
                region.write_tables();
                body(row.clock())
            })
        });
    }
}

fn fork_call(meter: &Meter) -> Result<(), Failure> {
    by_size(meter, |clock| {
        let start = ticks();
        let child = fork(|| Ok(()))?;
        let elapsed = clock.since(start);
        child.wait()?;
        Ok(elapsed)
    });
    Ok(())
}

fn fork_exit_wait(meter: &Meter) -> Result<(), Failure> {
    by_size(meter, |clock| {
        let start = ticks();
        fork(|| Ok(()))?.wait()?;
        Ok(clock.since(start))
    });
    Ok(())
}

fn fork_exec_wait(meter: &Meter) -> Result<(), Failure> {
    let tiny = TinyProgram::new()?;
    let program = Program::new(tiny.path());
    by_size(meter, |clock| {
        let start = ticks();
        fork(|| Err(program.exec().into()))?.wait()?;
        Ok(clock.since(start))
    });
    Ok(())
}

fn vfork_exec(meter: &Meter) -> Result<(), Failure> {
    let tiny = TinyProgram::new()?;
    let program = Program::new(tiny.path());
    let mut stack = vec![0_u128; 1024];
    by_size(meter, |clock| {
        let start = ticks();
        let child = program.vfork_exec(&mut stack)?;
        let elapsed = clock.since(start);
        child.wait()?;
        Ok(elapsed)
    });
    Ok(())
}

fn posix_spawn(meter: &Meter) -> Result<(), Failure> {
    let tiny = TinyProgram::new()?;
    let program = Program::new(tiny.path());
    by_size(meter, |clock| {
        let start = ticks();
        let child = program.spawn()?;
        let elapsed = clock.since(start);
        child.wait()?;
        Ok(elapsed)
    });
    Ok(())
}
