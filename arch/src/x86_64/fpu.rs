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

use crate::error::{InvalidState, OutOfMemory};

/// Components of XCR0 that are enabled where offered: x87, SSE, AVX, the three of AVX-512, and APX.
const WANTED: u64 = 0x7 | 0xe0 | 1 << 19;
/// x87 and SSE: what `FXSAVE` knows.
const LEGACY: u64 = 3;
/// Bytes of the `FXSAVE` area, and offset of the `XSAVE` header.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
/// Offsets of MXCSR and its mask in the image.
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
/// Values after reset, as Linux starts threads with (Intel SDM vol. 1, 8.1.5 and 10.2.3).
const INITIAL_CONTROL_WORD: u16 = 0x37f;
const INITIAL_MXCSR: u32 = 0x1f80;

/// Size of an image; 0 until [`init`] ran.
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// XCR0 on every CPU, or 0 where there is no `XSAVE`.
static ENABLED: AtomicU64 = AtomicU64::new(0);
/// Bits of MXCSR that may be set.
static MXCSR_BITS: AtomicU32 = AtomicU32::new(0xffbf);
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
pub fn layout() -> Layout {
    let enabled = ENABLED.load(Ordering::Relaxed);
    Layout {
        size: SIZE.load(Ordering::Relaxed),
        features: if enabled == 0 { LEGACY } else { enabled },
    }
}

/// Enables the components on the running CPU. CR4.OSXSAVE is set already where `XSAVE` exists.
///
/// The boot processor's choice holds for all; another that offers less is caught by the agreement check.
pub(super) fn init(has_xsave: bool) {
    // SAFETY: CR0 permits x87 instructions (`control::apply`).
    unsafe { asm!("fninit", options(nomem, nostack)) };
    if !has_xsave {
        SIZE.store(LEGACY_BYTES, Ordering::Relaxed);
        detect_mxcsr_mask();
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
    detect_mxcsr_mask();
}

#[repr(C, align(16))]
struct LegacyArea([u8; LEGACY_BYTES]);

fn detect_mxcsr_mask() {
    let mut area = LegacyArea([0; LEGACY_BYTES]);
    // SAFETY: an aligned area of the right size; CR4.OSFXSR is set.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut area, options(nostack)) };
    let mask = read_u32(&area.0, MXCSR_MASK);
    // Zero stands for the mask of the first processors (Intel SDM vol. 1, 11.6.6).
    MXCSR_BITS.store(if mask == 0 { 0xffbf } else { mask }, Ordering::Relaxed);
}

fn read_u32(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..offset + 4)
        .map_or(0, |word| word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

fn read_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from(read_u32(bytes, offset)) | u64::from(read_u32(bytes, offset + 4)) << 32
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
        let bytes = layout().size;
        assert!(bytes >= LEGACY_BYTES, "extended state before the processor is set up");
        // SAFETY: the size is not zero.
        let image = unsafe { alloc::alloc::alloc_zeroed(Self::allocation(bytes)) };
        let mut state = Self { image: NonNull::new(image).ok_or(OutOfMemory)?, bytes };
        state.reset();
        Ok(state)
    }

    /// A copy, for a child process.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self, OutOfMemory> {
        let mut copy = Self::new()?;
        copy.bytes_mut().copy_from_slice(self.bytes());
        Ok(copy)
    }

    /// Back to fresh registers. They take effect with the next [`restore`](Self::restore).
    pub fn reset(&mut self) {
        let bytes = self.bytes_mut();
        bytes.fill(0);
        bytes[..2].copy_from_slice(&INITIAL_CONTROL_WORD.to_le_bytes());
        bytes[MXCSR..MXCSR + 4].copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
        // XSTATE_BV stays zero: restoring initialises every component.
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
        // SAFETY: the image is aligned and valid: it came from a save, a reset or a checked `load_bytes`.
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

    /// Replaces the image by one that a user program supplied: a whole image, or only its first 512 bytes, which
    /// leaves the other components initial.
    ///
    /// # Errors
    /// [`InvalidState`], with the image unchanged, when the processor would refuse it (Intel SDM vol. 1, 13.8):
    /// unknown components, a compacted format, reserved bits.
    pub fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), InvalidState> {
        let whole = bytes.len() == self.bytes;
        if !whole && bytes.len() != LEGACY_BYTES {
            return Err(InvalidState);
        }
        if read_u32(bytes, MXCSR) & !MXCSR_BITS.load(Ordering::Relaxed) != 0 {
            return Err(InvalidState);
        }
        if whole && self.bytes > LEGACY_BYTES {
            let components = read_u64(bytes, LEGACY_BYTES);
            let rest = &bytes[LEGACY_BYTES + 8..LEGACY_BYTES + HEADER_BYTES];
            if components & !layout().features != 0 || rest.iter().any(|byte| *byte != 0) {
                return Err(InvalidState);
            }
        }
        let image = self.bytes_mut();
        image[..bytes.len()].copy_from_slice(bytes);
        if !whole {
            image[LEGACY_BYTES..LEGACY_BYTES + HEADER_BYTES].fill(0);
            image[LEGACY_BYTES] = LEGACY as u8;
        }
        Ok(())
    }
}

impl Drop for ExtendedState {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { alloc::alloc::dealloc(self.image.as_ptr(), Self::allocation(self.bytes)) };
    }
}
