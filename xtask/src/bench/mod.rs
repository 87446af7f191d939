//! `make bench` and its kin: Skein measured beside Linux.

mod options;
mod profile;
mod record;
mod session;
mod subject;

use std::path::PathBuf;

use anyhow::Context;

use crate::workspace;

pub use profile::{ProfileOptions, profile};

/// Where reports and profiles go.
///
/// # Errors
/// If the directory cannot be made.
pub fn output_directory() -> anyhow::Result<PathBuf> {
    let directory = workspace::target().join("bench");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    Ok(directory)
}
