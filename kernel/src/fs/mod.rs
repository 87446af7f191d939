//! The virtual file system: names, mounts, inodes, open files and descriptors.
//!
//! A system call turns a descriptor into a [`File`] through the process's [`FileTable`], or a path into a [`Path`]
//! through the walk that starts at its [`FsContext`]. A [`File`] carries [`FileOperations`], which pipes, sockets,
//! terminals and devices implement in their own modules; file systems implement [`FileSystem`], [`Inode`] and
//! [`Directory`]. Bytes travel through a [`Sink`] (read) or a [`Source`] (write), which hide whether they are in
//! kernel or in user memory.
//!
//! Lock order within this module: `FILES`, then `MOUNTS`, then `INODE`, then `FILE`; sleeping mutexes come before
//! all of them.

mod anonymous;
pub mod asynchronous;
mod attribute_cell;
mod attributes;
mod boot;
mod buffer;
mod context;
mod dentry;
pub mod device;
mod devtmpfs;
mod directory;
mod file;
mod file_systems;
mod flags;
mod initramfs;
mod inode;
mod limits;
mod lock;
mod mapping;
mod memfd;
mod metadata;
mod mount;
mod name;
mod names;
mod open;
mod operations;
mod path;
mod permission;
mod poll;
mod procfs;
mod pseudo;
pub mod syscalls;
mod sysfs;
mod table;
pub mod tmpfs;
mod walk;
mod write_access;

pub use anonymous::{AnonymousInode, AnonymousKind, Reopen, open_descriptor};
pub use asynchronous::{Recipient, SignalOwner};
pub use attribute_cell::{AttributeCell, Attributes};
pub use boot::{initial_context, initialize};
pub use buffer::{Segment, Sink, Source, TRANSFER_MAX};
pub use context::FsContext;
pub use dentry::Dentry;
pub use file::File;
pub use flags::{AccessMode, OpenFlags};
pub use inode::{
    Directory, DirectoryEntry, EntryVisitor, FileSystem, Inode, LinkChange, LinkTarget, NewInode,
    NewNode,
};
pub use mapping::{
    Executable, MapAccess, check_mapping, mapping, may_map_executable, open_executable,
    read_exact_at,
};
pub use metadata::{AttributeChanges, DeviceNumber, FileType, Metadata, Statistics, Timestamp};
pub use mount::{Mount, MountFlags};
pub use name::{NAME_MAX, Name, PATH_MAX, try_copy};
pub use names::{Removal, RenameEnd, RenameMode, create as create_node, remove as remove_node};
pub use open::{OpenRequest, open, open_path};
pub use operations::{Allocation, FileOperations, Positioning, SeekFrom, Special};
pub use path::Path;
pub use permission::{Permission, check_path};
pub use poll::{PollEvents, PollTable};
pub use procfs::set_command_line;
pub(crate) use syscalls::start as start_of_walk;
pub use table::{CloseOnExec, DESCRIPTORS_MAX, FileTable, Reservation};
pub use tmpfs::anonymous_device;
pub use walk::{Last, Parent, Viewer, WalkFlags, resolve, resolve_parent};
pub use write_access::{Claim, WriteAccess, WriteClaim};

pub use crate::syscall::Fd;

#[cfg(test)]
mod tests;
