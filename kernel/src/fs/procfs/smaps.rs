//! `/proc/PID/smaps` and `smaps_rollup`: what each area of an address space takes.

use arch::addr::PAGE_SIZE;
use mm::space::Breakdown;
use mm::{AddressSpace, Protection, Vma, VmaFlags};

use super::super::pseudo::Output;
use super::maps;
use super::subject::Task;
use crate::errno::Result;
use crate::memory::memory;

const PAGE_KIB: u64 = PAGE_SIZE as u64 / 1024;

/// The line of `maps` for each area, and below it what the area takes.
pub fn areas(task: &Task, out: &mut Output) -> Result<()> {
    task.accessible_thread()?;
    let Some(space) = task.process.space() else { return Ok(()) };
    for entry in space.maps() {
        let vma = &entry.vma;
        maps::line(&entry, out)?;
        lines(
            out,
            &[
                ("Size", vma.range.pages() * PAGE_KIB),
                ("KernelPageSize", PAGE_KIB),
                ("MMUPageSize", PAGE_KIB),
            ],
        )?;
        let usage = space.breakdown(vma.range);
        sums(&usage, locked(vma, &usage), out)?;
        writeln!(out, "THPeligible:    {:8}", u8::from(is_eligible(&space, vma)))?;
        flags(vma, out)?;
    }
    Ok(())
}

/// The sums over all areas.
pub fn rollup(task: &Task, out: &mut Output) -> Result<()> {
    task.accessible_thread()?;
    let Some(space) = task.process.space() else { return Ok(()) };
    let mut sum = Breakdown::default();
    let (mut start, mut end, mut locked_pages) = (None, 0, 0);
    for entry in space.maps() {
        let usage = space.breakdown(entry.vma.range);
        start.get_or_insert(entry.vma.start().as_u64());
        end = entry.vma.end().as_u64();
        locked_pages += locked(&entry.vma, &usage);
        sum += usage;
    }
    let start = start.unwrap_or(0);
    writeln!(out, "{start:08x}-{end:08x} ---p 00000000 00:00 0                    [rollup]")?;
    sums(&sum, locked_pages, out)
}

fn sums(usage: &Breakdown, locked: u64, out: &mut Output) -> Result<()> {
    let kib = |pages| pages * PAGE_KIB;
    let proportional = usage.proportional * PAGE_KIB / Breakdown::SHARE;
    lines(
        out,
        &[
            ("Rss", kib(usage.resident)),
            ("Pss", proportional),
            ("Shared_Clean", kib(usage.shared_clean)),
            ("Shared_Dirty", kib(usage.shared_dirty)),
            ("Private_Clean", kib(usage.private_clean)),
            ("Private_Dirty", kib(usage.private_dirty)),
            ("Referenced", kib(usage.referenced)),
            ("Anonymous", kib(usage.anonymous)),
            ("LazyFree", 0),
            ("AnonHugePages", kib(usage.huge)),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", kib(locked)),
        ],
    )
}

fn lines(out: &mut Output, lines: &[(&str, u64)]) -> Result<()> {
    for (label, kib) in lines {
        let column = 16_usize.saturating_sub(label.len() + 1);
        writeln!(out, "{label}:{:column$}{kib:8} kB", "")?;
    }
    Ok(())
}

fn locked(vma: &Vma, usage: &Breakdown) -> u64 {
    if vma.flags.contains(VmaFlags::LOCKED) { usage.resident } else { 0 }
}

/// Whether a fault in the area may map a huge page.
fn is_eligible(space: &AddressSpace, vma: &Vma) -> bool {
    space.has_room_for_huge(vma) && memory().huge_policy() != mm::memory::HugePolicy::Never
}

/// The two-letter names of proc(5).
fn flags(vma: &Vma, out: &mut Output) -> Result<()> {
    out.bytes(b"VmFlags:")?;
    let readable = [
        (vma.protection.contains(Protection::READ), "rd"),
        (vma.protection.contains(Protection::WRITE), "wr"),
        (vma.protection.contains(Protection::EXECUTE), "ex"),
        (vma.is_shared(), "sh"),
        (vma.allowed.contains(Protection::READ), "mr"),
        (vma.allowed.contains(Protection::WRITE), "mw"),
        (vma.allowed.contains(Protection::EXECUTE), "me"),
    ];
    let marks = [
        (VmaFlags::GROWS_DOWN, "gd"),
        (VmaFlags::LOCKED, "lo"),
        (VmaFlags::SEQUENTIAL, "sr"),
        (VmaFlags::RANDOM, "rr"),
        (VmaFlags::NO_FORK, "dc"),
        (VmaFlags::NO_RESERVE, "nr"),
        (VmaFlags::WIPE_ON_FORK, "wf"),
        (VmaFlags::NO_DUMP, "dd"),
        (VmaFlags::HUGE_PAGES, "hg"),
        (VmaFlags::NO_HUGE_PAGES, "nh"),
    ];
    let marks = marks.into_iter().map(|(flag, name)| (vma.flags.contains(flag), name));
    for (_, name) in readable.into_iter().chain(marks).filter(|(set, _)| *set) {
        write!(out, " {name}")?;
    }
    out.bytes(b"\n")
}
