//! The machine layer's errors.

/// There is no memory for what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Bytes that are not an extended-state image this processor could load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidState;

/// A user address that is not mapped, or not for this access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserFault;
