//! sysfs, as far as programs look: the CPUs, and transparent huge pages.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::cpu::CpuMask;
use linux_raw_sys::general::SYSFS_MAGIC;
use mm::Memory;
use mm::memory::HugePolicy;
use spin::{Lazy, Once};

use super::inode::{Directory, DirectoryEntry, EntryVisitor, FileSystem, Inode};
use super::metadata::{DeviceNumber, FileType, Metadata, Statistics};
use super::procfs::write_list;
use super::pseudo::{Entry, Node, Output, PseudoInode, Subject};
use super::tmpfs::anonymous_device;
use crate::errno::{Errno, Result};
use crate::memory::heap::try_memory;

fn device() -> DeviceNumber {
    static DEVICE: Once<DeviceNumber> = Once::new();
    *DEVICE.call_once(anonymous_device)
}

/// The machine.
#[derive(Clone, Copy)]
struct Machine;

impl Subject for Machine {
    fn device(&self) -> DeviceNumber {
        device()
    }
}

/// One CPU, by number.
#[derive(Clone, Copy)]
struct Cpu(usize);

impl Subject for Cpu {
    fn device(&self) -> DeviceNumber {
        device()
    }

    fn number(&self) -> u64 {
        1 + self.0 as u64
    }
}

static ROOT: Node<Machine> = Node::Directory(&[
    Entry::directory(
        "devices",
        &[Entry::directory("system", &[Entry::other("cpu", |_| Arc::new(CpuDirectory))])],
    ),
    Entry::directory("fs", &[Entry::directory("cgroup", &[])]),
    Entry::directory(
        "kernel",
        &[Entry::directory(
            "mm",
            &[Entry::directory(
                "transparent_hugepage",
                &[
                    Entry::writable("enabled", huge_policy, set_huge_policy),
                    Entry::file("hpage_pmd_size", |_, out| writeln!(out, "2097152")),
                ],
            )],
        )],
    ),
]);

/// The policies by their names.
const HUGE_POLICIES: [(HugePolicy, &[u8]); 3] = [
    (HugePolicy::Always, b"always"),
    (HugePolicy::Madvise, b"madvise"),
    (HugePolicy::Never, b"never"),
];

/// All policies, the one in force in brackets.
fn huge_policy(_: &Machine, out: &mut Output) -> Result<()> {
    let current = try_memory().map_or(HugePolicy::Madvise, Memory::huge_policy);
    for (index, (policy, name)) in HUGE_POLICIES.iter().enumerate() {
        let [open, close]: [&[u8]; 2] = if *policy == current { [b"[", b"]"] } else { [b"", b""] };
        out.bytes(if index > 0 { b" " } else { b"" })?;
        [open, name, close].into_iter().try_for_each(|part| out.bytes(part))?;
    }
    out.bytes(b"\n")
}

fn set_huge_policy(_: &Machine, text: &[u8]) -> Result<()> {
    let named = |(_, name): &&(HugePolicy, &[u8])| *name == text.trim_ascii_end();
    let (policy, _) = HUGE_POLICIES.iter().find(named).ok_or(Errno::EINVAL)?;
    try_memory().ok_or(Errno::ENOMEM)?.set_huge_policy(*policy);
    Ok(())
}

/// The files beside the directories of the CPUs.
static CPU_FILES: Node<Machine> = Node::Directory(&[
    Entry::file("kernel_max", |_, out| writeln!(out, "{}", arch::cpu::MAX_CPUS - 1)),
    Entry::file("offline", |_, out| writeln!(out)),
    Entry::file("online", |_, out| list(out, &arch::online_cpus())),
    Entry::file("possible", |_, out| list(out, &CpuMask::first(arch::cpu_count()))),
    Entry::file("present", |_, out| list(out, &CpuMask::first(arch::cpu_count()))),
]);

static CPU: Node<Cpu> = Node::Directory(&[
    Entry::directory("cache", &[]),
    Entry::file("online", |_, out| writeln!(out, "1")),
    Entry::directory(
        "topology",
        &[
            Entry::file("core_id", |cpu: &Cpu, out| writeln!(out, "{}", cpu.0)),
            Entry::file("physical_package_id", |_, out| writeln!(out, "0")),
        ],
    ),
]);

fn list(out: &mut Output, cpus: &CpuMask) -> Result<()> {
    write_list(out, cpus, arch::cpu_count())?;
    out.bytes(b"\n")
}

/// `/sys/devices/system/cpu`: a directory for each CPU, and files about all.
struct CpuDirectory;

static FILES: Lazy<Arc<PseudoInode<Machine>>> = Lazy::new(|| PseudoInode::new(Machine, &CPU_FILES));

impl Inode for CpuDirectory {
    fn metadata(&self) -> Metadata {
        Metadata { links: 2 + arch::cpu_count() as u32, ..FILES.metadata() }
    }

    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }
}

impl Directory for CpuDirectory {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let number = (0..arch::cpu_count()).find(|cpu| format!("cpu{cpu}").as_bytes() == name);
        match number {
            Some(number) => Ok(PseudoInode::new(Cpu(number), &CPU)),
            None => Directory::lookup(&**FILES, name),
        }
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let count = arch::cpu_count() as u64;
        for cpu in cursor.min(count)..count {
            let name: Vec<u8> = format!("cpu{cpu}").into_bytes();
            let entry = DirectoryEntry {
                name: &name,
                inode: (cpu + 1) << 32,
                file_type: FileType::Directory,
                next: cpu + 1,
            };
            if visit(&entry).is_break() {
                return Ok(());
            }
        }
        let files = cursor.saturating_sub(count);
        Directory::entries(&**FILES, files, &mut |entry| {
            visit(&DirectoryEntry { next: entry.next + count, ..*entry })
        })
    }
}

struct SysFs;

/// The instance.
///
/// # Errors
/// None today; the signature is that of every type.
pub fn instance() -> Result<Arc<dyn FileSystem>> {
    Ok(Arc::new(SysFs))
}

impl FileSystem for SysFs {
    fn type_name(&self) -> &'static str {
        "sysfs"
    }

    fn device(&self) -> DeviceNumber {
        device()
    }

    fn root(&self) -> Arc<dyn Inode> {
        PseudoInode::new(Machine, &ROOT)
    }

    fn statistics(&self) -> Statistics {
        Statistics { magic: u64::from(SYSFS_MAGIC), block_size: 4096, ..Statistics::default() }
    }
}
