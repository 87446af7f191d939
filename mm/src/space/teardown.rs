//! The end of a space. Iterative, preemptible, and without any allocation.

use arch::sync::atomic::Ordering;

use super::AddressSpace;
use crate::raw::table;
use crate::table::entry::{ROOT_LEVEL, is_empty};
use crate::table::gather::count_shootdown;
use crate::table::node::release_table;

impl Drop for AddressSpace {
    /// Takes every CPU off the root table, then drops the tree. What other spaces share costs one decrement per root
    /// entry; only what nobody else holds is walked. The root's kernel half is not counted (I16), and not looked at.
    fn drop(&mut self) {
        let place = self.place.load(Ordering::Relaxed);
        if place != u64::MAX {
            self.family.leave(place);
        }
        let sent = self.tlb.retire();
        count_shootdown(self.memory, sent);
        debug_assert!(self.memory.meta(self.root).count.is_exclusive(), "a root is shared");
        for entry in self.used.iter().map(|index| table(self.root).load(index)) {
            if !is_empty(entry) {
                release_table(self.memory, entry.frame(), ROOT_LEVEL - 1);
            }
        }
        self.memory.free_frame(self.root);
    }
}
