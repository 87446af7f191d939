//! The cost of entering the kernel.

use super::Case;
use crate::bench::clock::ticks;
use crate::bench::meter::{Meter, Plan};
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[Case {
    name: "null_call",
    description: "getppid(), a system call that does next to nothing.",
    run: null_call,
}];

fn null_call(meter: &Meter) -> Result<(), Failure> {
    const CALLS: u64 = 1000;
    meter.row("", |row| {
        row.sample(Plan { samples: 400, operations: CALLS }, || {
            let start = ticks();
            for _ in 0..CALLS {
                sys!(SYS_getppid)?;
            }
            Ok(row.clock().since(start))
        })
    });
    Ok(())
}
