//! The initial root file system: cpio archives, perhaps compressed, unpacked into the root tmpfs.
//!
//! An image is a sequence of archives, each plain or gzipped, with zeros between them, as Linux takes it
//! (Documentation/driver-api/early-userspace/buffer-format.rst). Unpacking works on inodes alone, before anything is
//! mounted or looked up. A malformed image ends with an error that names the entry; what came before stays.

mod cpio;
mod gzip;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use cpio::{Archive, Entry};

use super::inode::{Directory, Inode, NewInode, NewNode};
use super::metadata::{AttributeChanges, DeviceNumber, FileType, Timestamp};
use super::name::PATH_MAX;
use crate::errno::{Errno, Result};

/// Why unpacking stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnpackError {
    /// An archive is malformed behind the entry of this name (or at its start).
    Archive(Vec<u8>, cpio::Fault),
    /// A compressed part is malformed.
    Compressed(gzip::Fault),
    /// There is something else than an archive at this offset.
    Format(usize),
    /// An entry could not be made.
    Entry(Vec<u8>, Errno),
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(name, fault) if name.is_empty() => {
                write!(f, "the initramfs is malformed at its start: {fault}")
            }
            Self::Archive(name, fault) => {
                write!(f, "the initramfs is malformed behind \"{}\": {fault}", name.escape_ascii())
            }
            Self::Compressed(fault) => write!(f, "the initramfs cannot be unpacked: {fault}"),
            Self::Format(offset) => {
                write!(f, "the initramfs has neither cpio (newc) nor gzip data at byte {offset}")
            }
            Self::Entry(name, errno) => {
                write!(f, "initramfs entry \"{}\" cannot be made: {errno}", name.escape_ascii())
            }
        }
    }
}

/// Unpacks `image` into the directory `root` and returns how many entries it had.
///
/// # Errors
/// [`UnpackError`]; entries before the faulty one are unpacked.
pub fn unpack(image: &[u8], root: &Arc<dyn Inode>) -> core::result::Result<usize, UnpackError> {
    let mut unpacker = Unpacker { root, linked: BTreeMap::new(), entries: 0 };
    let mut at = 0;
    loop {
        at += image[at..].iter().take_while(|byte| **byte == 0).count();
        let rest = &image[at..];
        if rest.is_empty() {
            return Ok(unpacker.entries);
        }
        if Archive::is_at(rest) {
            at += unpacker.archive(rest)?;
        } else if gzip::is_at(rest) {
            let (content, used) = gzip::inflate(rest).map_err(UnpackError::Compressed)?;
            unpacker.plain(&content)?;
            at += used;
        } else {
            return Err(UnpackError::Format(at));
        }
    }
}

/// A directory and a name in it.
type Place<'a> = (Arc<dyn Inode>, &'a [u8]);

struct Unpacker<'a> {
    root: &'a Arc<dyn Inode>,
    /// The files with several names that were met in the current archive.
    linked: BTreeMap<[u32; 3], Arc<dyn Inode>>,
    entries: usize,
}

