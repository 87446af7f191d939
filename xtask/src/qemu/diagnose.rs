//! What every processor of a hanging guest is doing, for the log of a failed test.

use std::path::Path;

use super::process::Guest;
use crate::symbols::{self, Function};

/// One line for each processor: its instruction pointer, and the function that it is in.
///
/// A guest that cannot be asked any more yields one line that says so.
pub fn processors(guest: &mut Guest, kernel: &Path) -> String {
    let image = std::fs::read(kernel).unwrap_or_default();
    let functions = symbols::functions(&image).unwrap_or_default();
    match guest.monitor("info registers -a") {
        Ok(registers) => summarise(&registers, &functions),
        Err(error) => format!("the processors cannot be asked: {error:#}"),
    }
}

/// Picks processor numbers, instruction pointers and halt flags from QEMU's register dump.
fn summarise(registers: &str, functions: &[Function]) -> String {
    let mut lines = Vec::new();
    let mut processor = "?";
    for line in registers.lines() {
        if let Some(number) = line.trim().strip_prefix("CPU#") {
            processor = number;
        } else if let Some(rest) = line.trim().strip_prefix("RIP=") {
            let (address, flags) = rest.split_once(' ').unwrap_or((rest, ""));
            let halted = if flags.contains("HLT=1") { ", halted" } else { "" };
            let function = u64::from_str_radix(address, 16)
                .ok()
                .and_then(|address| symbols::describe(functions, address))
                .unwrap_or_else(|| "outside the kernel".to_owned());
            lines.push(format!("CPU {processor}: {address} {function}{halted}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_gets_a_line() {
        let dump = "\r\nCPU#0\nRAX=0000000000000000 RBX=1\nRIP=0000000000001004 RFL=00000246 \
                    [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\n\nCPU#1\nRIP=0000000000400000 \
                    RFL=00000202 CPL=3 HLT=0\n";
        let functions =
            [Function { address: 0x1000, size: 0x10, name: "kernel::idle::wait".into() }];
        assert_eq!(
            summarise(dump, &functions),
            "CPU 0: 0000000000001004 kernel::idle::wait+0x4, halted\n\
             CPU 1: 0000000000400000 outside the kernel"
        );
    }
}
