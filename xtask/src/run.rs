//! `make run`: boots Skein with the console on this tool's standard input and output.
//!
//! On a terminal QEMU has the terminal to itself. Otherwise this tool stands between: it holds
//! input back until the kernel has said its first word, as a serial port that nobody listens to yet
//! drops what it receives, and it ends input as a terminal would, with Ctrl-D.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::process::{ChildStdin, ExitCode};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Context;

use crate::build::{self, Profile};
use crate::options::MachineOptions;
use crate::qemu::{self, Boot, Console, Guest, Outcome, Start};
use crate::rootfs;

/// What a terminal sends for the end of input (Ctrl-D, EOT).
const END_OF_INPUT: u8 = 0x04;

/// What the kernel's first line holds, and no firmware's or boot loader's.
const KERNEL_NAME: &[u8] = b"Skein";

/// Builds everything and boots it; the exit status says how the run ended.
///
/// # Errors
/// If something does not build or QEMU does not start.
pub fn run(machine: &MachineOptions) -> anyhow::Result<ExitCode> {
    let boot = direct_boot(machine, Profile::Release)?;
    Ok(report(on_standard_streams(machine, &boot)?))
}

/// Compiles kernel and root file system for a boot without firmware.
///
/// # Errors
/// If something does not build.
pub fn direct_boot(machine: &MachineOptions, profile: Profile) -> anyhow::Result<Boot> {
    Ok(Boot::Direct {
        kernel: build::kernel(profile)?,
        initrd: rootfs::prepare(&machine.rootfs)?,
        command_line: machine.kernel_command_line(),
    })
}

/// Says how a run ended unless it ended well, and turns it into an exit status.
#[must_use]
pub fn report(outcome: Outcome) -> ExitCode {
    if outcome.exit_status() != 0 {
        eprintln!("\n{outcome}");
    }
    outcome.exit_code()
}

/// Boots with the console on standard input and output, be they a terminal or not.
///
/// # Errors
/// If QEMU does not start.
pub fn on_standard_streams(machine: &MachineOptions, boot: &Boot) -> anyhow::Result<Outcome> {
    if stdin().is_terminal() {
        eprintln!("Booting; `poweroff` ends the run, Ctrl-A x kills it.");
        let console = Console::Terminal;
        return start(machine, boot, &console)?.wait();
    }
    let mut guest = start(machine, boot, &Console::Pipes)?;
    let (input, output) = guest.take_console()?;
    let (first_word, listening) = channel();
    // The thread blocks in a read of standard input; it ends with this process.
    std::thread::spawn(move || feed(input, &listening));
    let sign = match boot {
        Boot::Direct { .. } => Sign::AnyByte,
        Boot::Image { .. } => Sign::KernelName,
    };
    let printer = std::thread::spawn(move || print(output, sign, &first_word));
    let outcome = guest.wait()?;
    let printed = printer.join().unwrap_or(Ok(()));
    printed.context("cannot write the console to standard output")?;
    Ok(outcome)
}

/// Starts QEMU and the processors in it.
///
/// # Errors
/// If QEMU does not start.
pub fn start(machine: &MachineOptions, boot: &Boot, console: &Console) -> anyhow::Result<Guest> {
    let arguments = qemu::arguments(machine, boot, console, Start::ByControlSocket);
    qemu::launch(&machine.qemu, arguments, console, Start::ByControlSocket)
}

/// By what it is known that the kernel is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// Nothing else speaks on the console.
    AnyByte,
    /// Firmware and boot loader speak before it.
    KernelName,
}

/// Copies the console to standard output; says so once when the sign has come.
fn print(mut console: impl Read, sign: Sign, first_word: &Sender<()>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let mut said: Vec<u8> = Vec::new();
    let mut has_come = false;
    loop {
        let count = console.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if !has_come {
            said.extend(&buffer[..count]);
            has_come = sign == Sign::AnyByte
                || said.windows(KERNEL_NAME.len()).any(|window| window == KERNEL_NAME);
            if has_come {
                // The other thread lives until it has heard this.
                let _ = first_word.send(());
            }
        }
        let mut output = stdout().lock();
        output.write_all(&buffer[..count])?;
        output.flush()?;
    }
}

/// Copies standard input to the console, once the guest listens.
fn feed(mut console: ChildStdin, listening: &Receiver<()>) {
    if listening.recv().is_err() {
        return;
    }
    // An error means that the run is over, or that there is no input: neither ends the run.
    let _ = copy_then_end(&mut stdin().lock(), &mut console);
    // Closing the pipe would make QEMU take the port for unplugged; it stays open.
    std::mem::forget(console);
}

/// Copies all input and ends it as a terminal does: once after a full line, twice within one, as
/// the first Ctrl-D then only hands over what was typed so far.
fn copy_then_end(input: &mut impl Read, console: &mut impl Write) -> std::io::Result<()> {
    let mut last = b'\n';
    let mut buffer = [0; 4096];
    loop {
        let count = input.read(&mut buffer)?;
        let Some(&end) = buffer[..count].last() else { break };
        last = end;
        console.write_all(&buffer[..count])?;
        console.flush()?;
    }
    if last != b'\n' {
        console.write_all(&[END_OF_INPUT])?;
    }
    console.write_all(&[END_OF_INPUT])?;
    console.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(input: &[u8]) -> Vec<u8> {
        let mut console = Vec::new();
        copy_then_end(&mut &input[..], &mut console).unwrap();
        console
    }

    #[test]
    fn behind_firmware_the_kernels_name_is_waited_for() {
        let comes = |sign, text: &[u8]| {
            let (sender, receiver) = channel();
            print(text, sign, &sender).unwrap();
            receiver.try_recv().is_ok()
        };
        assert!(comes(Sign::AnyByte, b"."));
        assert!(!comes(Sign::KernelName, b"UEFI Interactive Shell\n"));
        assert!(comes(Sign::KernelName, b"[0.000000] Skein\n"));
        assert!(!comes(Sign::AnyByte, b""));
    }

    #[test]
    fn input_ends_as_on_a_terminal() {
        assert_eq!(fed(b""), b"\x04");
        assert_eq!(fed(b"poweroff\n"), b"poweroff\n\x04");
        assert_eq!(fed(b"no newline"), b"no newline\x04\x04");
    }
}