impl Unpacker<'_> {
    /// Unpacks archives with zeros between them.
    fn plain(&mut self, content: &[u8]) -> core::result::Result<(), UnpackError> {
        let mut at = 0;
        loop {
            at += content[at..].iter().take_while(|byte| **byte == 0).count();
            if at == content.len() {
                return Ok(());
            }
            if !Archive::is_at(&content[at..]) {
                return Err(UnpackError::Format(at));
            }
            at += self.archive(&content[at..])?;
        }
    }

    /// Unpacks one archive and returns its length.
    fn archive(&mut self, image: &[u8]) -> core::result::Result<usize, UnpackError> {
        let mut archive = Archive::new(image);
        let mut last: &[u8] = &[];
        for entry in archive.by_ref() {
            let entry = entry.map_err(|fault| UnpackError::Archive(last.to_vec(), fault))?;
            last = entry.name;
            self.entry(&entry).map_err(|errno| UnpackError::Entry(entry.name.to_vec(), errno))?;
            self.entries += 1;
        }
        self.linked.clear();
        Ok(archive.offset())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let file_type = FileType::from_mode(entry.mode).ok_or(Errno::EINVAL)?;
        let Some((parent, name)) = self.place_of(entry.name)? else {
            return set_attributes(&**self.root, entry);
        };
        let directory = parent.directory().ok_or(Errno::ENOTDIR)?;
        let has_links = entry.links > 1 && file_type != FileType::Directory;
        let known = if has_links { self.linked.get(&entry.identity).cloned() } else { None };
        let inode = match known {
            Some(inode) if inode.file_type() == file_type => {
                make_way(directory, name)?;
                directory.attach(name, &inode)?;
                inode
            }
            _ => make(directory, name, file_type, entry)?,
        };
        if has_links {
            self.linked.insert(entry.identity, inode.clone());
        }
        // Only one of several names carries the content.
        if file_type == FileType::Regular && !entry.content.is_empty() {
            write_content(&*inode, entry.content)?;
        }
        set_attributes(&*inode, entry)
    }

    /// The directory of `path` and the name in it; `None` for the root itself.
    fn place_of<'p>(&self, path: &'p [u8]) -> Result<Option<Place<'p>>> {
        let mut at = self.root.clone();
        let mut last: Option<&[u8]> = None;
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Errno::EINVAL),
                _ => {}
            }
            if let Some(name) = last.replace(part) {
                at = at.directory().ok_or(Errno::ENOTDIR)?.lookup(name)?;
            }
        }
        Ok(last.map(|name| (at, name)))
    }
}

