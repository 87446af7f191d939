//! QEMU's machine protocol (QMP): lines of JSON over a Unix socket.
//!
//! One thread reads. It keeps the reason of the `SHUTDOWN` event and hands answers to whoever
//! asked. QEMU is the client of the socket and starts with its processors stopped; they are let go
//! only when events are certain to arrive.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// How long QEMU may take to answer a command. It answers in its main loop, within milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A connection on which events arrive and commands are answered.
pub struct Connection {
    stream: UnixStream,
    answers: Receiver<Value>,
    reason: Arc<Mutex<Option<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Connection {
    /// Takes over a stream that QEMU has just opened.
    ///
    /// # Errors
    /// If QEMU does not speak QMP on it.
    pub fn new(stream: UnixStream) -> anyhow::Result<Self> {
        let incoming = BufReader::new(stream.try_clone()?);
        let (sender, answers) = channel();
        let reason = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&reason);
        let reader = std::thread::spawn(move || read_all(incoming, &sender, &shared));
        let mut connection = Self { stream, answers, reason, reader: Some(reader) };
        connection.execute("qmp_capabilities", json!({}))?;
        Ok(connection)
    }

    /// Has QEMU carry out a command and returns its answer.
    ///
    /// # Errors
    /// If QEMU refuses it, is gone, or does not answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream, "{request}").with_context(|| format!("QMP command {command}"))?;
        let answer = self
            .answers
            .recv_timeout(ANSWER_LIMIT)
            .with_context(|| format!("QEMU did not answer the QMP command {command}"))?;
        if let Some(error) = answer.get("error") {
            bail!("QEMU refused the QMP command {command}: {error}");
        }
        Ok(answer.get("return").cloned().unwrap_or(Value::Null))
    }

    /// Waits until QEMU closes the connection; returns why the machine stopped, if QEMU said so.
    #[must_use]
    pub fn close(mut self) -> Option<String> {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has at worst lost the reason, which then counts as missing.
            let _ = reader.join();
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads until the connection closes.
fn read_all(
    incoming: BufReader<UnixStream>,
    answers: &Sender<Value>,
    reason: &Mutex<Option<String>>,
) {
    for line in incoming.lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(why) = shutdown_reason(&message) {
            *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        } else if message.get("return").is_some() || message.get("error").is_some() {
            // Nobody waits for an answer any more when the receiver is gone.
            let _ = answers.send(message);
        }
    }
}

/// The reason that a `SHUTDOWN` event gives; `None` for every other message.
fn shutdown_reason(message: &Value) -> Option<String> {
    if message.get("event")? != "SHUTDOWN" {
        return None;
    }
    Some(message.get("data")?.get("reason")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_read_from_the_shutdown_event_only() {
        let event = json!({"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}});
        assert_eq!(shutdown_reason(&event).as_deref(), Some("guest-reset"));
        assert_eq!(shutdown_reason(&json!({"event": "RESUME"})), None);
        assert_eq!(shutdown_reason(&json!({"return": {}})), None);
    }

    #[test]
    fn commands_are_answered_and_the_reason_survives_the_close() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let qemu = std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut theirs = theirs;
            writeln!(theirs, "{}", json!({"QMP": {}})).unwrap();
            for answer in [json!({"return": {}}), json!({"error": {"desc": "no"}})] {
                lines.next().unwrap().unwrap();
                writeln!(theirs, "{}", json!({"event": "RESUME"})).unwrap();
                writeln!(theirs, "{answer}").unwrap();
            }
            let event = json!({"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}});
            writeln!(theirs, "{event}").unwrap();
        });
        let mut connection = Connection::new(ours).unwrap();
        assert!(connection.execute("cont", json!({})).is_err());
        qemu.join().unwrap();
        assert_eq!(connection.close().as_deref(), Some("guest-shutdown"));
    }
}
