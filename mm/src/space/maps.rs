//! The area map as others see it: `/proc/PID/maps`.

use alloc::sync::Arc;

use super::{AddressSpace, State};
use arch::addr::UserAddr;

use crate::vma::{Vma, VmaFlags};

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug)]
pub struct MapsEntry {
    /// The area.
    pub vma: Arc<Vma>,
    /// The name that Linux gives an area without a file.
    pub label: Option<&'static str>,
}

impl AddressSpace {
    /// Every area as of now, in order. The snapshot costs nothing: the map is shared, not copied.
    pub fn maps(&self) -> impl Iterator<Item = MapsEntry> + use<> {
        let state = self.state.read();
        let (areas, stack_top) = (state.areas.clone(), state.layout.stack_top);
        drop(state);
        let mut next = areas.at_or_above(UserAddr::NULL).cloned();
        core::iter::from_fn(move || {
            let vma = next.take()?;
            next = areas.at_or_above(vma.end()).cloned();
            let label = label(&vma, stack_top);
            Some(MapsEntry { vma, label })
        })
    }

    /// The area that contains `address`.
    #[must_use]
    pub fn find_area(&self, address: UserAddr) -> Option<Arc<Vma>> {
        let state: &State = &self.state.read();
        state.areas.find(address).cloned()
    }
}

fn label(vma: &Vma, stack_top: UserAddr) -> Option<&'static str> {
    if vma.flags.contains(VmaFlags::HEAP) {
        Some("[heap]")
    } else if vma.flags.contains(VmaFlags::GROWS_DOWN) && vma.end() == stack_top {
        Some("[stack]")
    } else {
        None
    }
}
