//! The table of system calls: number, name, handler. Made of the areas' own tables at compile time.

use core::fmt;

use super::Caller;
use crate::errno::Result;

/// A row of the table.
pub struct Syscall {
    /// Its number in the x86-64 ABI.
    pub number: u16,
    /// Its name, as in section 2 of the manual.
    pub name: &'static str,
    /// Decodes the argument registers and runs the handler.
    pub run: fn(&mut Caller<'_>) -> Result,
    /// Writes the decoded arguments, for the tracer.
    pub show: fn(&[u64; 6], &mut dyn fmt::Write) -> fmt::Result,
}

/// A row of a system-call table: `syscall!(0, read(descriptor: Fd, buffer: UserAddr, count: usize))`.
///
/// The handler of that name takes a [`Caller`] and the listed arguments, whose types implement
/// [`Argument`](super::Argument).
#[macro_export]
macro_rules! syscall {
    ($number:literal, $name:ident($($argument:ident: $type:ty),* $(,)?)) => {
        $crate::syscall::Syscall {
            number: $number,
            name: stringify!($name),
            run: |caller| {
                #[allow(unused_mut, unused_variables, reason = "a call without arguments reads no register")]
                let mut registers = caller.arguments().into_iter();
                $(let $argument = <$type as $crate::syscall::Argument>::from_register(registers.next().unwrap_or(0));)*
                $name(caller, $($argument),*)
            },
            #[allow(unused, reason = "a call without arguments shows none")]
            show: |registers, out| {
                let mut registers = registers.iter();
                let mut separator = "";
                $(
                    out.write_str(separator)?;
                    <$type as $crate::syscall::Argument>::show(*registers.next().unwrap_or(&0), out)?;
                    separator = ", ";
                )*
                Ok(())
            },
        }
    };
}

/// One past the highest number that can have a row.
const NUMBERS: usize = 512;

/// The areas' tables. An area with many calls brings a list of tables.
const AREAS: &[&[&[Syscall]]] = &[
    &[
        crate::device::SYSCALLS,
        crate::exec::SYSCALLS,
        crate::futex::SYSCALLS,
        crate::pipe::SYSCALLS,
        crate::rseq::SYSCALLS,
        crate::scheduling::SYSCALLS,
        crate::signal::SYSCALLS,
        crate::task::SYSCALLS,
        crate::time::SYSCALLS,
    ],
    crate::event::SYSCALLS,
    crate::fs::syscalls::SYSCALLS,
    crate::memory::SYSCALLS,
    crate::socket::SYSCALLS,
];

static TABLE: [Option<&Syscall>; NUMBERS] = merge();

const fn merge() -> [Option<&'static Syscall>; NUMBERS] {
    let mut table = [None; NUMBERS];
    let mut area = 0;
    while area < AREAS.len() {
        let mut part = 0;
        while part < AREAS[area].len() {
            table = enter(table, AREAS[area][part]);
            part += 1;
        }
        area += 1;
    }
    table
}

const fn enter(
    mut table: [Option<&'static Syscall>; NUMBERS],
    rows: &'static [Syscall],
) -> [Option<&'static Syscall>; NUMBERS] {
    let mut row = 0;
    while row < rows.len() {
        let number = rows[row].number as usize;
        assert!(table[number].is_none(), "two system calls with one number");
        table[number] = Some(&rows[row]);
        row += 1;
    }
    table
}

/// The row of call `number`, if it is implemented.
pub(super) fn find(number: u64) -> Option<&'static Syscall> {
    TABLE.get(usize::try_from(number).ok()?).copied().flatten()
}

/// Every implemented call, by number.
pub fn implemented() -> impl Iterator<Item = &'static Syscall> {
    TABLE.iter().flatten().copied()
}
