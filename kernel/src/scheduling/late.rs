//! References that are given up later: [`Late`], for those who must not destroy what they hold.
//!
//! An interrupt handler, or whoever holds a spin lock, may find itself with the last reference to a thread, a process or an epoll
//! instance, whose end takes locks of its own. A [`Late`] that is dropped there hands its reference to the CPU, and
//! [`release_late`] drops it where sleeping would be allowed: on the way to user mode, and before the CPU halts.
//!
//! No memory is needed: what can be held so has a [`LateLink`]. Its `pending` counts references that were handed over and not
//! dropped yet. Who raises it from zero puts the link in the list of the CPU; who empties the list takes all that are pending
//! at once. Pending references keep the object, and so the link, alive. An object whose references have been taken may
//! be put in a list again while they are being dropped: by somebody with a reference of his own.
//!
//! No locks: a CPU alone adds to its list, though in interrupt handlers too, and takes all of it in one exchange.
#![allow(unsafe_code, reason = "keeps references as numbers and links")]

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr;

use arch::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use arch::{interrupts, preempt};

use super::cpus::{Cpu, this_cpu};

/// What an object of type `T` needs for [`Late`].
pub struct LateLink<T> {
    link: Link,
    object: PhantomData<fn() -> T>,
}

/// The part of a [`LateLink`] that is the same for all types.
struct Link {
    /// References handed over and not taken.
    pending: AtomicU32,
    /// The next in the list. Written by who raises `pending` from zero, until it is taken.
    next: AtomicPtr<Link>,
    /// The object, as `Arc::into_raw` has it. As `next`.
    object: AtomicPtr<()>,
    /// Drops so many references to the object.
    release: unsafe fn(*const (), u32),
}

/// An object that may be held by a [`Late`].
///
/// # Safety
/// `late_link` returns a field of the object itself. [`held_late!`](crate::held_late) sees to that.
pub unsafe trait HeldLate: Send + Sync + Sized + 'static {
    /// The object's link.
    fn late_link(&self) -> &LateLink<Self>;
}

/// Lets values of a type be held by a [`Late`]: `held_late!(Type, field)`, where the field is a [`LateLink`].
#[macro_export]
macro_rules! held_late {
    ($type:ty, $($field:ident).+) => {
        #[allow(unsafe_code, reason = "the link is the object's own field, as it has to be")]
        // SAFETY: a field of the object.
        unsafe impl $crate::scheduling::HeldLate for $type {
            fn late_link(&self) -> &$crate::scheduling::LateLink<Self> {
                &self.$($field).+
            }
        }
    };
}

impl<T> LateLink<T> {
    /// The link of a new object.
    #[must_use]
    pub const fn new() -> Self {
        let link = Link {
            pending: AtomicU32::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            object: AtomicPtr::new(ptr::null_mut()),
            release: release::<T>,
        };
        Self { link, object: PhantomData }
    }
}

impl<T> Default for LateLink<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// # Safety
/// `object` came from `Arc::<T>::into_raw` at least `count` times that were not taken back.
unsafe fn release<T>(object: *const (), count: u32) {
    for _ in 0..count {
        // SAFETY: by this function's contract.
        drop(unsafe { Arc::from_raw(object.cast::<T>()) });
    }
}

/// A counted reference that may be dropped anywhere: where sleeping is not allowed, it is given up later.
pub struct Late<T: HeldLate>(ManuallyDrop<Arc<T>>);

impl<T: HeldLate> Late<T> {
    /// The same reference, to be given up later.
    #[must_use]
    pub const fn new(object: Arc<T>) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T: HeldLate> Deref for Late<T> {
    type Target = Arc<T>;
    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T: HeldLate> Clone for Late<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(self))
    }
}

impl<T: HeldLate> Drop for Late<T> {
    fn drop(&mut self) {
        // SAFETY: `self` is not used again.
        let object = unsafe { ManuallyDrop::take(&mut self.0) };
        if interrupts::enabled() && preempt::count() == 0 {
            return drop(object);
        }
        let link = ptr::from_ref(&object.late_link().link);
        this_cpu().late.add(link, Arc::into_raw(object).cast());
    }
}

