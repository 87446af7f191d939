//! Making pages present ahead of time.

use arch::addr::PAGE_SIZE;
use arch::context::Access;

use super::{AddressSpace, Limits};
use crate::error::{FaultError, MmError};
use crate::vma::{Protection, Range};

/// Pages between two looks at whether to go on.
const PAGES_PER_LOOK: u64 = 64;

/// Why pages are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unpopulated {
    /// One of them cannot be had.
    Failed(FaultError),
    /// The thread is to end.
    Interrupted,
}

impl From<FaultError> for Unpopulated {
    fn from(error: FaultError) -> Self {
        Self::Failed(error)
    }
}

impl AddressSpace {
    /// Faults in every page of `range`, for writing if `protection` permits it. Page by page, so other threads
    /// get their turn; ends at the first failure, or with the thread.
    ///
    /// # Errors
    /// Why it ended: as [`handle_fault`](Self::handle_fault), or before it was done.
    pub(super) fn populate(&self, range: Range, protection: Protection) -> Result<(), Unpopulated> {
        let access = if protection.contains(Protection::WRITE) {
            Access::Write
        } else if protection.contains(Protection::READ) {
            Access::Read
        } else if protection.contains(Protection::EXECUTE) {
            Access::Execute
        } else {
            return Ok(());
        };
        self.fault_range(range, access)
    }

    /// Faults in every page of `range` for `access`.
    pub(super) fn fault_range(&self, range: Range, access: Access) -> Result<(), Unpopulated> {
        for page in 0..range.pages() {
            if page % PAGES_PER_LOOK == 0 {
                let go_on = self.memory.check_interruption();
                go_on.map_err(|_: MmError| Unpopulated::Interrupted)?;
            }
            let address = range.start().checked_add(page * PAGE_SIZE as u64);
            let address = address.ok_or(FaultError::MapErr)?;
            self.handle_fault(address.to_virt(), access, &Limits::NO_GROWTH)?;
        }
        Ok(())
    }
}
