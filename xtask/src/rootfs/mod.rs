//! The root file system that the kernel boots from: a newc cpio archive.
//!
//! `ROOTFS` may name a directory or an archive; otherwise the archive holds the tree that
//! `standard` describes. `archive` writes the format.

mod archive;
pub mod programs;
mod standard;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;

use crate::workspace;
pub use archive::Archive;
pub use standard::user_program;

/// How every newc archive starts; the second form carries checksums.
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];
/// How a gzipped file starts.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// Writes the archive to boot from and returns where it is.
///
/// # Errors
/// If what `ROOTFS` names is neither a directory nor an archive, or the user programs do not
/// compile.
pub fn prepare(rootfs: &str) -> anyhow::Result<PathBuf> {
    let bytes = if rootfs.is_empty() {
        standard::build()?.finish()?
    } else {
        from_path(Path::new(rootfs)).with_context(|| format!("cannot use ROOTFS={rootfs}"))?
    };
    let path = workspace::output("")?.join("rootfs.cpio");
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The archive that a person's directory or archive stands for.
fn from_path(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.is_dir() {
        let mut archive = Archive::default();
        archive.add_directory_tree(path)?;
        return archive.finish();
    }
    let bytes = std::fs::read(path)?;
    let bytes = if bytes.starts_with(GZIP_MAGIC) { unzip(&bytes)? } else { bytes };
    if !MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
        bail!(
            "it is neither a directory nor a newc cpio archive (make one with \
             `find . | cpio -o -H newc`)"
        );
    }
    Ok(bytes)
}

/// Undoes gzip.
fn unzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut unzipped = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut unzipped).context("it is damaged gzip")?;
    Ok(unzipped)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_gzipped_archive_is_unzipped() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::default().finish().unwrap();
        let path = directory.path().join("root.cpio.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&archive).unwrap();
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        assert_eq!(from_path(&path).unwrap(), archive);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#!/bin/sh\n").unwrap();
        assert!(from_path(file.path()).is_err());
        assert!(from_path(Path::new("/no/such/place")).is_err());
    }
}
