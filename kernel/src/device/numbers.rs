//! /dev/random and /dev/urandom, which are the same.

use alloc::sync::Arc;

use arch::addr::PAGE_SIZE;

use crate::errno::Result;
use crate::fs::device::CharacterDevice;
use crate::fs::{File, FileOperations, OpenFlags, Path, PollEvents, PollTable, Sink, Source};
use crate::{random, task};

/// Bytes that are made at a time.
const CHUNK: usize = 256;

/// Random bytes. What is written to it is taken and not used: the machine's own entropy is better.
pub(super) struct Random;

impl CharacterDevice for Random {
    fn open(
        &self,
        _minor: u32,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOperations>> {
        Ok(Arc::new(Self))
    }
}

impl FileOperations for Random {
    fn read(&self, _file: &File, sink: &mut Sink<'_>, _position: &mut u64) -> Result {
        read_random(sink)
    }

    fn write(&self, _file: &File, source: &mut Source<'_>, _position: &mut u64) -> Result {
        Ok(source.skip(source.remaining()))
    }

    fn poll(&self, _file: &File, _table: &mut PollTable) -> PollEvents {
        PollEvents::always_ready()
    }
}

/// Fills `sink` with random bytes. A signal ends a long transfer at a page's end, as on Linux.
fn read_random(sink: &mut Sink<'_>) -> Result {
    let mut chunk = [0; CHUNK];
    let mut total = 0;
    while sink.remaining() > 0 {
        let count = sink.remaining().min(CHUNK);
        random::fill(&mut chunk[..count]);
        match sink.put(&chunk[..count]) {
            Ok(stored) => total += stored,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
        if total % PAGE_SIZE == 0 && task::current().has_pending_signal() {
            break;
        }
    }
    Ok(total)
}
