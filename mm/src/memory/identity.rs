//! Numbers for what has no name and may not be mistaken for another: [`Identity`].

use arch::sync::atomic::Ordering;

use super::Memory;

/// The number of an address space or memory object. None is ever given out twice: unlike an address it says, also when its
/// owner is gone, that nobody else is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity(u64);

impl Identity {
    /// The number itself; never 0.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Memory {
    /// A number that nothing else has.
    pub(crate) fn new_identity(&self) -> Identity {
        Identity(self.identities.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
