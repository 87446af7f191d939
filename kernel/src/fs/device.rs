//! The registry of character devices: from a device number to the driver that opens it.
//!
//! Drivers register once, at boot, before the first program runs; opening a device node looks the number up here.
//! A registration also names the node that devtmpfs shows, so `/dev` is complete by construction.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::{Rank, SpinLock};

use super::flags::OpenFlags;
use super::metadata::DeviceNumber;
use super::operations::FileOperations;
use super::path::Path;
use crate::errno::{Errno, Result};

/// Opens an instance of a character device.
pub trait CharacterDevice: Send + Sync {
    /// The operations of a new open file on minor device `minor`, opened at `path`.
    ///
    /// # Errors
    /// `ENXIO`, `EIO`, `EBUSY`, as the device has them.
    fn open(&self, minor: u32, path: &Path, flags: OpenFlags) -> Result<Arc<dyn FileOperations>>;
}

/// A character device, as its driver announces it.
#[derive(Clone)]
pub struct Registration {
    /// Its number.
    pub number: DeviceNumber,
    /// The node in /dev, such as `null`; with a slash for one in a subdirectory.
    pub name: &'static str,
    /// The permission bits of the node.
    pub permissions: u16,
    /// The name of the driver in /proc/devices.
    pub driver: &'static str,
    /// Who opens it.
    pub device: Arc<dyn CharacterDevice>,
}

/// In the order of registration. Small, and searched only when a device is opened by a path.
static DEVICES: SpinLock<Vec<Registration>> = SpinLock::new(Rank::FILE, Vec::new());

/// Devices with as many minor numbers as they like.
static MAJORS: SpinLock<Vec<(u32, Arc<dyn CharacterDevice>)>> =
    SpinLock::new(Rank::FILE, Vec::new());

/// Announces a character device; a later one of the same number takes its place.
pub fn register(registration: Registration) {
    let mut devices = DEVICES.lock();
    devices.retain(|other| other.number != registration.number);
    devices.push(registration);
}

/// Lets `device` open every minor number of `major` that was not registered on its own. Such devices have no nodes in
/// devtmpfs; a file system of their own shows them.
pub fn register_major(major: u32, device: Arc<dyn CharacterDevice>) {
    MAJORS.lock().push((major, device));
}

/// Every registered device, in the order of registration.
#[must_use]
pub fn registered() -> Vec<Registration> {
    DEVICES.lock().clone()
}

/// Opens character device `number` through the node at `path`.
///
/// # Errors
/// `ENXIO` if nobody registered it; the device's own.
pub fn open(
    number: DeviceNumber,
    path: &Path,
    flags: OpenFlags,
) -> Result<Arc<dyn FileOperations>> {
    let device = find(number).or_else(|| find_major(number.major)).ok_or(Errno::ENXIO)?;
    device.open(number.minor, path, flags)
}

fn find(number: DeviceNumber) -> Option<Arc<dyn CharacterDevice>> {
    let devices = DEVICES.lock();
    devices.iter().find(|other| other.number == number).map(|found| found.device.clone())
}

fn find_major(major: u32) -> Option<Arc<dyn CharacterDevice>> {
    let majors = MAJORS.lock();
    majors.iter().find(|(other, _)| *other == major).map(|(_, device)| device.clone())
}
