//! QEMU as a process: started with a control socket, and never left behind.

use std::ffi::OsString;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::arguments::{Console, Start};
use super::outcome::Outcome;
use super::qmp::Connection;

/// How often a starting QEMU is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A running guest. Dropping it ends QEMU.
pub struct Guest {
    process: Child,
    connection: Option<Connection>,
}

/// Starts QEMU and, once its events are being listened to, the processors unless gdb is to do it.
///
/// # Errors
/// If QEMU cannot be started or ends at once.
pub fn launch(
    qemu: &Path,
    mut arguments: Vec<OsString>,
    console: &Console,
    start: Start,
) -> anyhow::Result<Guest> {
    let directory = tempfile::Builder::new().prefix("skein").tempdir()?;
    let socket = directory.path().join("qmp");
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("cannot listen on {}", socket.display()))?;
    let mut chardev = OsString::from("socket,id=qmp,server=off,path=");
    chardev.push(&socket);
    arguments.extend(["-chardev".into(), chardev]);
    arguments.extend(["-mon".into(), "chardev=qmp,mode=control".into()]);

    let mut command = Command::new(qemu);
    command.args(&arguments);
    match console {
        Console::Terminal => {}
        Console::Pipes => drop(command.stdin(Stdio::piped()).stdout(Stdio::piped())),
        // Ctrl-C on the terminal is then the debugger's alone.
        Console::File(_) => drop(command.stdin(Stdio::null()).process_group(0)),
    }
    let mut guest = Guest { process: spawn(&mut command)?, connection: None };
    let stream = accept(&listener, &mut guest.process)?;
    let mut connection = Connection::new(stream)?;
    if start == Start::ByControlSocket {
        connection.execute("cont", json!({}))?;
    }
    guest.connection = Some(connection);
    Ok(guest)
}

/// Starts a QEMU command such that it does not outlive this tool.
///
/// # Errors
/// If there is no such program.
fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            use rustix::process::{Signal, set_parent_process_death_signal};
            Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
        });
    }
    command.spawn().with_context(|| {
        format!(
            "cannot start {}: install QEMU for x86 (Debian and Ubuntu: qemu-system-x86) or set \
             QEMU=",
            command.get_program().to_string_lossy()
        )
    })
}

