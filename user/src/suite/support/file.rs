//! Files in the case's scratch directory, and pipes.

use std::fs;

use crate::ok;

/// A pipe: its reading end and its writing end.
#[track_caller]
pub(in crate::suite) fn pipe(flags: i32) -> (i32, i32) {
    let mut ends = [0_i32; 2];
    ok!(SYS_pipe2, &mut ends, flags);
    (ends[0], ends[1])
}

/// Reads a descriptor to its end.
#[track_caller]
pub(in crate::suite) fn read_all(fd: i32) -> Vec<u8> {
    let mut everything = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = ok!(SYS_read, fd, &mut buffer, buffer.len());
        if count == 0 {
            return everything;
        }
        everything.extend_from_slice(&buffer[..count]);
    }
}

/// The content of a text file.
#[track_caller]
pub(in crate::suite) fn read_text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Makes a file with this content.
#[track_caller]
pub(in crate::suite) fn write_text(path: &str, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
}
