//! Making pages present ahead of time.

use arch::addr::PAGE_SIZE;
use arch::context::Access;

use super::{AddressSpace, Limits};
use crate::error::FaultError;
use crate::vma::{Protection, Range};

impl AddressSpace {
    /// Faults in every page of `range`, for writing if `protection` permits it. Page by page, so other threads
    /// get their turn; ends at the first failure.
    ///
    /// # Errors
    /// As [`handle_fault`](Self::handle_fault).
    pub(super) fn populate(&self, range: Range, protection: Protection) -> Result<(), FaultError> {
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
    pub(super) fn fault_range(&self, range: Range, access: Access) -> Result<(), FaultError> {
        for page in 0..range.pages() {
            let address = range.start().checked_add(page * PAGE_SIZE as u64);
            let address = address.ok_or(FaultError::MapErr)?;
            self.handle_fault(address.to_virt(), access, &Limits::NO_GROWTH)?;
        }
        Ok(())
    }
}