/// Waits for QEMU to open its control socket.
fn accept(listener: &UnixListener, process: &mut Child) -> anyhow::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot accept QEMU's control connection"),
        }
        if let Some(status) = process.try_wait()? {
            bail!("QEMU did not start ({status}); its message is above");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

impl Guest {
    /// The two ends of a console on pipes; each can be taken once.
    ///
    /// # Errors
    /// If they were taken before, or the console is the terminal.
    pub fn take_console(&mut self) -> anyhow::Result<(ChildStdin, ChildStdout)> {
        let input = self.process.stdin.take().context("the console's input is taken")?;
        let output = self.process.stdout.take().context("the console's output is taken")?;
        Ok((input, output))
    }

    /// Waits until the run ends.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn wait(mut self) -> anyhow::Result<Outcome> {
        let status = self.process.wait()?;
        let reason = self.connection.take().and_then(Connection::close);
        Ok(Outcome::new(status, reason.as_deref()))
    }

    /// Has QEMU's monitor carry out a command and returns the text that it prints.
    ///
    /// # Errors
    /// If QEMU is gone or does not answer.
    pub fn monitor(&mut self, command: &str) -> anyhow::Result<String> {
        self.monitor_of(0, command)
    }

    /// The same from the point of view of a processor: its registers, its page tables.
    ///
    /// # Errors
    /// If QEMU is gone or does not answer, or there is no such processor.
    pub fn monitor_of(&mut self, processor: usize, command: &str) -> anyhow::Result<String> {
        let arguments = json!({ "command-line": command, "cpu-index": processor });
        let answer = self.execute("human-monitor-command", arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Has QEMU carry out a command of its machine protocol that takes nothing and answers nothing.
    ///
    /// # Errors
    /// If QEMU is gone, refuses, or does not answer.
    pub fn command(&mut self, name: &str) -> anyhow::Result<()> {
        self.execute(name, json!({})).map(drop)
    }

    fn execute(&mut self, name: &str, arguments: Value) -> anyhow::Result<Value> {
        let connection = self.connection.as_mut().context("there is no control connection")?;
        connection.execute(name, arguments)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when the process has ended and been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs hand-made kernels of a few instructions in the real QEMU, where there is one.
#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::arguments::{Boot, arguments};
    use super::*;
    use crate::options::MachineOptions;
    use crate::workspace::find_program;

    /// Where the kernel is loaded.
    const BASE: u32 = 0x10_0000;
    /// Bytes of the ELF header, two program headers, and a PVH note behind them.
    const NOTE_OFFSET: u32 = 52 + 2 * 32;
    const NOTE_SIZE: u32 = 20;
    /// Ends every kernel: `hlt` in a loop.
    const HALT: [u8; 3] = [0xf4, 0xeb, 0xfd];

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        machine: MachineOptions,
    }

    /// A 32-bit ELF image that QEMU enters at `code` through its PVH note.
    fn image(code: &[u8]) -> Vec<u8> {
        let entry = BASE + NOTE_OFFSET + NOTE_SIZE;
        let size = NOTE_OFFSET + NOTE_SIZE + code.len() as u32;
        let mut image = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
        let mut words = |words: &[u32]| {
            image.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        // Entry, program headers, no sections, no flags; sizes and numbers of headers in halves.
        words(&[entry, 52, 0, 0, 52 | 32 << 16, 2, 0]);
        // PT_LOAD of the whole file, readable and executable; PT_NOTE.
        words(&[1, 0, BASE, BASE, size, size, 5, 0x1000]);
        words(&[
            4,
            NOTE_OFFSET,
            BASE + NOTE_OFFSET,
            BASE + NOTE_OFFSET,
            NOTE_SIZE,
            NOTE_SIZE,
            4,
            4,
        ]);
        // The note: name `Xen`, type 18 (XEN_ELFNOTE_PHYS32_ENTRY), the entry.
        words(&[4, 4, 18, u32::from_le_bytes(*b"Xen\0"), entry]);
        image.extend(code);
        image
    }

    /// How a run of these instructions ends; `None` where there is no QEMU.
    fn run(code: &[u8]) -> Option<Outcome> {
        let qemu = find_program("qemu-system-x86_64")?;
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("kernel");
        std::fs::write(&kernel, image(&[code, &HALT].concat())).unwrap();
        let machine = Line::parse_from(["xtask", "--smp=1", "--mem=64M", "--accel=tcg"]).machine;
        let boot = Boot::Direct { initrd: kernel.clone(), kernel, command_line: "x".into() };
        let console = Console::Pipes;
        let words = arguments(&machine, &boot, &console, Start::ByControlSocket);
        let guest = launch(&qemu, words, &console, Start::ByControlSocket).unwrap();
        Some(guest.wait().unwrap())
    }

    #[test]
    fn a_power_off_by_acpi_is_told_from_a_triple_fault() {
        // mov dx, 0x604; mov ax, 0x2000; out dx, ax: S5 through the q35 machine's PM1a control.
        let power_off = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef];
        // lidt [esp]; ud2: with no IDT to speak of, the exception becomes a triple fault.
        let triple_fault = [0xbc, 0, 0, 0, 0, 0x0f, 0x01, 0x1c, 0x24, 0x0f, 0x0b];
        assert!(matches!(run(&power_off), None | Some(Outcome::PoweredOff)));
        assert!(matches!(run(&triple_fault), None | Some(Outcome::Reset)));
    }

    #[test]
    fn the_debug_exit_device_ends_the_run_with_a_status() {
        // mov dx, 0xf4; mov eax, value; out dx, eax.
        let exit = |value| [0x66, 0xba, 0xf4, 0x00, 0xb8, value, 0, 0, 0, 0xef];
        assert!(matches!(run(&exit(0x70)), None | Some(Outcome::Panicked)));
        assert!(matches!(run(&exit(3)), None | Some(Outcome::FirstProgramExited(3))));
    }

    #[test]
    fn a_qemu_that_refuses_its_arguments_is_reported() {
        let Some(qemu) = find_program("qemu-system-x86_64") else { return };
        let refused =
            launch(&qemu, vec!["-no-such-option".into()], &Console::Pipes, Start::ByControlSocket);
        assert!(refused.is_err());
    }
}