/// Removes what has the name already; a directory stays, and is in the way of anything else.
fn make_way(directory: &dyn Directory, name: &[u8]) -> Result<()> {
    match directory.lookup(name) {
        Ok(inode) if inode.file_type() == FileType::Directory => Err(Errno::EEXIST),
        Ok(_) => directory.detach(name),
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn make(
    directory: &dyn Directory,
    name: &[u8],
    file_type: FileType,
    entry: &Entry<'_>,
) -> Result<Arc<dyn Inode>> {
    if file_type == FileType::Directory
        && let Ok(inode) = directory.lookup(name)
        && inode.file_type() == FileType::Directory
    {
        return Ok(inode);
    }
    make_way(directory, name)?;
    let device = DeviceNumber::new(entry.special[0], entry.special[1]);
    let node = match file_type {
        FileType::Regular => NewNode::Regular,
        FileType::Directory => NewNode::Directory,
        FileType::SymbolicLink if entry.content.is_empty() || entry.content.len() >= PATH_MAX => {
            return Err(Errno::EINVAL);
        }
        FileType::SymbolicLink => NewNode::SymbolicLink(link_text(entry.content)),
        FileType::Fifo => NewNode::Fifo,
        FileType::Socket => NewNode::Socket,
        FileType::CharacterDevice => NewNode::CharacterDevice(device),
        FileType::BlockDevice => NewNode::BlockDevice(device),
    };
    let permissions = (entry.mode & 0o7777) as u16;
    directory.create(name, &NewInode { node, permissions, user: entry.user, group: entry.group })
}

/// Some writers end the text of a symbolic link with a NUL.
fn link_text(content: &[u8]) -> &[u8] {
    content.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn write_content(inode: &dyn Inode, content: &[u8]) -> Result<()> {
    inode.truncate(0)?;
    let written = inode.write_at(0, content)?;
    if written == content.len() { Ok(()) } else { Err(Errno::ENOSPC) }
}

fn set_attributes(inode: &dyn Inode, entry: &Entry<'_>) -> Result<()> {
    let time = Timestamp { seconds: i64::from(entry.modified), nanoseconds: 0 };
    inode.set_attributes(&AttributeChanges {
        permissions: Some((entry.mode & 0o7777) as u16),
        user: Some(entry.user),
        group: Some(entry.group),
        accessed: Some(time),
        modified: Some(time),
        changed: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::inode::{FileSystem, LinkTarget};
    use super::super::tmpfs::{Options, TmpFs};
    use super::cpio::tests::{finish, push};
    use super::*;

    fn unpacked(image: &[u8]) -> (Arc<dyn Inode>, core::result::Result<usize, UnpackError>) {
        let file_system = TmpFs::new("tmpfs", &Options::default()).expect("memory");
        let root = FileSystem::root(&*file_system);
        let result = unpack(image, &root);
        // The tree is taken apart with its file system, so keep that.
        core::mem::forget(file_system);
        (root, result)
    }

    fn at(root: &Arc<dyn Inode>, path: &str) -> Arc<dyn Inode> {
        path.split('/').fold(root.clone(), |inode, name| {
            inode.directory().expect("a directory").lookup(name.as_bytes()).expect("an entry")
        })
    }

    #[test]
    fn every_kind_of_entry_is_made() {
        let mut image = Vec::new();
        push(&mut image, ".", 0o040700, 1, 2, b"");
        push(&mut image, "bin", 0o040755, 2, 2, b"");
        push(&mut image, "bin/a", 0o100755, 3, 2, b"");
        push(&mut image, "./bin/b", 0o100755, 3, 2, b"shared");
        push(&mut image, "link", 0o120777, 4, 1, b"bin/a");
        push(&mut image, "console", 0o020600, 5, 1, b"");
        push(&mut image, "fifo", 0o010644, 6, 1, b"");
        finish(&mut image);
        image.resize(image.len().next_multiple_of(512), 0);
        let (root, result) = unpacked(&image);
        assert_eq!(result, Ok(7));
        assert_eq!(root.metadata().permissions, 0o700);
        let first = at(&root, "bin/a");
        assert_eq!(first.metadata().links, 2);
        let mut content = [0; 10];
        assert_eq!(first.read_at(0, &mut content), Ok(6));
        assert_eq!(&content[..6], b"shared");
        assert_eq!(at(&root, "console").metadata().special, DeviceNumber::new(5, 1));
        assert!(
            matches!(at(&root, "link").read_link(), Ok(LinkTarget::Text(text)) if text == b"bin/a")
        );
        assert_eq!(at(&root, "fifo").file_type(), FileType::Fifo);
    }

    #[test]
    fn errors_name_the_entry() {
        let mut image = Vec::new();
        push(&mut image, "good", 0o100644, 1, 1, b"");
        push(&mut image, "missing/file", 0o100644, 2, 1, b"");
        let (_, result) = unpacked(&image);
        assert_eq!(result, Err(UnpackError::Entry(b"missing/file".to_vec(), Errno::ENOENT)));
        let mut image = Vec::new();
        push(&mut image, "good", 0o100644, 1, 1, b"");
        image.extend_from_slice(b"0707");
        let (_, result) = unpacked(&image);
        assert_eq!(result, Err(UnpackError::Archive(b"good".to_vec(), cpio::Fault::Truncated)));
        assert_eq!(unpacked(b"\0\0MZ").1, Err(UnpackError::Format(2)));
        let mut image = Vec::new();
        push(&mut image, "../etc", 0o040755, 1, 1, b"");
        assert_eq!(unpacked(&image).1, Err(UnpackError::Entry(b"../etc".to_vec(), Errno::EINVAL)));
    }

    proptest! {
        #[test]
        fn no_damage_breaks_unpacking(at in 0..900_usize, value in any::<u8>(), cut in 0..900_usize) {
            let mut image = Vec::new();
            push(&mut image, "d", 0o040755, 1, 2, b"");
            push(&mut image, "d/a", 0o100644, 2, 2, b"some content");
            push(&mut image, "d/b", 0o100644, 2, 2, b"");
            push(&mut image, "s", 0o120777, 3, 1, b"d");
            finish(&mut image);
            if let Some(byte) = image.get_mut(at) {
                *byte = value;
            }
            image.truncate(cut);
            let _ = unpacked(&image);
        }
    }
}
