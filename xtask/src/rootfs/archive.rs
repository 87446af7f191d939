//! Writes newc cpio archives, the same bytes for the same files.
//!
//! Owners are root, times are zero, inode numbers count up, and entries stand in the order of
//! their names, directories before what is in them.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, bail};
use cpio::newc::{Builder, ModeFileType, trailer};
use walkdir::WalkDir;

/// What stands at one path of the archive.
enum Node {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    Fifo,
    Device { kind: ModeFileType, number: (u32, u32) },
}

/// An archive in the making: nodes and permissions by path, without a leading slash.
#[derive(Default)]
pub struct Archive {
    nodes: BTreeMap<String, (Node, u32)>,
}

impl Archive {
    /// Adds a directory with the permissions `mode`, and its parents as far as they are missing.
    pub fn add_directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Node::Directory, mode);
    }

    /// Adds a regular file with the permissions `mode`.
    pub fn add_file(&mut self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) {
        self.insert(path, Node::File(contents.into()), mode);
    }

    /// Adds a symbolic link, unless there is something at `path` already.
    pub fn add_symlink(&mut self, path: &str, target: &str) {
        if !self.nodes.contains_key(path) {
            self.insert(path, Node::Symlink(target.to_owned()), 0o777);
        }
    }

    /// Adds `/dev/console`, which Linux opens for the first program when the archive has it.
    pub fn add_console(&mut self) {
        let node = Node::Device { kind: ModeFileType::Char, number: (5, 1) };
        self.insert("dev/console", node, 0o600);
    }

    /// Adds everything below a directory of the host.
    ///
    /// # Errors
    /// If something there cannot be read, has a name that is not UTF-8, or is a socket.
    pub fn add_directory_tree(&mut self, top: &Path) -> anyhow::Result<()> {
        for entry in WalkDir::new(top).min_depth(1).sort_by_file_name() {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(top)?.to_str().with_context(|| {
                format!("the name of {} is not UTF-8, which this tool cannot pack", path.display())
            })?;
            let metadata = entry.metadata()?;
            let node = read_node(path, &metadata)
                .with_context(|| format!("cannot read {}", path.display()))?;
            self.insert(name, node, metadata.mode() & 0o7777);
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, node: Node, mode: u32) {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.nodes.contains_key(parent)
        {
            self.add_directory(parent, 0o755);
        }
        self.nodes.insert(path.to_owned(), (node, mode));
    }

    /// The bytes of the archive.
    ///
    /// # Errors
    /// If a file is larger than the format can say (4 GiB).
    pub fn finish(self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (inode, (path, (node, mode))) in (1..).zip(self.nodes) {
            let builder = Builder::new(&path).ino(inode).mode(mode);
            let (builder, contents) = match node {
                Node::Directory => {
                    (builder.nlink(2).set_mode_file_type(ModeFileType::Directory), Vec::new())
                }
                Node::File(contents) => {
                    (builder.set_mode_file_type(ModeFileType::Regular), contents)
                }
                Node::Symlink(target) => {
                    (builder.set_mode_file_type(ModeFileType::Symlink), target.into_bytes())
                }
                Node::Fifo => (builder.set_mode_file_type(ModeFileType::Fifo), Vec::new()),
                Node::Device { kind, number } => {
                    let builder = builder.rdev_major(number.0).rdev_minor(number.1);
                    (builder.set_mode_file_type(kind), Vec::new())
                }
            };
            let size = u32::try_from(contents.len())
                .with_context(|| format!("{path} is too large for a cpio archive"))?;
            let mut writer = builder.write(&mut bytes, size);
            writer.write_all(&contents)?;
            writer.finish()?;
        }
        trailer(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads one file of the host, whatever its type.
fn read_node(path: &Path, metadata: &std::fs::Metadata) -> anyhow::Result<Node> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        Node::Directory
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path)?;
        Node::Symlink(target.to_str().context("its target is not UTF-8")?.to_owned())
    } else if kind.is_file() {
        Node::File(std::fs::read(path)?)
    } else if kind.is_fifo() {
        Node::Fifo
    } else if kind.is_char_device() || kind.is_block_device() {
        let character = kind.is_char_device();
        let kind = if character { ModeFileType::Char } else { ModeFileType::Block };
        Node::Device { kind, number: device_number(metadata.rdev())? }
    } else {
        bail!("a socket cannot be packed");
    })
}

/// Major and minor number, in Linux's encoding of `st_rdev`.
fn device_number(rdev: u64) -> anyhow::Result<(u32, u32)> {
    let major = ((rdev >> 8) & 0xfff) | ((rdev >> 32) & !0xfff);
    let minor = (rdev & 0xff) | ((rdev >> 12) & !0xff);
    Ok((u32::try_from(major)?, u32::try_from(minor & 0xffff_ffff)?))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use cpio::newc::Reader;

    use super::*;

    /// Name, mode and contents of all entries.
    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut rest = archive;
        let mut entries = Vec::new();
        loop {
            let mut reader = Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return entries;
            }
            assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0));
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents).unwrap();
            entries.push((entry.name().to_owned(), entry.mode(), contents));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn parents_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.add_symlink("usr/bin/ls", "/bin/busybox");
        archive.add_file("bin/busybox", 0o755, "ELF");
        archive.add_symlink("bin/busybox", "/never");
        archive.add_directory("tmp", 0o1777);
        let entries = entries(&archive.finish().unwrap());
        let expected = [
            ("bin", 0o40755, ""),
            ("bin/busybox", 0o100_755, "ELF"),
            ("tmp", 0o41777, ""),
            ("usr", 0o40755, ""),
            ("usr/bin", 0o40755, ""),
            ("usr/bin/ls", 0o120_777, "/bin/busybox"),
        ];
        let expected = expected.map(|(name, mode, text)| (name.into(), mode, text.into()));
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_directory_of_the_host_is_packed_the_same_each_time() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("bin")).unwrap();
        std::fs::write(top.path().join("bin/a"), "one").unwrap();
        std::os::unix::fs::symlink("a", top.path().join("bin/b")).unwrap();
        let pack = || {
            let mut archive = Archive::default();
            archive.add_directory_tree(top.path()).unwrap();
            archive.finish().unwrap()
        };
        let first = pack();
        assert_eq!(first, pack());
        let names: Vec<_> = entries(&first).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["bin", "bin/a", "bin/b"]);
    }

    #[test]
    fn device_numbers_are_taken_apart_as_linux_puts_them_together() {
        assert_eq!(device_number(0x0501).unwrap(), (5, 1));
        assert_eq!(device_number(0x0010_3abc).unwrap(), (0x3a, 0x1bc));
    }
}
