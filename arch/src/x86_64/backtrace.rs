//! Return addresses along the chain of frame pointers.

use core::arch::asm;

use super::percpu;
use super::stacks::SKEIN_BOOT_STACK;

/// Frames that are shown at most: a corrupt chain may be a loop.
const LIMIT: usize = 64;

/// Calls `visit` with the return address of each frame of the caller, innermost first.
///
/// The kernel is built with frame pointers. The walk stays on the current stack and only goes upwards, so a corrupt
/// chain ends it and cannot fault.
pub fn frames(visit: impl FnMut(usize)) {
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let top = stack_top(frame);
    walk(&mut frame, top, visit);
}

/// The end of the stack that `address` is on, or `address` if that is no known stack.
fn stack_top(address: usize) -> usize {
    let (bottom, top) = percpu::stack_bounds();
    let boot = (SKEIN_BOOT_STACK.bottom(), SKEIN_BOOT_STACK.top());
    let ist = super::stacks::ist_bounds();
    [(bottom, top), boot]
        .into_iter()
        .chain(ist)
        .find(|(bottom, top)| (*bottom..*top).contains(&address))
        .map_or(address, |(_, top)| top)
}

fn walk(frame: &mut usize, top: usize, mut visit: impl FnMut(usize)) {
    for _ in 0..LIMIT {
        if !(*frame).is_multiple_of(8) || *frame + 16 > top {
            return;
        }
        // SAFETY: aligned, and both words lie on the current stack, which is mapped.
        let [next, return_address] = unsafe { (*frame as *const [usize; 2]).read() };
        if return_address == 0 {
            return;
        }
        visit(return_address);
        if next <= *frame {
            return;
        }
        *frame = next;
    }
}
