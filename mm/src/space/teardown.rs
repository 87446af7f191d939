//! The end of a space. Iterative, preemptible, and without any allocation.

use arch::sync::atomic::Ordering;

use super::AddressSpace;
use crate::table::entry::ROOT_LEVEL;
use crate::table::gather::count_shootdown;
use crate::table::node::release_table;

impl Drop for AddressSpace {
    /// Takes every CPU off the root table, then drops the tree. What other spaces share costs one decrement per root
    /// entry; only what nobody else holds is walked.
    fn drop(&mut self) {
        let place = self.place.load(Ordering::Relaxed);
        if place != u64::MAX {
            self.family.leave(place);
        }
        let sent = self.tlb.retire();
        count_shootdown(self.memory, sent);
        debug_assert!(self.memory.meta(self.root).count.is_exclusive(), "a root is shared");
        self.forget_kernel_half();
        release_table(self.memory, self.root, ROOT_LEVEL);
    }
}

impl AddressSpace {
    /// The kernel's entries are not counted (I16): they must not be released with the rest.
    fn forget_kernel_half(&self) {
        use arch::paging::{Entry, TABLE_ENTRIES, USER_ROOT_ENTRIES};
        let root = crate::raw::table(self.root);
        (USER_ROOT_ENTRIES..TABLE_ENTRIES).for_each(|index| root.store(index, Entry::EMPTY));
    }
}
