//! The running thread's extended registers, to and from user memory: what signal frames hold.
//!
//! The registers go straight between the processor and the user's stack, with the fix-ups of `user_copy` for faults. A
//! fault may put the thread off its CPU in the middle: the switch saves and restores what the registers hold, and the
//! instruction starts again. The image has the standard format (see `fpu`).

use core::arch::asm;

use super::fpu;
use super::user_copy::{fixup, note_fault, user_begin, user_end};
use crate::addr::UserAddr;
use crate::error::UserFault;

/// Alignment that the instructions demand of an image: of `XSAVE`, and of `FXSAVE`.
const ALIGNMENT: u64 = 64;
const LEGACY_ALIGNMENT: u64 = 16;

/// As large as the image of all components that are ever enabled.
const INITIAL_BYTES: usize = 4096;

/// What debuggers expect in the bitmap of components: x87 and SSE.
pub const ALWAYS_PRESENT: u64 = fpu::LEGACY;
const _: () = assert!(ALWAYS_PRESENT == 3, "as `save_to_user` sets it");

/// An image without components: loading it makes all of them initial.
#[repr(C, align(64))]
struct InitialImage([u8; INITIAL_BYTES]);

static INITIAL: InitialImage = InitialImage({
    let mut bytes = [0; INITIAL_BYTES];
    let control = fpu::INITIAL_CONTROL_WORD.to_le_bytes();
    let mxcsr = fpu::INITIAL_MXCSR.to_le_bytes();
    bytes[0] = control[0];
    bytes[1] = control[1];
    bytes[fpu::MXCSR] = mxcsr[0];
    bytes[fpu::MXCSR + 1] = mxcsr[1];
    bytes
});

/// One instruction on an image in user memory, and perhaps a second one, each with a fix-up. The components are named by
/// EDX and EAX.
macro_rules! on_user_image {
    ($instruction:literal, $image:expr, $components:expr) => {
        on_user_image!($instruction, "", $image, $components)
    };
    ($instruction:literal, $second:literal, $image:expr, $components:expr) => {{
        let fault: u32;
        // SAFETY: an aligned image in user space; a fault, or an image that the processor refuses, skips to the
        // fix-up, which sets `fault`. The kernel itself uses none of the registers.
        unsafe {
            asm!(
                user_begin!(),
                concat!("2: ", $instruction, " [{image}]"),
                concat!("5: ", $second),
                "3:",
                user_end!(),
                note_fault!(),
                fixup!("2b", "4b"),
                fixup!("5b", "4b"),
                image = in(reg) $image, fault = inout(reg) 0u32 => fault,
                in("eax") $components as u32, in("edx") ($components >> 32) as u32,
            );
        }
        if fault == 0 { Ok(()) } else { Err(UserFault) }
    }};
}

/// The image's address, if all of it is in user space and aligned to `alignment`.
fn image_at(image: UserAddr, alignment: u64) -> Result<u64, UserFault> {
    let is_inside = image.checked_add(fpu::layout().size as u64).is_some();
    if is_inside && image.as_u64().is_multiple_of(alignment) {
        Ok(image.as_u64())
    } else {
        Err(UserFault)
    }
}

/// Writes the registers to `image`. Of the header's 64 bytes, which exist with `XSAVE` only, the first eight are
/// written; the caller has cleared them all before. They show the legacy registers as present even in their initial
/// state ([`ALWAYS_PRESENT`]).
///
/// # Errors
/// [`UserFault`] when not all of it is writable, or it is not aligned to 64 bytes.
#[inline]
pub fn save_to_user(image: UserAddr) -> Result<(), UserFault> {
    let image = image_at(image, ALIGNMENT)?;
    if fpu::has_xsave() {
        on_user_image!("xsave64", "or byte ptr [{image} + 512], 3", image, u64::MAX)
    } else {
        on_user_image!("fxsave64", image, u64::MAX)
    }
}

/// Loads the components `features` from `image`, those that are not enabled left out; all others become initial.
///
/// # Errors
/// [`UserFault`] when it is not readable, not aligned to 64 bytes, or refused by the processor (Intel SDM vol. 1, 13.8):
/// unknown components, reserved bits. Where the processor has `XSAVEC`, an image whose header says that it is compacted is loaded as
/// one, as on Linux; elsewhere it is refused. The registers are undefined after an error: [`reset`] them.
#[inline]
pub fn load_from_user(image: UserAddr, features: u64) -> Result<(), UserFault> {
    if !fpu::has_xsave() {
        return load_legacy_from_user(image);
    }
    let image = image_at(image, ALIGNMENT)?;
    let enabled = fpu::layout().features;
    let initial = enabled & !features;
    // `XRSTOR` of AVX without SSE loads MXCSR as well (13.8.1). It belongs to SSE, so that part comes last which has SSE.
    if features & fpu::SSE != 0 {
        initialise(initial);
        on_user_image!("xrstor64", image, features & enabled)
    } else {
        on_user_image!("xrstor64", image, features & enabled)?;
        initialise(initial);
        Ok(())
    }
}

/// Loads x87 and SSE from the 512 bytes at `image`; all other components become initial.
///
/// # Errors
/// As [`load_from_user`]; 16 bytes of alignment are enough.
pub fn load_legacy_from_user(image: UserAddr) -> Result<(), UserFault> {
    let image = image_at(image, LEGACY_ALIGNMENT)?;
    // First, for the sake of MXCSR, as above.
    initialise(fpu::layout().features & !fpu::LEGACY);
    on_user_image!("fxrstor64", image, u64::MAX)
}

/// Makes the registers what `execve` gives a program.
#[inline]
pub fn reset() {
    initialise(u64::MAX);
}

fn initialise(components: u64) {
    let image = &raw const INITIAL;
    // SAFETY: the image is aligned, valid, and larger than any that the processor reads; the kernel itself uses none of
    // the registers.
    unsafe {
        if fpu::has_xsave() {
            if components != 0 {
                asm!("xrstor64 [{}]", in(reg) image, in("eax") components as u32,
                    in("edx") (components >> 32) as u32, options(nostack));
            }
        } else if components & fpu::LEGACY != 0 {
            asm!("fxrstor64 [{}]", in(reg) image, options(nostack));
        }
    }
}
