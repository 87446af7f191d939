//! Loading ELF programs (execve(2)).

mod arguments;
pub mod elf;
pub mod script;
pub mod stack;
