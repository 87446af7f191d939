//! What processes do in the model, and where their memory is.

use arch::addr::UserAddr;
use mm::Protection;
use mm::space::Advice;
use proptest::prelude::*;

use super::common::{CPUS, PAGE};

pub const RW: Protection = Protection::READ.union(Protection::WRITE);

/// Pages of a window. Each window straddles a boundary of one level of tables, so that ranges have edges everywhere.
pub const WINDOW: u64 = 12;
pub const WINDOWS: [u64; 3] =
    [(2 << 20) * 5 - 6 * PAGE, (1 << 30) - 6 * PAGE, (512 << 30) - 6 * PAGE];
pub const PAGES: u64 = WINDOW * WINDOWS.len() as u64;
/// Pages of the object that everybody may map.
pub const OBJECT_PAGES: u64 = 8;
/// Processes alive at once.
pub const PROCESSES: usize = 4;

/// The address of a page of the model.
pub fn address(page: u64) -> u64 {
    WINDOWS[(page / WINDOW) as usize] + page % WINDOW * PAGE
}

pub fn user(page: u64) -> UserAddr {
    UserAddr::try_new(address(page)).expect("in range")
}

#[derive(Clone, Debug)]
pub enum Step {
    Read {
        process: usize,
        cpu: usize,
        page: u64,
    },
    Write {
        process: usize,
        cpu: usize,
        page: u64,
        value: u8,
    },
    Fork {
        process: usize,
    },
    Exit {
        process: usize,
    },
    Map {
        process: usize,
        page: u64,
        count: u64,
        writable: bool,
    },
    MapObject {
        process: usize,
        page: u64,
        count: u64,
        first: u64,
        shared: bool,
    },
    Unmap {
        process: usize,
        page: u64,
        count: u64,
    },
    UnmapAll {
        process: usize,
    },
    Protect {
        process: usize,
        page: u64,
        count: u64,
        protection: u8,
    },
    Move {
        process: usize,
        page: u64,
        count: u64,
        target: u64,
    },
    Discard {
        process: usize,
        page: u64,
        count: u64,
    },
    /// What fork is to make of the pages.
    AdviseFork {
        process: usize,
        page: u64,
        count: u64,
        advice: Advice,
    },
    /// `MADV_POPULATE_WRITE` or `_READ`, as far as that goes.
    Populate {
        process: usize,
        page: u64,
        count: u64,
        advice: Advice,
    },
    /// `MREMAP_DONTUNMAP`, and back again.
    MoveAway {
        process: usize,
        page: u64,
        count: u64,
    },
    /// Another process writes by `process_vm_writev`.
    WriteRemote {
        process: usize,
        page: u64,
        value: u8,
    },
    /// The CPU walks without having been asked.
    Speculate {
        cpu: usize,
        page: u64,
    },
    /// Every CPU that runs the process reads the page.
    Look {
        process: usize,
        page: u64,
    },
    Resize {
        pages: u64,
    },
    WriteObject {
        page: u64,
        value: u8,
    },
    /// A hole is made in the object.
    Punch {
        page: u64,
        count: u64,
    },
    Idle {
        cpu: usize,
    },
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = || 0..PROCESSES;
    let cpu = || 0..CPUS;
    let page = || 0..PAGES;
    let count = || 1..WINDOW;
    let step = prop_oneof![
        6 => (process(), cpu(), page()).prop_map(|(process, cpu, page)| Step::Read { process, cpu, page }),
        10 => (process(), cpu(), page(), any::<u8>())
            .prop_map(|(process, cpu, page, value)| Step::Write { process, cpu, page, value }),
        3 => process().prop_map(|process| Step::Fork { process }),
        2 => process().prop_map(|process| Step::Exit { process }),
        4 => (process(), page(), count(), any::<bool>())
            .prop_map(|(process, page, count, writable)| Step::Map { process, page, count, writable }),
        3 => (process(), page(), count(), 0..OBJECT_PAGES, any::<bool>())
            .prop_map(|(process, page, count, first, shared)| Step::MapObject { process, page, count, first, shared }),
        2 => (process(), page(), count()).prop_map(|(process, page, count)| Step::Unmap { process, page, count }),
        1 => process().prop_map(|process| Step::UnmapAll { process }),
        2 => (process(), page(), count(), 0u8..3)
            .prop_map(|(process, page, count, protection)| Step::Protect { process, page, count, protection }),
        2 => (process(), page(), count(), page())
            .prop_map(|(process, page, count, target)| Step::Move { process, page, count, target }),
        1 => (process(), page(), count()).prop_map(|(process, page, count)| Step::Discard { process, page, count }),
        1 => (process(), page(), count(), fork_advice())
            .prop_map(|(process, page, count, advice)| Step::AdviseFork { process, page, count, advice }),
        1 => (process(), page(), count(), populations())
            .prop_map(|(process, page, count, advice)| Step::Populate { process, page, count, advice }),
        1 => (process(), page(), count()).prop_map(|(process, page, count)| Step::MoveAway { process, page, count }),
        2 => (process(), page(), any::<u8>())
            .prop_map(|(process, page, value)| Step::WriteRemote { process, page, value }),
        3 => (cpu(), page()).prop_map(|(cpu, page)| Step::Speculate { cpu, page }),
        4 => (process(), page()).prop_map(|(process, page)| Step::Look { process, page }),
        1 => (0..OBJECT_PAGES + 1).prop_map(|pages| Step::Resize { pages }),
        1 => (0..OBJECT_PAGES, any::<u8>()).prop_map(|(page, value)| Step::WriteObject { page, value }),
        1 => (0..OBJECT_PAGES, 1..4_u64).prop_map(|(page, count)| Step::Punch { page, count }),
        1 => cpu().prop_map(|cpu| Step::Idle { cpu }),
    ];
    prop::collection::vec(step, 1..60)
}

pub fn fork_advice() -> impl Strategy<Value = Advice> {
    use Advice::{DoFork, DontFork, KeepOnFork, WipeOnFork};
    prop::sample::select(vec![DontFork, DoFork, WipeOnFork, KeepOnFork])
}

pub fn populations() -> impl Strategy<Value = Advice> {
    prop::sample::select(vec![Advice::PopulateRead, Advice::PopulateWrite])
}
