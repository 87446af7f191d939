//! Sockets of the AF_UNIX family.
