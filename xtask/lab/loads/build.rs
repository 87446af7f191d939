//! Lists the load files in `data/`, so that a new one is in the box as soon as it is there.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let directory =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("data");
    println!("cargo:rerun-if-changed={}", directory.display());
    let entries = fs::read_dir(&directory).expect("the directory data/ can be read");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let rows = files.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        format!("({name:?}, include_str!({:?})),", path.display().to_string())
    });
    let list = format!("&[{}]", rows.collect::<String>());
    let output = PathBuf::from(env::var("OUT_DIR").expect("cargo says where")).join("standard.rs");
    fs::write(output, list).expect("the list can be written");
}
