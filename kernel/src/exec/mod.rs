//! Loading ELF programs (execve(2)).
