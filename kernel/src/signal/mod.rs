//! POSIX signals as Linux delivers them.
