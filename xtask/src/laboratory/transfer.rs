//! How a trace comes over the console: a line `@trace begin`, lines of Base64 behind `@`, and `@trace end SUM`.
//!
//! What is sent is zlib's format, whose own sum finds lines that were lost or mixed with others'.

use std::io::Read;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::ZlibDecoder;

/// Takes lines, and gives the traces in them.
#[derive(Default)]
pub struct Receiver {
    text: Option<Vec<u8>>,
}

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Part of a trace.
    Part,
    /// The end of one: `/proc/trace`, as it was read.
    Trace(Vec<u8>),
    /// Something else.
    Other,
}

impl Receiver {
    /// Looks at a line of the console.
    ///
    /// # Errors
    /// If a trace was damaged on its way.
    pub fn take(&mut self, line: &str) -> anyhow::Result<Line> {
        let Some(rest) = line.trim().strip_prefix('@') else { return Ok(Line::Other) };
        match (rest, &mut self.text) {
            ("trace begin", _) => self.text = Some(Vec::new()),
            ("trace end", text) => {
                let bytes = text.take().context("the end of a trace without its beginning")?;
                return unpack(&bytes).map(Line::Trace);
            }
            (_, None) => bail!("a part of a trace without its beginning"),
            (part, Some(text)) => {
                let bytes = BASE64_STANDARD.decode(part);
                text.extend(bytes.context("a line of the trace is damaged")?);
            }
        }
        Ok(Line::Part)
    }
}

fn unpack(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    /// Larger traces than any machine here has memory for are damage.
    const LARGEST: u64 = 1 << 30;
    let mut unpacked = Vec::new();
    let mut decoder = ZlibDecoder::new(bytes).take(LARGEST);
    decoder.read_to_end(&mut unpacked).context("the trace was damaged on its way")?;
    ensure!((unpacked.len() as u64) < LARGEST, "the trace is too large");
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_trace_survives_the_console_or_is_refused() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"the trace").unwrap();
        let packed = encoder.finish().unwrap();
        let (head, tail) = packed.split_at(7);
        let mut receiver = Receiver::default();
        let mut take = |line: &str| receiver.take(line);
        assert_eq!(take("hello").unwrap(), Line::Other);
        assert_eq!(take("@trace begin\r").unwrap(), Line::Part);
        let lines = [head, tail].map(|part| format!("@{}", BASE64_STANDARD.encode(part)));
        assert_eq!(take(&lines[0]).unwrap(), Line::Part);
        assert_eq!(take("[  1.0] a line of the kernel").unwrap(), Line::Other);
        assert_eq!(take(&lines[1]).unwrap(), Line::Part);
        assert_eq!(take("@trace end").unwrap(), Line::Trace(b"the trace".to_vec()));
        take("@trace begin").unwrap();
        take(&lines[0]).unwrap();
        assert!(take("@trace end").is_err());
        assert!(take(&lines[0]).is_err());
    }
}
