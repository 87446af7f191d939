//! /dev/null, /dev/zero and /dev/full.

use alloc::sync::Arc;

use crate::errno::{Errno, Result};
use crate::fs::device::CharacterDevice;
use crate::fs::{File, FileOperations, OpenFlags, Path, Sink, Source};

/// Zeros, a piece at a time.
static ZEROS: [u8; 4096] = [0; 4096];

macro_rules! opens_itself {
    ($($device:ident),*) => {
        $(impl CharacterDevice for $device {
            fn open(
                &self,
                _minor: u32,
                _path: &Path,
                _flags: OpenFlags,
            ) -> Result<Arc<dyn FileOperations>> {
                Ok(Arc::new($device))
            }
        })*
    };
}

opens_itself!(Null, Zero, Full);

/// Empty to read; takes everything.
pub(super) struct Null;

/// Endless zeros; takes everything.
pub(super) struct Zero;

/// Endless zeros; has no space.
pub(super) struct Full;

fn read_zeros(sink: &mut Sink<'_>) -> Result {
    let mut total = 0;
    while sink.remaining() > 0 {
        match sink.put(&ZEROS) {
            Ok(stored) => total += stored,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

fn discard(source: &mut Source<'_>) -> Result {
    Ok(source.skip(source.remaining()))
}

impl FileOperations for Null {
    fn read(&self, _file: &File, _sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        Ok(0)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        discard(source)
    }
}

impl FileOperations for Zero {
    fn read(&self, _file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        read_zeros(sink)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        discard(source)
    }

    fn maps_zeros(&self) -> bool {
        true
    }
}

impl FileOperations for Full {
    fn read(&self, _file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        read_zeros(sink)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        if source.remaining() == 0 { Ok(0) } else { Err(Errno::ENOSPC) }
    }
}
