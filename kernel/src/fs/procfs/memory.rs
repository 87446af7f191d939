//! `/proc/meminfo`, `/proc/vmstat`, `/proc/slabinfo` and `/proc/sys/vm/drop_caches`.

use arch::addr::PAGE_SIZE;
use arch::thread::KernelStack;

use super::super::mount::drop_dead_entries;
use super::super::pseudo::{Output, parse_number};
use super::subject::System;
use crate::errno::{Errno, Result};
use crate::memory::heap::{heap, machine_frames, memory};

const PAGE_KIB: u64 = PAGE_SIZE as u64 / 1024;

/// A kernel stack.
const STACK_KIB: usize = KernelStack::SIZE / 1024;

/// A huge page.
const HUGE_KIB: u64 = 2048;

/// The lines of `/proc/meminfo`.
pub fn summary(_: &System, out: &mut Output) -> Result<()> {
    let stats = memory().stats();
    let census = memory().census();
    let total = stats.total * PAGE_KIB;
    let free = stats.free * PAGE_KIB;
    let shared = census.object * PAGE_KIB;
    let slabs = heap().frames() * PAGE_KIB;
    let stacks = KernelStack::usage();
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
        ("Slab", slabs),
        ("SReclaimable", 0),
        ("SUnreclaim", slabs),
        ("KernelStack", ((stacks.mapped - stacks.cached) * STACK_KIB) as u64),
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
    let stacks = KernelStack::usage();
    for (label, value) in [
        ("nr_free_pages", stats.free),
        ("nr_anon_pages", census.anonymous),
        ("nr_mapped", census.object),
        ("nr_anon_transparent_hugepages", memory().huge_pages()),
        ("nr_file_pages", census.object),
        ("nr_shmem", census.object),
        ("nr_page_table_pages", census.tables),
        ("nr_slab_unreclaimable", heap().frames()),
        ("nr_kernel_stack", ((stacks.mapped - stacks.cached) * STACK_KIB) as u64),
        ("skein_kernel_pages", census.kernel),
        ("skein_large_pages", heap().large_frames()),
        ("skein_machine_pages", machine_frames()),
        ("skein_stacks_cached", stacks.cached as u64),
    ] {
        writeln!(out, "{label} {value}")?;
    }
    for ((name, _), value) in mm::counters::DESCRIPTIONS.iter().zip(memory().counter_totals()) {
        writeln!(out, "skein_{name} {value}")?;
    }
    Ok(())
}

/// The lines of `/proc/slabinfo`, in the format of slabinfo(5). Objects in the magazines of CPUs do not count as active.
pub fn slabs(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "slabinfo - version: 2.1")?;
    out.bytes(
        b"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> \
          : tunables <limit> <batchcount> <sharedfactor> \
          : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    )?;
    for class in heap().class_stats() {
        let (size, slabs, fit) = (class.size, class.slabs, class.objects_per_slab());
        writeln!(
            out,
            "kmalloc-{size:<9} {:6} {:6} {size:6} {fit:4} {:4} \
             : tunables {:4} {:4} {:4} : slabdata {slabs:6} {slabs:6} {:6}",
            class.used,
            slabs * fit,
            1,
            0,
            0,
            0,
            class.cached,
        )?;
    }
    Ok(())
}

/// Gives back what is only kept for the next: directory entries that are gone and free objects of the heap (2, or 3 for
/// all). There is no page cache beside the files themselves, so 1 finds nothing to drop.
///
/// # Errors
/// `EINVAL` for other numbers than Linux takes; `ENOMEM`.
pub fn drop_caches(_: &System, text: &[u8]) -> Result<()> {
    match parse_number(text)? {
        1 | 4 => Ok(()),
        2 | 3 => {
            drop_dead_entries()?;
            heap().shrink();
            memory().drain_caches();
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}
