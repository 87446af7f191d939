//! Access to user memory from kernel mode, with fix-ups for faults.
//!
//! Every instruction here that touches user memory has an entry in the `.fixups` section: when it faults and
//! `Handlers::page_fault` cannot resolve the fault, execution goes on at the entry's second address, which
//! reports how much is left. SMAP is lifted (`STAC`) only around those instructions. The functions may be
//! called with interrupts on or off; what the fault handler may do then is the kernel's business.
//!
//! Copies use `rep movsq` with a tail of bytes: a fast-string operation on every x86-64, and eight times
//! cheaper than `rep movsb` where an emulator steps through it.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU8, Ordering};

pub use super::user_value::{frame_to_user, value_from_user, value_to_user};
use crate::addr::UserAddr;
use crate::error::UserFault;

/// 1 when CR4.SMAP is set. Read by the assembly.
#[unsafe(no_mangle)]
static SKEIN_SMAP: AtomicU8 = AtomicU8::new(0);

/// Says that CR4.SMAP is set on every CPU from now on.
pub(super) fn set_smap() {
    // Relaxed: set by the boot processor before anything touches user memory.
    SKEIN_SMAP.store(1, Ordering::Relaxed);
}

/// Assembly that opens user memory, if SMAP closes it.
macro_rules! user_begin {
    () => {
        "cmp byte ptr [rip + SKEIN_SMAP], 0
        je 770f
        stac
        770:"
    };
}

/// Assembly that closes user memory again.
macro_rules! user_end {
    () => {
        "cmp byte ptr [rip + SKEIN_SMAP], 0
        je 771f
        clac
        771:"
    };
}

/// Assembly of one row of the fix-up table: where a fault may come from, where to go on.
macro_rules! fixup {
    ($from:literal, $to:literal) => {
        concat!(".pushsection .fixups, \"a\"\n.balign 8\n.quad ", $from, ", ", $to, "\n.popsection")
    };
}

/// Assembly out of line that notes a fault and goes back to label 3.
macro_rules! note_fault {
    () => {
        ".pushsection .text.fixup, \"ax\"
        4: mov {fault:e}, 1
        jmp 3b
        .popsection"
    };
}

pub(super) use {fixup, note_fault, user_begin, user_end};

global_asm!(
    // usize skein_copy_user(rdi = destination, rsi = source, rdx = bytes) -> bytes not copied
    ".global skein_copy_user",
    "skein_copy_user:",
    user_begin!(),
    "mov rcx, rdx",
    "shr rcx, 3",
    "and edx, 7",
    "2: rep movsq",
    "mov ecx, edx",
    "3: rep movsb",
    "4: mov rax, rcx",
    user_end!(),
    "ret",
    // A quadword faulted: repeat what is left by bytes, to report exactly.
    "5: lea rcx, [rdx + rcx * 8]",
    "jmp 3b",
    fixup!("2b", "5b"),
    fixup!("3b", "4b"),
    // usize skein_zero_user(rdi = destination, rsi = bytes) -> bytes not cleared
    ".global skein_zero_user",
    "skein_zero_user:",
    user_begin!(),
    "xor eax, eax",
    "mov rcx, rsi",
    "shr rcx, 3",
    "and esi, 7",
    "2: rep stosq",
    "mov ecx, esi",
    "3: rep stosb",
    "4: mov rax, rcx",
    user_end!(),
    "ret",
    "5: lea rcx, [rsi + rcx * 8]",
    "jmp 3b",
    fixup!("2b", "5b"),
    fixup!("3b", "4b"),
    // usize skein_string_user(rdi = string, rsi = limit): rax = bytes before the NUL or limit, -1 on a fault
    ".global skein_string_user",
    "skein_string_user:",
    user_begin!(),
    "xor eax, eax",
    "6: cmp rax, rsi",
    "je 4f",
    "2: cmp byte ptr [rdi + rax], 0",
    "je 4f",
    "inc rax",
    "jmp 6b",
    "3: mov rax, -1",
    "4:",
    user_end!(),
    "ret",
    fixup!("2b", "3b"),
);

unsafe extern "C" {
    fn skein_copy_user(destination: u64, source: u64, bytes: usize) -> usize;
    fn skein_zero_user(destination: u64, bytes: usize) -> usize;
    fn skein_string_user(string: u64, limit: usize) -> usize;
}

fn remaining(left: usize) -> Result<(), usize> {
    if left == 0 { Ok(()) } else { Err(left) }
}

/// Whether `bytes` from `address` stay in user space; the rest of the module relies on it.
fn in_user_space(address: UserAddr, bytes: usize) -> bool {
    address.checked_add(bytes as u64).is_some()
}

/// Copies `bytes` from user memory.
///
/// # Errors
/// How many bytes at the end were not copied.
///
/// # Safety
/// `destination` is valid for writes of `bytes` bytes.
#[inline]
pub unsafe fn from_user(destination: *mut u8, source: UserAddr, bytes: usize) -> Result<(), usize> {
    if !in_user_space(source, bytes) {
        return Err(bytes);
    }
    // SAFETY: the destination is the caller's; the source is in user space, where faults have fix-ups.
    remaining(unsafe { skein_copy_user(destination as u64, source.as_u64(), bytes) })
}

