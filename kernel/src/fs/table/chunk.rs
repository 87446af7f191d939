//! Sixty-four descriptors: the unit in which a forked table is copied.

use alloc::sync::Arc;

use super::super::file::File;

/// Slots of 64 consecutive descriptors.
#[derive(Clone)]
pub(super) struct Chunk {
    files: [Option<Arc<File>>; Chunk::SLOTS],
    /// Bit n is set while slot n holds a file.
    open: u64,
    /// Bit n is set while slot n's descriptor closes at exec; only where `open` is.
    close_on_exec: u64,
}

impl Chunk {
    /// How many slots there are.
    pub(super) const SLOTS: usize = 64;

    pub(super) fn new() -> Self {
        Self { files: [const { None }; Self::SLOTS], open: 0, close_on_exec: 0 }
    }

    pub(super) fn file(&self, slot: usize) -> Option<&Arc<File>> {
        self.files.get(slot)?.as_ref()
    }

    pub(super) fn open_mask(&self) -> u64 {
        self.open
    }

    pub(super) fn close_on_exec_mask(&self) -> u64 {
        self.close_on_exec
    }

    /// Bytes of kernel memory that the files keep.
    pub(super) fn held_memory(&self) -> usize {
        self.files.iter().flatten().map(|file| file.held_memory()).sum()
    }

    /// Puts `file` into `slot` and returns what was there.
    pub(super) fn put(
        &mut self,
        slot: usize,
        file: Arc<File>,
        close_on_exec: super::CloseOnExec,
    ) -> Option<Arc<File>> {
        self.open |= 1 << slot;
        self.set_close_on_exec(slot, close_on_exec);
        self.files[slot].replace(file)
    }

    /// Empties `slot` and returns what was there.
    pub(super) fn take(&mut self, slot: usize) -> Option<Arc<File>> {
        self.open &= !(1 << slot);
        self.close_on_exec &= !(1 << slot);
        self.files[slot].take()
    }

    pub(super) fn set_close_on_exec(&mut self, slot: usize, value: super::CloseOnExec) {
        match value {
            super::CloseOnExec::Yes => self.close_on_exec |= 1 << slot,
            super::CloseOnExec::No => self.close_on_exec &= !(1 << slot),
        }
    }
}
