//! Models of the node protocol: copying a shared table against restoring and dropping it (I3, I3b).
#![cfg(loom)]

use arch::addr::Frame;
use arch::paging::{Entry, EntryFlags};
use loom::sync::Arc;
use loom::thread;
use mm::count::{Count, Released};
use mm::raw::Table;
use mm::table::node::share_children;

/// A table `node` with one child, which is frame 0, and the counts of both.
struct Tree {
    node: Table,
    node_count: Count,
    child_count: Count,
}

impl Tree {
    /// `parents` spaces share the node. After a fork the write bit below is still set: only the roots lost theirs.
    fn shared_by(parents: u32) -> Arc<Self> {
        let node = Table::empty();
        let flags = EntryFlags::PRESENT | EntryFlags::WRITABLE | EntryFlags::USER;
        node.store(0, Entry::new(Frame::new(0), flags));
        Arc::new(Self { node, node_count: Count::new(parents), child_count: Count::new(1) })
    }

    /// What a space does that writes below the shared node: copy it, then drop the reference.
    fn copy_and_leave(&self) -> Table {
        let copy = Table::empty();
        share_children(&self.node, &copy, |_| &self.child_count).expect("counts are low");
        self.leave();
        assert!(!copy.load(0).is_writable());
        copy
    }

    /// Drops a reference to the node, and with the last one the node's reference to the child.
    fn leave(&self) {
        if self.node_count.release() == Released::Last {
            let _ = self.child_count.release();
        }
    }

    /// What a space does that writes below a node which it finds itself alone with: it restores W above the node, and
    /// then writes wherever the node says W.
    fn assert_not_writable_while_shared(&self) {
        if self.node_count.is_exclusive() && self.node.load(0).is_writable() {
            assert_eq!(self.child_count.get(), 1, "written through while a copy shares the child");
        }
    }
}

/// I3b: whoever is alone with the node after a copy left finds its write bits cleared.
#[test]
fn a_restore_after_a_copy_finds_the_bits_pushed_down() {
    loom::model(|| {
        let tree = Tree::shared_by(2);
        let other = tree.clone();
        let copier = thread::spawn(move || other.copy_and_leave());
        tree.assert_not_writable_while_shared();
        let copy = copier.join().expect("joined");
        assert!(tree.node_count.is_exclusive());
        assert!(!tree.node.load(0).is_writable());
        assert_eq!(copy.load(0).frame(), Frame::new(0));
        assert_eq!(tree.child_count.get(), 2);
    });
}

/// Two spaces copy the same node while a third drops it: the child ends up with one reference per copy.
#[test]
fn two_copies_and_a_drop_leave_the_child_with_two_parents() {
    loom::model(|| {
        let tree = Tree::shared_by(3);
        let copiers: Vec<_> = (0..2)
            .map(|_| {
                let tree = tree.clone();
                thread::spawn(move || drop(tree.copy_and_leave()))
            })
            .collect();
        tree.leave();
        copiers.into_iter().for_each(|copier| copier.join().expect("joined"));
        assert_eq!(tree.node_count.get(), 0);
        assert_eq!(tree.child_count.get(), 2);
    });
}

/// A copy and a restore while a third space leaves: being alone never comes before the bits are down.
#[test]
fn a_restore_is_safe_whoever_else_leaves() {
    loom::model(|| {
        let tree = Tree::shared_by(3);
        let (copying, leaving) = (tree.clone(), tree.clone());
        let copier = thread::spawn(move || drop(copying.copy_and_leave()));
        let leaver = thread::spawn(move || leaving.leave());
        tree.assert_not_writable_while_shared();
        copier.join().expect("joined");
        leaver.join().expect("joined");
        assert!(tree.node_count.is_exclusive());
        assert!(!tree.node.load(0).is_writable());
    });
}
