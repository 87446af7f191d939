//! The machine layer's errors.

/// There is no memory for what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A user address that is not mapped, or not for this access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserFault;
