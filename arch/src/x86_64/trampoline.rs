//! The start-up page of the other processors: from real mode to 64-bit mode.
//!
//! A start-up interrupt begins execution at the start of a page below 1 MiB, in real mode. The code below goes on to
//! 64-bit mode under a root table that maps this page at its physical address, takes a stack out of the [`Mailbox`] in the
//! same page, and jumps to the kernel.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use super::memory;
use super::percpu::CpuArea;
use crate::addr::PhysAddr;

/// Where the mailbox lies in the page.
const MAILBOX: usize = 0xf00;
const CODE_32: u16 = 8;
const DATA: u16 = 16;
const CODE_64: u16 = 24;

/// A far pointer as 16- and 32-bit code jumps through it.
#[repr(C)]
struct FarPointer {
    offset: u32,
    selector: u16,
    padding: u16,
}

/// What the start-up code reads. Little of it is naturally aligned for the processor's purposes, and need not be.
#[repr(C)]
struct Mailbox {
    /// Limit and physical base of the table below, as `LGDT` reads them.
    gdt_limit: u16,
    gdt_base: [u16; 2],
    padding: u16,
    to_32: FarPointer,
    to_64: FarPointer,
    root: u64,
    area: AtomicU64,
    /// Top of the stack; zero when nobody may start.
    stack: AtomicU64,
    entry: u64,
    gdt: [u64; 4],
}

global_asm!(
    ".pushsection .rodata.trampoline, \"a\"",
    ".global skein_trampoline",
    ".global skein_trampoline_32",
    ".global skein_trampoline_64",
    ".global skein_trampoline_end",
    ".code16",
    "skein_trampoline:",
    "cli",
    "cld",
    "xorl %ebx, %ebx",
    "movw %cs, %bx",
    "movw %bx, %ds",
    "shll $4, %ebx",
    "lgdtl {gdt}",
    "movl %cr0, %eax",
    "orl $1, %eax",
    "movl %eax, %cr0",
    "ljmpl *{to_32}",
    ".code32",
    "skein_trampoline_32:",
    "movw ${data}, %ax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movl %cr4, %eax",
    "orl $0x20, %eax", // PAE
    "movl %eax, %cr4",
    "movl {root}(%ebx), %eax",
    "movl %eax, %cr3",
    "movl $0xc0000080, %ecx", // EFER
    "rdmsr",
    "orl $0x900, %eax", // NXE, LME
    "wrmsr",
    "movl $0x80010033, %eax", // PG, WP, NE, ET, MP, PE; caching on
    "movl %eax, %cr0",
    "ljmpl *{to_64}(%ebx)",
    ".code64",
    "skein_trampoline_64:",
    "movl %ebx, %ebx",
    "xorl %eax, %eax",
    "xchgq %rax, {stack}(%rbx)",
    "testq %rax, %rax",
    "jz 2f",
    "movq %rax, %rsp",
    "xorl %ebp, %ebp",
    "movq {area}(%rbx), %rdi",
    "movq {entry}(%rbx), %rax",
    "call *%rax",
    "2: cli",
    "hlt",
    "jmp 2b",
    "skein_trampoline_end:",
    ".popsection",
    gdt = const MAILBOX + offset_of!(Mailbox, gdt_limit),
    to_32 = const MAILBOX + offset_of!(Mailbox, to_32),
    to_64 = const MAILBOX + offset_of!(Mailbox, to_64),
    root = const MAILBOX + offset_of!(Mailbox, root),
    stack = const MAILBOX + offset_of!(Mailbox, stack),
    area = const MAILBOX + offset_of!(Mailbox, area),
    entry = const MAILBOX + offset_of!(Mailbox, entry),
    data = const DATA,
    options(att_syntax)
);

unsafe extern "C" {
    static skein_trampoline: u8;
    static skein_trampoline_32: u8;
    static skein_trampoline_64: u8;
    static skein_trampoline_end: u8;
}

/// The start-up page, installed.
pub(super) struct Trampoline {
    page: PhysAddr,
}

impl Trampoline {
    /// Writes code and mailbox to the page at `page`, to run under `root` and to end in `entry`.
    pub fn install(page: PhysAddr, root: PhysAddr, entry: usize) -> Self {
        let base = page.as_u64() as u32;
        let start = &raw const skein_trampoline as usize;
        let offset = |label: *const u8| base + (label as usize - start) as u32;
        let gdt = base + (MAILBOX + offset_of!(Mailbox, gdt)) as u32;
        let far = |offset, selector| FarPointer { offset, selector, padding: 0 };
        let mailbox = Mailbox {
            gdt_limit: 31,
            gdt_base: [gdt as u16, (gdt >> 16) as u16],
            padding: 0,
            to_32: far(offset(&raw const skein_trampoline_32), CODE_32),
            to_64: far(offset(&raw const skein_trampoline_64), CODE_64),
            root: root.as_u64(),
            area: AtomicU64::new(0),
            stack: AtomicU64::new(0),
            entry: entry as u64,
            gdt: [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff],
        };
        let length = &raw const skein_trampoline_end as usize - start;
        assert!(length <= MAILBOX, "the start-up code runs into its mailbox");
        let target = memory::window(page);
        // SAFETY: boot set the page aside for this; code and mailbox fit it side by side, and no processor runs there yet.
        unsafe {
            target.copy_from_nonoverlapping(&raw const skein_trampoline, length);
            target.add(MAILBOX).cast::<Mailbox>().write(mailbox);
        }
        Self { page }
    }

    fn mailbox(&self) -> &Mailbox {
        // SAFETY: written by `install`; what changes afterwards is atomic.
        unsafe { &*memory::window(self.page).add(MAILBOX).cast::<Mailbox>() }
    }

    /// The page's number, as a start-up interrupt names it.
    pub fn vector(&self) -> u8 {
        (self.page.as_u64() >> 12) as u8
    }

    /// Lets one processor start, with `area` and the stack that ends at `stack_top`.
    pub fn offer(&self, area: *mut CpuArea, stack_top: usize) {
        self.mailbox().area.store(area as u64, Ordering::Relaxed);
        // Release: whoever takes the stack sees the area, and what it points at.
        self.mailbox().stack.store(stack_top as u64, Ordering::Release);
    }

    /// Whether a processor has taken the stack.
    pub fn was_taken(&self) -> bool {
        self.mailbox().stack.load(Ordering::Acquire) == 0
    }

    /// Withdraws the offer, and says whether it still stood.
    pub fn take_back(&self) -> bool {
        self.mailbox().stack.swap(0, Ordering::AcqRel) != 0
    }
}
