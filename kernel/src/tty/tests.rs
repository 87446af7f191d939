//! A pseudo-terminal on the host, without processes: what the master writes is typed, what it reads is the screen.

use super::input::Reader;
use super::pty;
use super::terminal::Terminal;
use crate::errno::{Errno, Result};
use crate::fs::{Sink, Source};

const READER: Reader = Reader { generation: 0, nonblocking: true };

fn read(slave: &Terminal, size: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; size];
    let count = slave.read(&mut Sink::kernel(&mut buffer), READER)?;
    buffer.truncate(count);
    Ok(buffer)
}

fn screen(slave: &Terminal) -> Vec<u8> {
    let mut line = slave.line.lock();
    let mut bytes = vec![0; line.output.pending()];
    let count = line.output.queue().pop_slice(&mut bytes);
    assert_eq!(count, bytes.len());
    bytes
}

#[test]
fn what_is_typed_is_echoed_and_read_by_lines() {
    let (_, slave, _link) = pty::create(0, 0).expect("memory");
    assert_eq!(slave.receive(b"ls"), 2);
    assert_eq!(read(&slave, 100), Err(Errno::EAGAIN));
    assert_eq!(slave.receive(b" -l\rps\r"), 7);
    assert_eq!(screen(&slave), b"ls -l\r\nps\r\n");
    assert_eq!(read(&slave, 100), Ok(b"ls -l\n".to_vec()));
    assert_eq!(read(&slave, 1), Ok(b"p".to_vec()));
    assert_eq!(read(&slave, 100), Ok(b"s\n".to_vec()));
}

#[test]
fn a_long_line_is_read_whole() {
    let (_, slave, _link) = pty::create(0, 0).expect("memory");
    let mut line = vec![b'x'; 1000];
    line.push(b'\n');
    assert_eq!(slave.receive(&line), line.len());
    assert_eq!(read(&slave, 2000), Ok(line));
}

#[test]
fn output_is_processed_and_stops_when_the_master_does_not_read() {
    let (_, slave, _link) = pty::create(0, 0).expect("memory");
    let write = |bytes: &[u8]| slave.write(&mut Source::kernel(bytes), READER);
    assert_eq!(write(b"a\nb"), Ok(3));
    assert_eq!(screen(&slave), b"a\r\nb");
    let taken = write(&[b'x'; 20_000]).expect("some fits");
    assert!(taken < 20_000);
    assert_eq!(write(b"more"), Err(Errno::EAGAIN));
    assert_eq!(screen(&slave).len(), taken);
    assert_eq!(write(b"more"), Ok(4));
}

#[test]
fn stopped_output_goes_on_after_start() {
    let (_, slave, _link) = pty::create(0, 0).expect("memory");
    assert_eq!(slave.receive(b"\x13"), 1);
    assert_eq!(slave.write(&mut Source::kernel(b"x"), READER), Err(Errno::EAGAIN));
    assert_eq!(slave.receive(b"\x11"), 1);
    assert_eq!(slave.write(&mut Source::kernel(b"x"), READER), Ok(1));
}

#[test]
fn a_hang_up_ends_reads_and_fails_writes() {
    let (_, slave, _link) = pty::create(0, 0).expect("memory");
    assert_eq!(slave.receive(b"lost\n"), 5);
    slave.hang_up();
    assert_eq!(read(&slave, 100), Ok(vec![]));
    assert_eq!(slave.write(&mut Source::kernel(b"x"), READER), Err(Errno::EIO));
}
