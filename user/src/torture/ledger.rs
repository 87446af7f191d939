//! What memory is in use for, as the kernel tells: what must be the same before and after.
//!
//! Skein accounts for every page. A page is free, a process's (private pages, page tables), a file's, or the kernel's own; the
//! kernel's are slabs, large objects and what the machine layer has for kernel stacks. Of these, slabs may lie emptier than before,
//! and there may be more stacks kept for reuse, as many as there were threads at a time. Of all other pages there must not be one
//! more than before, and of the objects of each size only a few. Other kernels are taken by their word about free memory, with a tolerance.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use super::process::fail;

/// What other kernels' allocators may keep of memory that they once had, in kB.
const KEPT: i64 = 2048;
/// Objects of a size that there may be more, however often this is done: how many nodes a map has depends on the order in which it was
/// filled, and lists of weak references are swept when they have doubled.
const OBJECTS: i64 = 16;
/// Memory is back when nothing has changed for this long, or is not when it has not after [`PATIENCE`].
const SETTLED: Duration = Duration::from_millis(300);
/// See [`SETTLED`].
const PATIENCE: Duration = Duration::from_secs(30);

/// What `/proc` says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Free memory, in kB.
    pub(super) free: i64,
    /// Pages of kernel stacks that are kept for reuse, with their tables.
    stacks: i64,
    /// What must be the same, by name. Empty on other kernels.
    exact: BTreeMap<String, i64>,
}

impl Ledger {
    /// Has the kernel give back what it only keeps for the next, and writes down what is in use then.
    fn take() -> Self {
        // Not everybody may do that, and not everybody needs to.
        let _ = fs::write("/proc/sys/vm/drop_caches", "3");
        let [meminfo, vmstat, own, slabinfo] = texts();
        let (meminfo, vmstat) = (numbers(&meminfo), numbers(&vmstat));
        let free = meminfo.get("MemFree").copied();
        let free = free.unwrap_or_else(|| fail("no MemFree in /proc/meminfo"));
        let Some(kernel) = vmstat.get("skein_kernel_pages") else {
            return Self { free, stacks: 0, exact: BTreeMap::new() };
        };
        let count = |name: &str| vmstat.get(name).copied().unwrap_or_default();
        let (heap, machine) = (count("nr_slab_unreclaimable"), count("skein_machine_pages"));
        let mut exact = numbers(&slabinfo);
        exact.insert("kernel pages for no known purpose".to_owned(), kernel - heap - machine);
        for name in ["nr_page_table_pages", "nr_shmem", "nr_kernel_stack", "skein_large_pages"] {
            exact.insert(name.to_owned(), count(name));
        }
        // This process is the only one, and its own pages may well change.
        let private = count("nr_anon_pages") - private_pages(&own);
        exact.insert("private pages of nobody".to_owned(), private);
        let all = count("nr_free_pages") + count("nr_anon_pages") + count("nr_page_table_pages");
        // Turned round: what is missing shows as a rise.
        let all = all + count("nr_file_pages") + kernel;
        exact.insert("pages that are nowhere".to_owned(), -all);
        Self { free, stacks: machine, exact }
    }

    /// The same once nothing changes any more.
    pub(super) fn settled() -> Self {
        let (mut ledger, start) = (Self::take(), Instant::now());
        let mut since = start;
        while since.elapsed() < SETTLED && start.elapsed() < PATIENCE {
            std::thread::sleep(SETTLED / 10);
            let now = Self::take();
            if now != ledger {
                (ledger, since) = (now, Instant::now());
            }
        }
        ledger
    }

    /// The same once nothing is missing against `before`, or after a long time.
    pub(super) fn settled_against(before: &Self) -> Self {
        let start = Instant::now();
        loop {
            let now = Self::settled();
            if now.missing_since(before).is_empty() || start.elapsed() > PATIENCE {
                return now;
            }
        }
    }

    /// What has got lost since `before`, in words.
    pub(super) fn missing_since(&self, before: &Self) -> Vec<String> {
        if self.exact.is_empty() {
            let lost = before.free - self.free;
            return if lost > KEPT { vec![format!("{lost} kB")] } else { Vec::new() };
        }
        let rise = |(name, now): (&String, &i64)| {
            let then = before.exact.get(name).copied().unwrap_or_default();
            let slack = if name.starts_with("kmalloc") { OBJECTS } else { 0 };
            (*now > then + slack).then(|| format!("{name}: {then} before, {now} after"))
        };
        self.exact.iter().filter_map(rise).collect()
    }

    /// Pages more than `before` that are kept for stacks.
    pub(super) fn stacks_since(&self, before: &Self) -> i64 {
        self.stacks - before.stacks
    }
}

/// The content of the files that say what memory is used for, all read before anything is made of them: memory that this
/// process takes or gives back in between would not add up.
fn texts() -> [String; 4] {
    const FILES: [&str; 4] =
        ["/proc/meminfo", "/proc/vmstat", "/proc/self/statm", "/proc/slabinfo"];
    const ROOM: usize = 16 << 10;
    let mut buffers = FILES.map(|_| vec![1_u8; ROOM]);
    let mut lengths = [0; FILES.len()];
    for ((file, buffer), length) in FILES.iter().zip(&mut buffers).zip(&mut lengths) {
        // Other kernels may not let everybody read the last.
        let Ok(mut file) = fs::File::open(file) else { continue };
        while let Ok(count @ 1..) = file.read(&mut buffer[*length..]) {
            *length += count;
        }
    }
    let mut lengths = lengths.into_iter();
    buffers.map(|buffer| {
        let length = lengths.next().unwrap_or_default();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    })
}

/// Private pages of the process with this `/proc/PID/statm`.
fn private_pages(statm: &str) -> i64 {
    let mut numbers = statm.split_whitespace().map(|word| word.parse::<i64>().unwrap_or_default());
    // Size, resident, of these shared.
    let (resident, shared) = (numbers.nth(1), numbers.next());
    resident.unwrap_or_default() - shared.unwrap_or_default()
}

/// The numbers in `text`, by the word that each line begins with.
fn numbers(text: &str) -> BTreeMap<String, i64> {
    let number = |line: &str| {
        let (name, rest) = line.split_once([' ', ':'])?;
        let number = rest.split_whitespace().next()?.parse().ok()?;
        Some((name.to_owned(), number))
    };
    text.lines().filter_map(number).collect()
}