/// What a CPU has to drop.
pub(super) struct LateList {
    first: AtomicPtr<Link>,
    /// There may be something: asked on every way to user mode. Relaxed: set by the CPU that looks.
    is_waiting: AtomicBool,
}

impl LateList {
    pub(super) const fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()), is_waiting: AtomicBool::new(false) }
    }

    /// Whether there may be something to drop.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Takes over one reference to `object`, whose link is `link`. Preemption is off.
    fn add(&self, link: *const Link, object: *const ()) {
        // SAFETY: the reference that is taken over keeps the object alive until `pending` is taken.
        let link = unsafe { &*link };
        // Acquire: after a taker's last access to the other fields. Release: before the taker's drop.
        if link.pending.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        link.object.store(object.cast_mut(), Ordering::Relaxed);
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            link.next.store(first, Ordering::Relaxed);
            let own = ptr::from_ref(link).cast_mut();
            // Release pairs with the acquire in `release`; the exchange fails when an interrupt came between.
            match self.first.compare_exchange(first, own, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => first = now,
            }
        }
        self.is_waiting.store(true, Ordering::Relaxed);
    }

    /// Drops all that there is.
    fn release(&self) {
        self.is_waiting.store(false, Ordering::Relaxed);
        let mut next = self.first.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: what is in the list has references pending, which keep it alive until they are taken below.
        while let Some(link) = unsafe { next.as_ref() } {
            // All is read before `pending` is taken: from then on the link may be in use again.
            next = link.next.load(Ordering::Relaxed);
            let (object, release) = (link.object.load(Ordering::Relaxed), link.release);
            let count = link.pending.swap(0, Ordering::AcqRel);
            // SAFETY: so many references were handed over since the link was put in the list.
            unsafe { release(object, count) };
        }
    }
}

/// Drops what was handed over on this CPU. Where sleeping would be allowed too.
pub(super) fn release_late() {
    let Cpu { late, .. } = this_cpu();
    if late.is_waiting() {
        late.release();
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;

    use super::*;

    struct Object {
        link: LateLink<Object>,
        dropped: &'static AtomicUsize,
    }

    held_late!(Object, link);

    impl Drop for Object {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands a reference over to `list`, as dropping a `Late` does with the CPU's.
    fn hand_over(list: &LateList, object: Arc<Object>) {
        let link = ptr::from_ref(&object.link.link);
        list.add(link, Arc::into_raw(object).cast());
    }

    #[test]
    fn references_are_dropped_when_the_list_is_emptied() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        let object = || Arc::new(Object { link: LateLink::new(), dropped: &DROPPED });
        let (list, held, gone) = (LateList::new(), object(), object());
        hand_over(&list, Arc::clone(&held));
        hand_over(&list, gone);
        hand_over(&list, Arc::clone(&held));
        assert_eq!((DROPPED.load(Ordering::Relaxed), Arc::strong_count(&held)), (0, 3));
        assert!(list.is_waiting());
        list.release();
        assert_eq!((DROPPED.load(Ordering::Relaxed), Arc::strong_count(&held)), (1, 1));
        assert!(!list.is_waiting());
        hand_over(&list, held);
        list.release();
        assert_eq!(DROPPED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_object_may_be_handed_over_while_its_references_are_dropped() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        const ROUNDS: usize = 20_000;
        let object = Arc::new(Object { link: LateLink::new(), dropped: &DROPPED });
        let list = LateList::new();
        std::thread::scope(|scope| {
            let (list, object) = (&list, &object);
            scope.spawn(move || (0..ROUNDS).for_each(|_| hand_over(list, Arc::clone(object))));
            (0..ROUNDS).for_each(|_| list.release());
        });
        list.release();
        assert_eq!((DROPPED.load(Ordering::Relaxed), Arc::strong_count(&object)), (0, 1));
    }
}
