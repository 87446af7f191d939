//! devpts: the file system of /dev/pts, with a node for each pseudo-terminal whose master is open.
//!
//! Nodes come and go by themselves. All mounts show the same ones. A node belongs to whoever opened the master, and
//! may be given to others; it is the number that is opened, through the registry of devices.

use alloc::format;
use alloc::sync::Arc;

use linux_raw_sys::general::DEVPTS_SUPER_MAGIC;
use spin::Once;

use super::pty::{self, Pair, SLAVE_MAJOR};
use crate::errno::{Errno, Result};
use crate::fs::{
    AttributeCell, AttributeChanges, Attributes, DeviceNumber, Directory, DirectoryEntry,
    EntryVisitor, FileSystem, FileType, Inode, Metadata, Statistics, anonymous_device,
};

/// The inode number of the root; the node of pair N has [`FIRST_NODE`]` + N`.
const ROOT: u64 = 1;
/// The inode number of the node of pair 0, as on Linux.
const FIRST_NODE: u64 = 3;

/// The file system.
struct Devpts {
    root: Arc<Root>,
}

/// The file system, the same for every mount.
///
/// # Errors
/// None so far; other file systems fail with `ENOMEM`.
pub fn instance() -> Result<Arc<dyn FileSystem>> {
    static INSTANCE: Once<Arc<Devpts>> = Once::new();
    let instance = INSTANCE.call_once(|| {
        let root = Arc::new(Root { attributes: AttributeCell::new(0o755, 0, 0) });
        Arc::new(Devpts { root })
    });
    Ok(instance.clone())
}

fn device() -> DeviceNumber {
    static DEVICE: Once<DeviceNumber> = Once::new();
    *DEVICE.call_once(anonymous_device)
}

impl FileSystem for Devpts {
    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn device(&self) -> DeviceNumber {
        device()
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Statistics {
        let magic = u64::from(DEVPTS_SUPER_MAGIC);
        Statistics { magic, block_size: 4096, ..Statistics::default() }
    }
}

fn metadata(inode: u64, file_type: FileType, attributes: Attributes) -> Metadata {
    Metadata {
        device: device(),
        inode,
        file_type,
        permissions: attributes.permissions,
        links: if file_type == FileType::Directory { 2 } else { 1 },
        user: attributes.user,
        group: attributes.group,
        special: DeviceNumber::default(),
        size: 0,
        blocks: 0,
        block_size: 1024,
        accessed: attributes.accessed,
        modified: attributes.modified,
        changed: attributes.changed,
        created: attributes.created,
    }
}

/// The directory of all nodes.
struct Root {
    attributes: AttributeCell,
}

impl Inode for Root {
    fn metadata(&self) -> Metadata {
        metadata(ROOT, FileType::Directory, self.attributes.get())
    }

    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.attributes.apply(changes);
        Ok(())
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }
}

impl Directory for Root {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let number = parse(name).ok_or(Errno::ENOENT)?;
        let pair = pty::find(number).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(Node { number, pair }))
    }

    fn entries(&self, cursor: u64, visit: &mut EntryVisitor<'_>) -> Result<()> {
        let mut from = u32::try_from(cursor).unwrap_or(u32::MAX);
        while let Some(number) = pty::next_from(from) {
            let name = format!("{number}");
            let entry = DirectoryEntry {
                name: name.as_bytes(),
                inode: FIRST_NODE + u64::from(number),
                file_type: FileType::CharacterDevice,
                next: u64::from(number) + 1,
            };
            if visit(&entry).is_break() {
                break;
            }
            from = number + 1;
        }
        Ok(())
    }
}

/// The number that a name spells, in the one way in which it is spelt here.
fn parse(name: &[u8]) -> Option<u32> {
    let canonical = name == b"0" || name.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    if !canonical {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

/// The node of one pseudo-terminal.
struct Node {
    number: u32,
    pair: Pair,
}

impl Inode for Node {
    fn metadata(&self) -> Metadata {
        let inode = FIRST_NODE + u64::from(self.number);
        let special = DeviceNumber::new(SLAVE_MAJOR, self.number);
        Metadata {
            special,
            ..metadata(inode, FileType::CharacterDevice, self.pair.attributes.get())
        }
    }

    fn file_type(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<()> {
        self.pair.attributes.apply(changes);
        Ok(())
    }

    fn is_current(&self) -> bool {
        pty::find(self.number).is_some_and(|pair| pair.is_same(&self.pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"17"), Some(17));
        assert_eq!(parse(b"017"), None);
        assert_eq!(parse(b"+1"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"99999999999"), None);
    }
}
