//! The text of a file that is being made up.

use alloc::vec::Vec;
use core::fmt;

use crate::errno::{Errno, Result};

/// Bytes that grow as they are written; writing fails only for lack of memory.
#[derive(Default)]
pub struct Output(Vec<u8>);

impl Output {
    /// No text.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends bytes that need not be UTF-8.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends formatted text: what `write!` calls.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<()> {
        fmt::write(self, text).map_err(|fmt::Error| Errno::ENOMEM)
    }

    /// Appends `path` as mount tables quote it: blanks, backslashes and `#` in octal.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn quoted(&mut self, path: &[u8]) -> Result<()> {
        for byte in path {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => write!(self, "\\{byte:03o}")?,
                byte => self.bytes(&[*byte])?,
            }
        }
        Ok(())
    }

    /// How much has been written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Blanks up to column `width` from `start`, as Linux pads lines of `/proc/PID/maps`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn pad_to(&mut self, start: usize, width: usize) -> Result<()> {
        while self.0.len() < start + width {
            self.bytes(b" ")?;
        }
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_in_mount_tables() {
        let mut output = Output::new();
        output.quoted(b"/a b\\c\td").expect("memory");
        assert_eq!(output.into_bytes(), b"/a\\040b\\134c\\011d");
    }
}
