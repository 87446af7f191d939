//! Loading ELF programs (execve(2)).

pub mod elf;
pub mod script;
pub mod stack;
