//! Extended processor state: x87, SSE, AVX and AVX-512 registers of each thread.
//!
//! The image has the standard (not compacted) format of `XSAVE` (Intel SDM vol. 1, 13.4), because signal frames show it
//! to user programs; on processors without `XSAVE` it is the 512 bytes of `FXSAVE`. The kernel itself is built
//! without vector registers, so a thread's state stays in the processor until the thread is switched out.
//!
//! Components that Linux would not enable for an ordinary program stay off: MPX is gone, protection keys need
//! system calls that do not exist here, and AMX needs a permission per process.

use core::alloc::Layout as AllocationLayout;
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use super::fpu_user::{
    ALWAYS_PRESENT, load_from_user, load_legacy_from_user, reset, save_to_user,
};
use crate::error::OutOfMemory;

/// Components of XCR0 that are enabled where offered: x87, SSE, AVX, the three of AVX-512, and APX.
const WANTED: u64 = 0x7 | 0xe0 | 1 << 19;
/// x87 and SSE: what `FXSAVE` knows.
pub(super) const LEGACY: u64 = 3;
/// SSE, which MXCSR is part of.
pub(super) const SSE: u64 = 2;
/// Bytes of the `FXSAVE` area, and offset of the `XSAVE` header.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
/// Offset of MXCSR in the image.
pub(super) const MXCSR: usize = 24;
/// Values after reset, as Linux starts threads with (Intel SDM vol. 1, 8.1.5 and 10.2.3).
pub(super) const INITIAL_CONTROL_WORD: u16 = 0x37f;
pub(super) const INITIAL_MXCSR: u32 = 0x1f80;

/// Size of an image; 0 until [`init`] ran.
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// XCR0 on every CPU, or 0 where there is no `XSAVE`.
static ENABLED: AtomicU64 = AtomicU64::new(0);
/// Whether `XSAVEOPT` exists.
static OPTIMISED: AtomicU32 = AtomicU32::new(0);

/// Size and components of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of an image.
    pub size: usize,
    /// The enabled components (XCR0; 3 where there is only `FXSAVE`).
    pub features: u64,
}

/// The images' layout, the same for all threads.
#[must_use]
#[inline]
pub fn layout() -> Layout {
    let enabled = ENABLED.load(Ordering::Relaxed);
    Layout {
        size: SIZE.load(Ordering::Relaxed),
        features: if enabled == 0 { LEGACY } else { enabled },
    }
}

/// Whether images are those of `XSAVE`.
#[inline]
pub(super) fn has_xsave() -> bool {
    ENABLED.load(Ordering::Relaxed) != 0
}

/// Enables the components on the running CPU. CR4.OSXSAVE is set already where `XSAVE` exists.
///
/// The boot processor's choice holds for all; another that offers less is caught by the agreement check.
pub(super) fn init(has_xsave: bool) {
    // SAFETY: CR0 permits x87 instructions (`control::apply`).
    unsafe { asm!("fninit", options(nomem, nostack)) };
    if !has_xsave {
        SIZE.store(LEGACY_BYTES, Ordering::Relaxed);
        return;
    }
    let offered = u64::from(core::arch::x86_64::__cpuid_count(0xd, 0).eax)
        | u64::from(core::arch::x86_64::__cpuid_count(0xd, 0).edx) << 32;
    let enabled = offered & WANTED;
    // SAFETY: OSXSAVE is set; x87 and SSE are always offered, and CPUID reports dependent components together.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") enabled as u32, in("edx") (enabled >> 32) as u32,
            options(nomem, nostack, preserves_flags));
    }
    ENABLED.store(enabled, Ordering::Relaxed);
    // EBX of the leaf: the size for what XCR0 enables now.
    let size = core::arch::x86_64::__cpuid_count(0xd, 0).ebx as usize;
    SIZE.store(size.max(LEGACY_BYTES + HEADER_BYTES), Ordering::Relaxed);
    OPTIMISED.store(core::arch::x86_64::__cpuid_count(0xd, 1).eax & 1, Ordering::Relaxed);
}

/// The extended registers of one thread, as an image in memory.
#[derive(Debug)]
pub struct ExtendedState {
    image: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the image is owned, plain memory.
unsafe impl Send for ExtendedState {}
// SAFETY: shared access only reads it.
unsafe impl Sync for ExtendedState {}

impl ExtendedState {
    fn allocation(bytes: usize) -> AllocationLayout {
        // 64: what XSAVE demands. The size is a processor's, far below the limit of layouts.
        AllocationLayout::from_size_align(bytes, 64).expect("a small image")
    }

    /// Fresh registers, as `execve` gives them.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new() -> Result<Self, OutOfMemory> {
        let mut state = Self::empty()?;
        let bytes = state.bytes_mut();
        bytes[..2].copy_from_slice(&INITIAL_CONTROL_WORD.to_le_bytes());
        bytes[MXCSR..MXCSR + 4].copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
        // XSTATE_BV is zero: restoring initialises every component.
        Ok(state)
    }

    /// The registers as they are in the processor, for a child of the running thread.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn of_running() -> Result<Self, OutOfMemory> {
        let mut state = Self::empty()?;
        state.save();
        Ok(state)
    }

    fn empty() -> Result<Self, OutOfMemory> {
        let bytes = layout().size;
        assert!(bytes >= LEGACY_BYTES, "extended state before the processor is set up");
        // SAFETY: the size is not zero.
        let image = unsafe { alloc::alloc::alloc_zeroed(Self::allocation(bytes)) };
        Ok(Self { image: NonNull::new(image).ok_or(OutOfMemory)?, bytes })
    }

    /// Writes the processor's extended registers into the image, all of them: for who looks at the image.
    pub fn save(&mut self) {
        let image = self.image.as_ptr();
        // SAFETY: the image is aligned, large enough for all enabled components, and ours; the instruction chosen exists.
        unsafe {
            if ENABLED.load(Ordering::Relaxed) == 0 {
                asm!("fxsave64 [{}]", in(reg) image, options(nostack));
            } else {
                asm!("xsave64 [{}]", in(reg) image, in("eax") -1, in("edx") -1, options(nostack));
            }
        }
    }

    /// Like [`save`](Self::save), but may leave out components that are initial, or unchanged since they were loaded from
    /// this image: enough for a later [`restore`](Self::restore), and faster. For thread switches.
    pub fn save_for_switch(&mut self) {
        if OPTIMISED.load(Ordering::Relaxed) == 0 {
            return self.save();
        }
        let image = self.image.as_ptr();
        // SAFETY: as `save`; the instruction exists.
        unsafe {
            asm!("xsaveopt64 [{}]", in(reg) image, in("eax") -1, in("edx") -1, options(nostack));
        }
    }

    /// Loads the processor's extended registers from the image.
    pub fn restore(&self) {
        let image = self.image.as_ptr();
        // SAFETY: the image is aligned and valid: it came from a save or a reset.
        unsafe {
            if ENABLED.load(Ordering::Relaxed) == 0 {
                asm!("fxrstor64 [{}]", in(reg) image, options(nostack));
            } else {
                asm!("xrstor64 [{}]", in(reg) image, in("eax") -1, in("edx") -1, options(nostack));
            }
        }
    }

    /// The image, in the standard format: what a signal frame shows.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the image is initialised memory of this size.
        unsafe { core::slice::from_raw_parts(self.image.as_ptr(), self.bytes) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and uniquely borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.image.as_ptr(), self.bytes) }
    }
}

impl Drop for ExtendedState {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { alloc::alloc::dealloc(self.image.as_ptr(), Self::allocation(self.bytes)) };
    }
}
