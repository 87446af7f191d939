//! An open made-up file.

use alloc::vec::Vec;

use super::{Output, ReadFunction, Subject, WriteFunction};
use crate::errno::{Errno, Result};
use crate::fs::{File, FileOperations, Positioning, SeekFrom, Sink, Source};
use crate::scheduling::Mutex;

/// The longest text that a write takes.
const WRITE_MAX: usize = 4096;

/// The operations of one open file, with the text that its reads get.
pub struct TextFile<S: Subject> {
    subject: S,
    read: ReadFunction<S>,
    write: Option<WriteFunction<S>>,
    /// Made by the first read, and again by every read from the start.
    text: Mutex<Option<Vec<u8>>>,
}

impl<S: Subject> TextFile<S> {
    /// A file that was just opened.
    pub fn new(subject: S, read: ReadFunction<S>, write: Option<WriteFunction<S>>) -> Self {
        Self { subject, read, write, text: Mutex::new(None) }
    }

    fn make(&self) -> Result<Vec<u8>> {
        if !self.subject.is_alive() {
            return Err(Errno::ESRCH);
        }
        let mut output = Output::new();
        (self.read)(&self.subject, &mut output)?;
        Ok(output.into_bytes())
    }
}

impl<S: Subject> FileOperations for TextFile<S> {
    fn read(&self, _file: &File, sink: &mut Sink<'_>, position: &mut u64) -> Result {
        let mut text = self.text.lock();
        if *position == 0 || text.is_none() {
            *text = Some(self.make()?);
        }
        let text = text.as_deref().unwrap_or_default();
        let start = usize::try_from(*position).unwrap_or(usize::MAX).min(text.len());
        let count = sink.put(&text[start..])?;
        *position += count as u64;
        Ok(count)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, position: &mut u64) -> Result {
        let write = self.write.ok_or(Errno::EIO)?;
        self.subject.check_write()?;
        let length = source.remaining();
        if length > WRITE_MAX {
            return Err(Errno::EINVAL);
        }
        let mut text = Vec::new();
        text.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        text.resize(length, 0);
        if source.take(&mut text)? != length {
            return Err(Errno::EFAULT);
        }
        write(&self.subject, &text)?;
        *position += length as u64;
        Ok(length)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn seek(&self, _file: &File, current: u64, to: SeekFrom) -> Result<u64> {
        to.without_end(current)
    }
}

/// The number in a text that was written: decimal, blanks around it ignored.
///
/// # Errors
/// `EINVAL`.
pub fn parse_number(text: &[u8]) -> Result<i64> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    text.trim_matches(['\0', '\n', ' ', '\t']).parse().map_err(|_| Errno::EINVAL)
}
