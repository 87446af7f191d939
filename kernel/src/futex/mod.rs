//! Fast user-space locking (futex(2)).
