//! `/proc/PID/mounts`, `/proc/PID/mountinfo`, `/proc/filesystems`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::file_systems::FILE_SYSTEMS;
use super::super::mount::{Mount, MountFlags, mounts};
use super::super::path::{Path, Reach};
use super::super::pseudo::Output;
use super::subject::{System, Task};
use crate::errno::{Errno, Result};

/// Every type of file system; none needs a device.
pub fn file_systems(_: &System, out: &mut Output) -> Result<()> {
    FILE_SYSTEMS.iter().try_for_each(|kind| writeln!(out, "nodev\t{}", kind.name))
}

/// The root as the process sees it.
fn root_of(task: &Task) -> Result<Path> {
    let fs = task.live_thread()?.try_fs().ok_or(Errno::EINVAL)?;
    Ok(fs.root())
}

/// Where `mount` stands below `root`; `None` if it is out of sight.
fn place_below(mount: &Arc<Mount>, root: &Path) -> Result<Option<Vec<u8>>> {
    let (text, reach) = mount.root_path().text(root)?;
    Ok((reach == Reach::FromRoot).then_some(text))
}

fn write_flags(flags: MountFlags, out: &mut Output) -> Result<()> {
    out.bytes(if flags.contains(MountFlags::READ_ONLY) { b"ro" } else { b"rw" })?;
    for (flag, name) in [
        (MountFlags::NO_SET_ID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ATIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ATIME, ",nodiratime"),
        (MountFlags::RELATIVE_ATIME, ",relatime"),
    ] {
        if flags.contains(flag) {
            out.bytes(name.as_bytes())?;
        }
    }
    Ok(())
}

fn write_options(mount: &Mount, out: &mut Output) -> Result<()> {
    let written = mount.file_system().write_options(out);
    written.map_err(|core::fmt::Error| Errno::ENOMEM)
}

/// The format of fstab(5).
pub fn table(task: &Task, out: &mut Output) -> Result<()> {
    let root = root_of(task)?;
    for mount in mounts()? {
        let Some(place) = place_below(&mount, &root)? else { continue };
        out.quoted(mount.source())?;
        out.bytes(b" ")?;
        out.quoted(&place)?;
        write!(out, " {} ", mount.file_system().type_name())?;
        write_flags(mount.flags(), out)?;
        write_options(&mount, out)?;
        out.bytes(b" 0 0\n")?;
    }
    Ok(())
}

/// One line for each mount, with its number and its parent's.
pub fn information(task: &Task, out: &mut Output) -> Result<()> {
    let root = root_of(task)?;
    for mount in mounts()? {
        let Some(place) = place_below(&mount, &root)? else { continue };
        let parent = mount.place().map_or(mount.id(), |place| place.mount.id());
        let device = mount.file_system().device();
        write!(out, "{} {parent} {}:{} ", mount.id(), device.major, device.minor)?;
        out.quoted(&root_within(&mount)?)?;
        out.bytes(b" ")?;
        out.quoted(&place)?;
        out.bytes(b" ")?;
        write_flags(mount.flags(), out)?;
        write!(out, " - {} ", mount.file_system().type_name())?;
        out.quoted(mount.source())?;
        out.bytes(b" ")?;
        out.bytes(if mount.is_read_only() { b"ro" } else { b"rw" })?;
        write_options(&mount, out)?;
        out.bytes(b"\n")?;
    }
    Ok(())
}

/// Which part of its file system a mount shows: `/`, or a directory for a bind mount.
fn root_within(mount: &Arc<Mount>) -> Result<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut at = mount.root().clone();
    while let Some(parent) = at.parent() {
        names.push(at.with_place(|_, name| super::super::name::try_copy(name))?);
        at = parent;
    }
    if names.is_empty() {
        return super::super::name::try_copy(b"/");
    }
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.try_reserve(name.len() + 1).map_err(|_| Errno::ENOMEM)?;
        text.push(b'/');
        text.extend_from_slice(name);
    }
    Ok(text)
}
