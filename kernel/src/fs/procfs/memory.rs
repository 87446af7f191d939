//! `/proc/meminfo` and `/proc/vmstat`.

use arch::addr::PAGE_SIZE;

use super::super::pseudo::Output;
use super::subject::System;
use crate::errno::Result;
use crate::memory::heap::memory;

const PAGE_KIB: u64 = PAGE_SIZE as u64 / 1024;

/// A huge page.
const HUGE_KIB: u64 = 2048;

/// The lines of `/proc/meminfo`.
pub fn summary(_: &System, out: &mut Output) -> Result<()> {
    let stats = memory().stats();
    let census = memory().census();
    let total = stats.total * PAGE_KIB;
    let free = stats.free * PAGE_KIB;
    let shared = census.object * PAGE_KIB;
    let kernel = census.kernel * PAGE_KIB;
    for (label, kib) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", stats.available * PAGE_KIB),
        ("Buffers", 0),
        ("Cached", shared),
        ("SwapCached", 0),
        ("Active", census.anonymous * PAGE_KIB),
        ("Inactive", shared),
        ("Active(anon)", census.anonymous * PAGE_KIB),
        ("Inactive(anon)", shared),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", census.anonymous * PAGE_KIB),
        ("Mapped", shared),
        ("Shmem", shared),
        ("KReclaimable", 0),
        ("Slab", kernel),
        ("SReclaimable", 0),
        ("SUnreclaim", kernel),
        ("KernelStack", 0),
        ("PageTables", census.tables * PAGE_KIB),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", total),
        ("Committed_AS", (census.anonymous + census.object) * PAGE_KIB),
        ("AnonHugePages", memory().huge_pages() * HUGE_KIB),
        ("ShmemHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
    ] {
        let column = 16_usize.saturating_sub(label.len() + 1);
        writeln!(out, "{label}:{:column$}{kib:8} kB", "")?;
    }
    Ok(())
}

/// The lines of `/proc/vmstat` that have a meaning here.
pub fn events(_: &System, out: &mut Output) -> Result<()> {
    let stats = memory().stats();
    let census = memory().census();
    for (label, value) in [
        ("nr_free_pages", stats.free),
        ("nr_anon_pages", census.anonymous),
        ("nr_mapped", census.object),
        ("nr_anon_transparent_hugepages", memory().huge_pages()),
        ("nr_file_pages", census.object),
        ("nr_shmem", census.object),
        ("nr_page_table_pages", census.tables),
        ("nr_slab_unreclaimable", census.kernel),
    ] {
        writeln!(out, "{label} {value}")?;
    }
    for ((name, _), value) in mm::counters::DESCRIPTIONS.iter().zip(memory().counter_totals()) {
        writeln!(out, "skein_{name} {value}")?;
    }
    Ok(())
}
