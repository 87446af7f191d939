//! `/proc/trace` from a program's side: commands to the kernel's recorder, and sending a trace over the console.
//!
//! A trace is sent as text: `@trace begin`, lines of Base64 behind `@`, `@trace end`. What they hold is the file
//! in zlib's format, whose sum tells the receiver (`xtask`) whether all of it came through.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

const FILE: &str = "/proc/trace";
/// Bytes in a line: 96 characters of Base64.
const LINE: usize = 72;

/// Gives the recorder a command: `on`, `off`, `calls`, `clear`, `mark TEXT`.
///
/// # Errors
/// If this kernel has no recorder, or does not know the command.
pub fn tell(command: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(FILE)?.write_all(command.as_bytes())
}

/// Sends the trace to `output`. Recording should be off.
///
/// # Errors
/// If the trace cannot be read or the output does not take it.
pub fn send(output: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(FILE)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        encoder.write_all(&buffer[..count])?;
    }
    writeln!(output, "@trace begin")?;
    for part in encoder.finish()?.chunks(LINE) {
        writeln!(output, "@{}", BASE64_STANDARD.encode(part))?;
    }
    writeln!(output, "@trace end")?;
    output.flush()
}
