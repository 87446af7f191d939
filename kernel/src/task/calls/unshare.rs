//! unshare(2): giving up what clone(2) shared.

use crate::errno::{Errno, Result};
use crate::syscall::Caller;
use crate::task::Capability;
use crate::task::clone_flags::CloneFlags;

/// Makes the calling thread's descriptor table and place in the file system its own.
///
/// Memory and signal actions belong to a process as a whole; to ask for them alone is right only for one without
/// other threads, which has them already. There is one namespace of each kind.
pub(super) fn unshare(caller: &mut Caller<'_>, flags: u64) -> Result {
    let known = CloneFlags::FS
        | CloneFlags::FILES
        | CloneFlags::SYSVSEM
        | CloneFlags::THREAD
        | CloneFlags::VM
        | CloneFlags::SIGHAND
        | CloneFlags::NAMESPACES;
    let flags = CloneFlags::from_bits(flags).filter(|&flags| known.contains(flags));
    let flags = flags.ok_or(Errno::EINVAL)?;
    let thread = caller.thread;
    if flags.intersects(CloneFlags::NAMESPACES) {
        let administrator = thread.credentials().has(Capability::SysAdmin);
        return Err(if administrator { Errno::EINVAL } else { Errno::EPERM });
    }
    let of_process = CloneFlags::THREAD | CloneFlags::VM | CloneFlags::SIGHAND;
    if flags.intersects(of_process) && thread.process().signals().thread_count > 1 {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::FILES) {
        let own = thread.files().fork();
        drop(thread.replace_files(Some(own)));
    }
    if flags.contains(CloneFlags::FS) {
        let own = thread.fs().duplicate();
        drop(thread.replace_fs(Some(own)));
    }
    Ok(0)
}
