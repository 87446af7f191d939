//! sysfs stub
use super::inode::FileSystem;
use crate::errno::{Errno, Result};
use alloc::sync::Arc;
/// Instance.
pub fn instance() -> Result<Arc<dyn FileSystem>> {
    Err(Errno::ENODEV)
}
