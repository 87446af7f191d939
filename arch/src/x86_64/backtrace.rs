//! Return addresses along the chain of frame pointers.

use core::arch::asm;

use super::percpu;
use super::stacks::SKEIN_BOOT_STACK;

/// Frames that are shown at most: a corrupt chain may be a loop.
const LIMIT: usize = 64;

/// Calls `visit` with the return address of each frame of the caller, innermost first.
///
/// The kernel is built with frame pointers, and a trap's entry adds a link to the interrupted function. The walk goes
/// upwards on stacks that are known to be mapped, so a corrupt chain ends it and cannot fault.
pub fn frames(mut visit: impl FnMut(usize)) {
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let Some(mut top) = stack_top(frame) else { return };
    for _ in 0..LIMIT {
        if !is_frame(frame, top) {
            return;
        }
        // SAFETY: aligned, and both words lie on a stack of this CPU, which is mapped.
        let [next, return_address] = unsafe { (frame as *const [usize; 2]).read() };
        if return_address == 0 {
            return;
        }
        visit(return_address);
        if !(frame + 1..top).contains(&next) {
            // A trap with a stack of its own: the interrupted function is on another one.
            match stack_top(next) {
                Some(other) if other != top => top = other,
                _ => return,
            }
        }
        frame = next;
    }
}

/// Whether the two words of a frame can be at `frame`, on the stack that ends at `top`.
fn is_frame(frame: usize, top: usize) -> bool {
    frame.is_multiple_of(8) && frame.checked_add(16).is_some_and(|end| end <= top)
}

/// The end of the stack that `address` is on, if that is a known one.
fn stack_top(address: usize) -> Option<usize> {
    let (bottom, top) = percpu::stack_bounds();
    let boot = (SKEIN_BOOT_STACK.bottom(), SKEIN_BOOT_STACK.top());
    let ist = super::stacks::ist_bounds();
    [(bottom, top), boot]
        .into_iter()
        .chain(ist)
        .find(|(bottom, top)| (*bottom..*top).contains(&address))
        .map(|(_, top)| top)
}
