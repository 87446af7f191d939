//! Directories as places and as lists: chdir(2), getcwd(2), chroot(2), umask(2), getdents(2).

use alloc::vec::Vec;
use core::ops::ControlFlow;

use arch::addr::UserAddr;

use super::super::permission::{self, Permission};
use super::super::{DirectoryEntry, Fd, FileType, Path, WalkFlags};
use super::{context, file, files, find};
use crate::errno::{Errno, Result};
use crate::memory::user::{self, UserCString};
use crate::syscall;
use crate::syscall::{Caller, Syscall};
use crate::task::Capability;

/// The calls.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(78, getdents(descriptor: Fd, buffer: UserAddr, count: u32)),
    syscall!(79, getcwd(buffer: UserAddr, size: usize)),
    syscall!(80, chdir(path: UserCString)),
    syscall!(81, fchdir(descriptor: Fd)),
    syscall!(95, umask(mask: u32)),
    syscall!(161, chroot(path: UserCString)),
    syscall!(217, getdents64(descriptor: Fd, buffer: UserAddr, count: u32)),
];

fn check_search(caller: &Caller<'_>, path: &Path) -> Result<()> {
    permission::check(&**path.inode(), &caller.thread.credentials(), Permission::EXECUTE)
}

/// chdir(2).
fn chdir(caller: &mut Caller<'_>, path: UserCString) -> Result {
    let path = find(caller, Fd::CWD, path, WalkFlags::FOLLOW | WalkFlags::DIRECTORY)?;
    check_search(caller, &path)?;
    context(caller).set_working_directory(path);
    Ok(0)
}

/// fchdir(2).
fn fchdir(caller: &mut Caller<'_>, descriptor: Fd) -> Result {
    let file = files(caller).get_any(descriptor)?;
    if file.inode().file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    check_search(caller, file.path())?;
    context(caller).set_working_directory(file.path().clone());
    Ok(0)
}

/// chroot(2).
fn chroot(caller: &mut Caller<'_>, path: UserCString) -> Result {
    let path = find(caller, Fd::CWD, path, WalkFlags::FOLLOW | WalkFlags::DIRECTORY)?;
    check_search(caller, &path)?;
    if !caller.thread.credentials().has(Capability::SysChroot) {
        return Err(Errno::EPERM);
    }
    context(caller).set_root(path);
    Ok(0)
}

/// umask(2).
fn umask(caller: &mut Caller<'_>, mask: u32) -> Result {
    Ok(usize::from(context(caller).set_umask(mask)))
}

/// getcwd(2): returns the length with the NUL.
fn getcwd(caller: &mut Caller<'_>, buffer: UserAddr, size: usize) -> Result {
    const UNREACHABLE: &[u8] = b"(unreachable)";
    let context = context(caller);
    let directory = context.working_directory();
    if directory.dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let (path, reach) = directory.text(&context.root())?;
    let mut text = Vec::new();
    text.try_reserve(path.len() + UNREACHABLE.len() + 1).map_err(|_| Errno::ENOMEM)?;
    if reach == super::super::path::Reach::Unreachable {
        text.extend_from_slice(UNREACHABLE);
    }
    text.extend_from_slice(&path);
    text.push(0);
    if text.len() > size {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(buffer, &text)?;
    Ok(text.len())
}

/// How one entry lies in the caller's buffer.
#[derive(Clone, Copy)]
enum Layout {
    /// `struct linux_dirent`: the type in the last byte.
    Old,
    /// `struct linux_dirent64`: the type before the name.
    Current,
}

/// Entries are gathered in kernel memory up to this size, because listing may hold spin locks.
const BATCH_MAX: usize = 32 * 1024;

/// getdents64(2).
fn getdents64(caller: &mut Caller<'_>, descriptor: Fd, buffer: UserAddr, count: u32) -> Result {
    list(caller, descriptor, buffer, count, Layout::Current)
}

/// getdents(2).
fn getdents(caller: &mut Caller<'_>, descriptor: Fd, buffer: UserAddr, count: u32) -> Result {
    list(caller, descriptor, buffer, count, Layout::Old)
}

fn list(
    caller: &Caller<'_>,
    descriptor: Fd,
    buffer: UserAddr,
    count: u32,
    layout: Layout,
) -> Result {
    let file = file(caller, descriptor)?;
    if file.inode().file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    let room = (count as usize).min(BATCH_MAX);
    let mut batch = Vec::new();
    batch.try_reserve_exact(room).map_err(|_| Errno::ENOMEM)?;
    let mut position = file.lock_position();
    let mut next = *position;
    let mut full = false;
    file.operations().entries(&file, *position, &mut |entry| {
        if batch.len() + record_length(entry.name, layout) > room {
            full = true;
            return ControlFlow::Break(());
        }
        push_record(&mut batch, entry, layout);
        next = entry.next;
        ControlFlow::Continue(())
    })?;
    if batch.is_empty() && full {
        return Err(Errno::EINVAL);
    }
    user::write_bytes(buffer, &batch)?;
    *position = next;
    Ok(batch.len())
}

/// The fixed part of a record before the name: inode, cursor, length, and for the current layout the type.
const fn header_length(layout: Layout) -> usize {
    match layout {
        Layout::Old => 18,
        Layout::Current => 19,
    }
}

fn record_length(name: &[u8], layout: Layout) -> usize {
    let tail = match layout {
        Layout::Old => 2,
        Layout::Current => 1,
    };
    (header_length(layout) + name.len() + tail).next_multiple_of(8)
}

fn push_record(batch: &mut Vec<u8>, entry: &DirectoryEntry<'_>, layout: Layout) {
    let start = batch.len();
    let length = record_length(entry.name, layout);
    batch.extend_from_slice(&entry.inode.to_le_bytes());
    batch.extend_from_slice(&entry.next.to_le_bytes());
    batch.extend_from_slice(&(length as u16).to_le_bytes());
    let kind = entry.file_type.directory_entry_type();
    if matches!(layout, Layout::Current) {
        batch.push(kind);
    }
    batch.extend_from_slice(entry.name);
    batch.resize(start + length, 0);
    if matches!(layout, Layout::Old) {
        batch[start + length - 1] = kind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(layout: Layout) -> Vec<u8> {
        let mut batch = Vec::new();
        let entry =
            DirectoryEntry { name: b"abc", inode: 7, file_type: FileType::Regular, next: 9 };
        push_record(&mut batch, &entry, layout);
        batch
    }

    #[test]
    fn records_are_laid_out_as_the_manual_says() {
        let current = record(Layout::Current);
        assert_eq!(current.len(), 24);
        assert_eq!((current[0], current[8], current[16], current[18]), (7, 9, 24, 8));
        assert_eq!(&current[19..23], b"abc\0");
        let old = record(Layout::Old);
        assert_eq!(&old[18..22], b"abc\0");
        assert_eq!(old[old.len() - 1], 8);
    }
}
