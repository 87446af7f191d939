//! The reference that owns a frame.

use arch::addr::Frame;

use super::meta::Kind;
use super::{FrameMeta, Memory};
use crate::count::{Released, Saturated};
use crate::raw;

/// One counted reference to a frame. Dropping it gives the reference back; the last one frees the frame.
///
/// A page-table entry holds a reference too: `into_entry` moves this one there.
pub struct FrameRef {
    memory: &'static Memory,
    frame: Frame,
}

impl core::fmt::Debug for FrameRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("FrameRef").field(&self.frame).finish()
    }
}

impl FrameRef {
    /// Takes over a reference that is counted already.
    pub(crate) fn from_owned(memory: &'static Memory, frame: Frame) -> Self {
        Self { memory, frame }
    }

    /// Takes a further reference to `frame`, which the caller knows to be referenced.
    pub(crate) fn acquire(memory: &'static Memory, frame: Frame) -> Result<Self, Saturated> {
        memory.meta(frame).count.acquire()?;
        Ok(Self { memory, frame })
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The frame's record.
    #[must_use]
    pub fn meta(&self) -> &FrameMeta {
        self.memory.meta(self.frame)
    }

    /// A second reference to the same frame.
    ///
    /// # Errors
    /// [`Saturated`] when the count is at its limit.
    pub fn try_clone(&self) -> Result<Self, Saturated> {
        Self::acquire(self.memory, self.frame)
    }

    /// Gives up this value but not its reference: a page-table entry takes it over.
    pub(crate) fn into_entry(self) -> Frame {
        let frame = self.frame;
        core::mem::forget(self);
        frame
    }

    /// Copies from the frame at `offset`, at most to its end; returns how many bytes were copied.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        raw::read(self.frame, offset, into)
    }

    /// Copies into the frame at `offset`, at most to its end; returns how many bytes were copied.
    ///
    /// For frames that user space maps privately this would bypass copy-on-write: it is for the pages of
    /// memory objects and for frames that are mapped nowhere yet.
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        debug_assert!(
            self.meta().kind() != Kind::Anonymous || self.meta().count.is_exclusive(),
            "write behind copy-on-write's back"
        );
        raw::write(self.frame, offset, from)
    }

    /// Fills the bytes from `offset` to `end` with zeros.
    ///
    /// # Panics
    /// When `offset` exceeds `end` or `end` the frame.
    pub fn zero(&self, offset: usize, end: usize) {
        raw::zero_part(self.frame, offset, end);
    }

    /// Where the kernel reaches the frame's bytes, for copies to and from user memory. Valid while this reference lives.
    #[must_use]
    pub fn window(&self) -> *mut u8 {
        arch::memory::window(self.frame.start())
    }
}

impl Drop for FrameRef {
    fn drop(&mut self) {
        debug_assert!(
            self.meta().kind() != Kind::Table || self.meta().present() == 0,
            "a table with children is dropped as a page"
        );
        if self.meta().count.release() == Released::Last {
            self.memory.free_frame(self.frame);
        }
    }
}
