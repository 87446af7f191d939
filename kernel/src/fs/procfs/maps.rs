//! `/proc/PID/maps`: the areas of an address space.

use mm::space::MapsEntry;
use mm::{Backing, Protection, Vma};

use super::super::pseudo::Output;
use super::subject::Task;
use crate::errno::Result;

/// The column in which names start.
const NAME_COLUMN: usize = 73;

/// One line for each area.
pub fn areas(task: &Task, out: &mut Output) -> Result<()> {
    task.accessible_thread()?;
    let Some(space) = task.process.space() else { return Ok(()) };
    for entry in space.maps() {
        line(&entry, out)?;
    }
    Ok(())
}

/// The line of one area.
pub(super) fn line(entry: &MapsEntry, out: &mut Output) -> Result<()> {
    let start = out.len();
    let vma = &entry.vma;
    write_range(vma, out)?;
    match (&vma.backing, entry.label) {
        (Backing::Object(range), _) => match &range.file {
            Some(file) => {
                write_file(out, range.offset, file.device(), file.inode())?;
                out.pad_to(start, NAME_COLUMN)?;
                let written = file.write_path(out);
                written.map_err(|core::fmt::Error| crate::errno::Errno::ENOMEM)?;
            }
            None => {
                write_file(out, range.offset, 1, 0)?;
                out.pad_to(start, NAME_COLUMN)?;
                out.bytes(b"/dev/zero (deleted)")?;
            }
        },
        (Backing::Anonymous, Some(label)) => {
            write_file(out, 0, 0, 0)?;
            out.pad_to(start, NAME_COLUMN)?;
            out.bytes(label.as_bytes())?;
        }
        (Backing::Anonymous, None) => write_file(out, 0, 0, 0)?,
    }
    out.bytes(b"\n")
}

fn write_range(vma: &Vma, out: &mut Output) -> Result<()> {
    let flag = |protection, letter| if vma.protection.contains(protection) { letter } else { '-' };
    write!(
        out,
        "{:08x}-{:08x} {}{}{}{}",
        vma.start().as_u64(),
        vma.end().as_u64(),
        flag(Protection::READ, 'r'),
        flag(Protection::WRITE, 'w'),
        flag(Protection::EXECUTE, 'x'),
        if vma.is_shared() { 's' } else { 'p' },
    )
}

fn write_file(out: &mut Output, offset: u64, device: u64, inode: u64) -> Result<()> {
    let number = super::super::metadata::DeviceNumber::decode(device as u32);
    write!(out, " {offset:08x} {:02x}:{:02x} {inode} ", number.major, number.minor)
}
