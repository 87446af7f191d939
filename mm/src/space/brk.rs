//! `brk(2)`: the heap that grows from the end of the image.

use arch::addr::UserAddr;

use super::{AddressSpace, Limits, STACK_GUARD_GAP, State};
use crate::error::MmError;
use crate::vma::{Backing, Protection, Range, Vma, VmaFlags};

impl AddressSpace {
    /// The heap's start and end.
    #[must_use]
    pub fn heap(&self) -> (UserAddr, UserAddr) {
        self.state.read().heap
    }

    /// Moves the heap's end to `end` and returns where it is afterwards: where it was, if that is impossible, which is how
    /// the system call reports failure. `image_data` is the size of the image's data, which `RLIMIT_DATA` counts as well.
    #[must_use]
    pub fn brk(&self, end: UserAddr, limits: &Limits, image_data: u64) -> UserAddr {
        let mut gather = self.gather();
        let mut state = self.lock();
        let (start, old_end) = state.heap;
        let outcome = self.move_heap(&mut state, end, limits, image_data, &mut gather);
        let now = state.heap.1;
        let locked = state.future_lock.contains(VmaFlags::LOCKED)
            && !state.future_lock.contains(VmaFlags::LOCK_ON_FAULT);
        let stale = gather.flush();
        drop(state);
        drop(stale);
        drop(outcome);
        debug_assert!(now >= start);
        let grown = Range::new(old_end.page_align_up(), now.page_align_up());
        if let Some(grown) = grown.filter(|_| locked) {
            // As on Linux: what cannot be had now faults later.
            let _ = self.populate(grown, Protection::READ | Protection::WRITE);
        }
        now
    }

    fn move_heap(
        &self,
        state: &mut State,
        end: UserAddr,
        limits: &Limits,
        image_data: u64,
        gather: &mut crate::table::gather::Gather<'_>,
    ) -> Result<crate::vma::tree::Tree, MmError> {
        let (start, old_end) = state.heap;
        if end < start {
            return Err(MmError::InvalidArgument);
        }
        if (end.as_u64() - start.as_u64()).saturating_add(image_data) > limits.data {
            return Err(MmError::NoMemory);
        }
        let (old, new) = (old_end.page_align_up(), end.page_align_up());
        let removed = if let Some(shrunk) = Range::new(new, old) {
            self.clear(state, shrunk, gather)?
        } else if let Some(grown) = Range::new(old, new) {
            state.check_room(grown)?;
            let vma = Vma {
                range: grown,
                protection: Protection::READ | Protection::WRITE,
                allowed: Protection::all(),
                flags: VmaFlags::HEAP | state.future_lock,
                backing: Backing::Anonymous,
            };
            self.install(state, vma, limits, gather)?
        } else {
            crate::vma::tree::Tree::default()
        };
        state.heap.1 = end;
        Ok(removed)
    }
}

impl State {
    /// The heap may grow over free memory only, and keeps its distance from a stack.
    fn check_room(&self, grown: Range) -> Result<(), MmError> {
        match self.areas.at_or_above(grown.start()) {
            Some(next) => {
                let stack = next.flags.contains(VmaFlags::GROWS_DOWN);
                let gap = if stack { STACK_GUARD_GAP } else { 0 };
                let clear = next.start().as_u64() >= grown.end().as_u64().saturating_add(gap);
                if clear { Ok(()) } else { Err(MmError::NoMemory) }
            }
            None => Ok(()),
        }
    }
}
