//! Running threads on CPUs: switching, blocking, wait queues, sleeping locks.