/// Copies `bytes` to user memory.
///
/// # Errors
/// How many bytes at the end were not copied.
///
/// # Safety
/// `source` is valid for reads of `bytes` bytes.
#[inline]
pub unsafe fn to_user(destination: UserAddr, source: *const u8, bytes: usize) -> Result<(), usize> {
    if !in_user_space(destination, bytes) {
        return Err(bytes);
    }
    // SAFETY: the source is the caller's; the destination is in user space, where faults have fix-ups.
    remaining(unsafe { skein_copy_user(destination.as_u64(), source as u64, bytes) })
}

/// Clears `bytes` of user memory.
///
/// # Errors
/// How many bytes at the end were not cleared.
pub fn zero(destination: UserAddr, bytes: usize) -> Result<(), usize> {
    if !in_user_space(destination, bytes) {
        return Err(bytes);
    }
    // SAFETY: user space only, with fix-ups.
    remaining(unsafe { skein_zero_user(destination.as_u64(), bytes) })
}

/// The length of the NUL-terminated string at `string`, or `limit` when there is no NUL in so many bytes.
///
/// # Errors
/// [`UserFault`] when a byte before the NUL and the limit cannot be read.
pub fn string_length(string: UserAddr, limit: usize) -> Result<usize, UserFault> {
    let available = (UserAddr::END.as_u64() - string.as_u64()) as usize;
    // SAFETY: user space only, with fix-ups.
    match unsafe { skein_string_user(string.as_u64(), limit.min(available)) } {
        usize::MAX => Err(UserFault),
        length if length == available && available < limit => Err(UserFault),
        length => Ok(length),
    }
}

fn word(address: UserAddr) -> Result<u64, UserFault> {
    if address.as_u64().is_multiple_of(4) && in_user_space(address, 4) {
        Ok(address.as_u64())
    } else {
        Err(UserFault)
    }
}

/// Reads an aligned 32-bit word in one access.
///
/// # Errors
/// [`UserFault`] when it is not readable or not aligned.
pub fn load_u32(address: UserAddr) -> Result<u32, UserFault> {
    let address = word(address)?;
    let (value, fault): (u32, u32);
    // SAFETY: an aligned user word; a fault skips to the fix-up, which sets `fault`.
    unsafe {
        asm!(
            user_begin!(),
            "2: mov {value:e}, [{address}]",
            "3:",
            user_end!(),
            note_fault!(),
            fixup!("2b", "4b"),
            address = in(reg) address, value = out(reg) value, fault = inout(reg) 0u32 => fault,
        );
    }
    if fault == 0 { Ok(value) } else { Err(UserFault) }
}

/// Writes an aligned 32-bit word in one access.
///
/// # Errors
/// [`UserFault`] when it is not writable or not aligned.
pub fn store_u32(address: UserAddr, value: u32) -> Result<(), UserFault> {
    let address = word(address)?;
    let fault: u32;
    // SAFETY: an aligned user word; a fault skips to the fix-up, which sets `fault`.
    unsafe {
        asm!(
            user_begin!(),
            "2: mov [{address}], {value:e}",
            "3:",
            user_end!(),
            note_fault!(),
            fixup!("2b", "4b"),
            address = in(reg) address, value = in(reg) value, fault = inout(reg) 0u32 => fault,
        );
    }
    if fault == 0 { Ok(()) } else { Err(UserFault) }
}

/// Replaces an aligned 32-bit word by `new` if it equals `expected`, atomically (sequentially consistent), and
/// returns what it was.
///
/// # Errors
/// [`UserFault`] when it is not writable or not aligned.
pub fn compare_exchange_u32(address: UserAddr, expected: u32, new: u32) -> Result<u32, UserFault> {
    let address = word(address)?;
    let (previous, fault): (u32, u32);
    // SAFETY: an aligned user word; a fault skips to the fix-up, which sets `fault`.
    unsafe {
        asm!(
            user_begin!(),
            "2: lock cmpxchg [{address}], {new:e}",
            "3:",
            user_end!(),
            note_fault!(),
            fixup!("2b", "4b"),
            address = in(reg) address, new = in(reg) new, fault = inout(reg) 0u32 => fault,
            inout("eax") expected => previous,
        );
    }
    if fault == 0 { Ok(previous) } else { Err(UserFault) }
}

/// Replaces an aligned 32-bit word by `change` of it, atomically, and returns what it was.
///
/// # Errors
/// [`UserFault`] when it is not writable or not aligned.
pub fn fetch_update_u32(
    address: UserAddr,
    mut change: impl FnMut(u32) -> u32,
) -> Result<u32, UserFault> {
    let mut current = load_u32(address)?;
    loop {
        match compare_exchange_u32(address, current, change(current))? {
            previous if previous == current => return Ok(previous),
            previous => current = previous,
        }
    }
}

/// A row of the fix-up table.
#[repr(C)]
struct Fixup {
    from: u64,
    to: u64,
}

unsafe extern "C" {
    static __fixups_start: Fixup;
    static __fixups_end: Fixup;
}

/// Where to go on when the instruction at `rip` faults and cannot be repeated.
pub(super) fn fixup_of(rip: u64) -> Option<u64> {
    // SAFETY: the linker script brackets the section with these symbols; it holds nothing but rows.
    let table = unsafe {
        let start = &raw const __fixups_start;
        let rows = (&raw const __fixups_end).offset_from(start) as usize;
        core::slice::from_raw_parts(start, rows)
    };
    table.iter().find(|row| row.from == rip).map(|row| row.to)
}
