//! Many processes that send each other messages, after Ingo Molnar's `hackbench`.
//!
//! Ten senders write messages of 100 bytes to each of ten receivers, all of them processes, over stream sockets or
//! pipes. They are made beforehand and wait at a gate; the time is from its opening until all have ended, and is
//! divided among the messages.

use super::Case;
use crate::bench::clock::ticks;
use crate::bench::meter::{Meter, Plan, Row};
use crate::bench::process::{self, Child, fork};
use crate::bench::report::Failure;
use crate::sys;

pub(super) const CASES: &[Case] = &[Case {
    name: "messages",
    description: "A message of 100 bytes among ten senders and ten receivers that are processes, as in \
                  hackbench.",
    run: messages,
}];

const SENDERS: usize = 10;
const RECEIVERS: usize = 10;
/// Messages from each sender to each receiver in one sample.
const LOOPS: usize = 20;
/// Bytes of a message.
const LENGTH: usize = 100;
const OPERATIONS: u64 = (SENDERS * RECEIVERS * LOOPS) as u64;

/// Makes a channel: where it is read and where it is written.
type Open = fn() -> Result<(i32, i32), Failure>;

fn messages(meter: &Meter) -> Result<(), Failure> {
    for (name, open) in [("sockets", socket as Open), ("pipes", pipe)] {
        meter.row(name, |row| {
            row.sample(Plan { samples: 30, operations: OPERATIONS }, || round(row, open))
        });
    }
    Ok(())
}

fn pipe() -> Result<(i32, i32), Failure> {
    let mut ends = [0_i32; 2];
    sys!(SYS_pipe2, &mut ends, 0)?;
    Ok((ends[0], ends[1]))
}

fn socket() -> Result<(i32, i32), Failure> {
    let mut ends = [0_i32; 2];
    sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut ends)?;
    Ok((ends[0], ends[1]))
}

fn close(fd: i32) -> Result<(), Failure> {
    sys!(SYS_close, fd)?;
    Ok(())
}

/// One sample: makes the processes, opens the gate, and waits for them.
fn round(row: &Row, open: Open) -> Result<u64, Failure> {
    let gate = pipe()?;
    let ready = pipe()?;
    let channels = (0..RECEIVERS).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    let mut children = Vec::with_capacity(SENDERS + RECEIVERS);
    for &(source, _) in &channels {
        children.push(member(gate, ready, || receive_all(source))?);
    }
    for _ in 0..SENDERS {
        children.push(member(gate, ready, || send_all(&channels))?);
    }
    for (source, target) in channels {
        close(source)?;
        close(target)?;
    }
    for _ in &children {
        receive(ready.0, 1)?;
    }
    let start = ticks();
    // At the end of the pipe every reader wakes.
    close(gate.1)?;
    children.into_iter().try_for_each(Child::wait)?;
    let elapsed = row.clock().since(start);
    close(gate.0)?;
    close(ready.0)?;
    close(ready.1)?;
    Ok(elapsed)
}

/// Makes a process that says it is ready, waits for the gate, and works.
fn member(
    gate: (i32, i32),
    ready: (i32, i32),
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<Child, Failure> {
    let child = fork(|| {
        process::die_with_parent()?;
        close(gate.1)?;
        sys!(SYS_write, ready.1, b"r", 1)?;
        sys!(SYS_read, gate.0, &mut [0_u8; 1], 1)?;
        work()
    })?;
    Ok(child)
}

/// Reads so many bytes.
fn receive(source: i32, length: usize) -> Result<(), Failure> {
    let mut buffer = [0_u8; LENGTH];
    let mut left = length;
    while left > 0 {
        match sys!(SYS_read, source, &mut buffer, left.min(LENGTH))? {
            0 => return Err("a channel ended early".into()),
            count => left -= count,
        }
    }
    Ok(())
}

/// A receiver's work.
fn receive_all(source: i32) -> Result<(), Failure> {
    (0..SENDERS * LOOPS).try_for_each(|_| receive(source, LENGTH))
}

/// A sender's work.
fn send_all(channels: &[(i32, i32)]) -> Result<(), Failure> {
    let message = [0x5a_u8; LENGTH];
    for _ in 0..LOOPS {
        for &(_, target) in channels {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let count = sys!(SYS_write, target, rest, rest.len())?;
                rest = &rest[count..];
            }
        }
    }
    Ok(())
}
