//! QEMU as a process: started with a control socket, and never left behind.

use std::ffi::OsString;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

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
        let connection = self.connection.as_mut().context("there is no control connection")?;
        let arguments = json!({ "command-line": command });
        let answer = connection.execute("human-monitor-command", arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when the process has ended and been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
