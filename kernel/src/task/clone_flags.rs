//! What clone(2), clone3(2), fork(2) and vfork(2) ask for: [`CloneRequest`]. Pure.

use bitflags::bitflags;
use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};
use crate::signal::Signal;

bitflags! {
    /// `CLONE_*`, without the signal in the low byte of clone(2)'s flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct CloneFlags: u64 {
        /// Share memory.
        const VM = abi::CLONE_VM as u64;
        /// Share root, working directory and umask.
        const FS = abi::CLONE_FS as u64;
        /// Share the descriptor table.
        const FILES = abi::CLONE_FILES as u64;
        /// Share signal actions.
        const SIGHAND = abi::CLONE_SIGHAND as u64;
        /// Make a pidfd.
        const PIDFD = abi::CLONE_PIDFD as u64;
        /// Trace the child too; without a tracer, without effect.
        const PTRACE = abi::CLONE_PTRACE as u64;
        /// The parent waits until the child no longer uses its memory.
        const VFORK = abi::CLONE_VFORK as u64;
        /// The child is a sibling.
        const PARENT = abi::CLONE_PARENT as u64;
        /// A thread of the same process.
        const THREAD = abi::CLONE_THREAD as u64;
        /// A mount namespace of its own.
        const NEWNS = abi::CLONE_NEWNS as u64;
        /// Share System V semaphore adjustments; there are none.
        const SYSVSEM = abi::CLONE_SYSVSEM as u64;
        /// Set the FS base.
        const SETTLS = abi::CLONE_SETTLS as u64;
        /// Store the child's id in the parent.
        const PARENT_SETTID = abi::CLONE_PARENT_SETTID as u64;
        /// Clear an id in the child when it ends.
        const CHILD_CLEARTID = abi::CLONE_CHILD_CLEARTID as u64;
        /// Once meaningful, ignored since.
        const DETACHED = abi::CLONE_DETACHED as u64;
        /// A tracer may not force `PTRACE`; without effect.
        const UNTRACED = abi::CLONE_UNTRACED as u64;
        /// Store the child's id in the child.
        const CHILD_SETTID = abi::CLONE_CHILD_SETTID as u64;
        /// A cgroup namespace of its own.
        const NEWCGROUP = abi::CLONE_NEWCGROUP as u64;
        /// A UTS namespace of its own.
        const NEWUTS = abi::CLONE_NEWUTS as u64;
        /// An IPC namespace of its own.
        const NEWIPC = abi::CLONE_NEWIPC as u64;
        /// A user namespace of its own.
        const NEWUSER = abi::CLONE_NEWUSER as u64;
        /// A pid namespace of its own.
        const NEWPID = abi::CLONE_NEWPID as u64;
        /// A network namespace of its own.
        const NEWNET = abi::CLONE_NEWNET as u64;
        /// Share the I/O context; there is none.
        const IO = abi::CLONE_IO as u64;
        /// Handlers go back to default.
        const CLEAR_SIGHAND = 1 << 32;
        /// Start in a given cgroup.
        const INTO_CGROUP = 1 << 33;
    }
}

impl CloneFlags {
    /// Everything that asks for a namespace.
    pub const NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET);
}

/// Who asks, as far as the answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// It is the first process, which can have no siblings.
    pub is_init: bool,
    /// It has `CAP_SYS_ADMIN`.
    pub is_administrator: bool,
}

/// What a new thread is to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneRequest {
    /// What is shared, and what is to be done besides.
    pub flags: CloneFlags,
    /// The signal that tells the parent of the child's end.
    pub exit_signal: Option<Signal>,
    /// The child's stack pointer; 0 for the parent's.
    pub stack: u64,
    /// Where `PARENT_SETTID` stores the id.
    pub parent_tid: u64,
    /// Where `CHILD_SETTID` and `CHILD_CLEARTID` store it.
    pub child_tid: u64,
    /// The FS base for `SETTLS`.
    pub thread_pointer: u64,
    /// Where `PIDFD` stores the descriptor.
    pub pidfd: u64,
}

impl CloneRequest {
    /// What fork(2) asks for.
    pub const FORK: Self = Self {
        flags: CloneFlags::empty(),
        exit_signal: Some(Signal::SIGCHLD),
        stack: 0,
        parent_tid: 0,
        child_tid: 0,
        thread_pointer: 0,
        pidfd: 0,
    };

    /// What vfork(2) asks for.
    pub const VFORK: Self = Self { flags: CloneFlags::VFORK.union(CloneFlags::VM), ..Self::FORK };

    /// What clone(2) asks for. Unknown flags and signal numbers are ignored, as on Linux.
    ///
    /// # Errors
    /// `EINVAL` for `PIDFD` with `PARENT_SETTID`, which use the same address, or with `DETACHED`.
    pub fn from_clone(
        flags: u64,
        stack: u64,
        parent_tid: u64,
        child_tid: u64,
        thread_pointer: u64,
    ) -> Result<Self> {
        let signal = (flags & u64::from(abi::CSIGNAL)) as u32;
        let flags = CloneFlags::from_bits_truncate(flags & 0xffff_ff00);
        let clash = CloneFlags::PARENT_SETTID | CloneFlags::DETACHED;
        if flags.contains(CloneFlags::PIDFD) && flags.intersects(clash) {
            return Err(Errno::EINVAL);
        }
        let exit_signal = Signal::new(signal);
        let pidfd = parent_tid;
        Ok(Self { flags, exit_signal, stack, parent_tid, child_tid, thread_pointer, pidfd })
    }

    /// What clone3(2) asks for, from the words of `struct clone_args`.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, a signal where none may be, half a stack, or what is not supported.
    pub fn from_clone3(words: &[u64; 11]) -> Result<Self> {
        let [
            flags,
            pidfd,
            child_tid,
            parent_tid,
            signal,
            stack,
            size,
            thread_pointer,
            ids,
            count,
            _,
        ] = *words;
        let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let related = CloneFlags::THREAD | CloneFlags::PARENT;
        let wrong = flags.contains(CloneFlags::DETACHED)
            || flags.contains(CloneFlags::INTO_CGROUP)
            || signal > u64::from(crate::signal::SIGNAL_COUNT)
            || (flags.intersects(related) && signal != 0)
            || (stack == 0) != (size == 0)
            || (ids != 0 || count != 0);
        if wrong {
            return Err(Errno::EINVAL);
        }
        let stack = stack.checked_add(size).ok_or(Errno::EINVAL)?;
        let exit_signal = Signal::new(signal as u32);
        Ok(Self { flags, exit_signal, stack, parent_tid, child_tid, thread_pointer, pidfd })
    }

    /// Checks that the flags go together (clone(2), ERRORS).
    ///
    /// # Errors
    /// `EINVAL`; `EPERM` for a namespace without privilege.
    pub fn check(&self, asker: Asker) -> Result<()> {
        let has = |flags| self.flags.contains(flags);
        let wrong = (has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND))
            || (has(CloneFlags::SIGHAND) && !has(CloneFlags::VM))
            || (has(CloneFlags::SIGHAND) && has(CloneFlags::CLEAR_SIGHAND))
            || (has(CloneFlags::FS)
                && self.flags.intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER))
            || (has(CloneFlags::THREAD)
                && self.flags.intersects(CloneFlags::NEWUSER | CloneFlags::NEWPID))
            || (has(CloneFlags::PIDFD) && has(CloneFlags::THREAD))
            || (has(CloneFlags::PARENT) && asker.is_init);
        if wrong {
            return Err(Errno::EINVAL);
        }
        // Skein has one namespace of each kind, as a Linux that was built without them.
        match self.flags.intersects(CloneFlags::NAMESPACES) {
            true if asker.is_administrator => Err(Errno::EINVAL),
            true => Err(Errno::EPERM),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker { is_init: false, is_administrator: false };

    fn check(flags: u32) -> Result<()> {
        CloneRequest::from_clone(u64::from(flags), 0, 0, 0, 0)?.check(ASKER)
    }

    #[test]
    fn the_flags_of_real_programs_are_accepted() {
        let thread = abi::CLONE_VM
            | abi::CLONE_FS
            | abi::CLONE_FILES
            | abi::CLONE_SIGHAND
            | abi::CLONE_THREAD
            | abi::CLONE_SYSVSEM
            | abi::CLONE_SETTLS
            | abi::CLONE_PARENT_SETTID
            | abi::CLONE_CHILD_CLEARTID
            | abi::CLONE_DETACHED;
        assert_eq!(check(thread), Ok(()));
        assert_eq!(check(abi::CLONE_VM | abi::CLONE_VFORK | abi::SIGCHLD), Ok(()));
        assert_eq!(
            check(abi::CLONE_CHILD_SETTID | abi::CLONE_CHILD_CLEARTID | abi::SIGCHLD),
            Ok(())
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(check(abi::CLONE_THREAD), Err(Errno::EINVAL));
        assert_eq!(check(abi::CLONE_SIGHAND), Err(Errno::EINVAL));
        assert_eq!(check(abi::CLONE_NEWNS | abi::CLONE_FS), Err(Errno::EINVAL));
        assert_eq!(check(abi::CLONE_NEWUTS), Err(Errno::EPERM));
        assert_eq!(check(abi::CLONE_PIDFD | abi::CLONE_PARENT_SETTID), Err(Errno::EINVAL));
        let sibling = CloneRequest { flags: CloneFlags::PARENT, ..CloneRequest::FORK };
        assert_eq!(sibling.check(Asker { is_init: true, ..ASKER }), Err(Errno::EINVAL));
    }

    #[test]
    fn clone3_takes_a_whole_stack_and_no_unknown_flag() {
        let words = |flags, signal, stack, size| [flags, 0, 0, 0, signal, stack, size, 0, 0, 0, 0];
        let stack = |words| CloneRequest::from_clone3(&words).map(|request| request.stack);
        assert_eq!(stack(words(0, 17, 0x1000, 0x1000)), Ok(0x2000));
        assert_eq!(stack(words(0, 17, 0x1000, 0)), Err(Errno::EINVAL));
        assert_eq!(stack(words(0, 65, 0, 0)), Err(Errno::EINVAL));
        assert_eq!(stack(words(1 << 40, 0, 0, 0)), Err(Errno::EINVAL));
        assert_eq!(stack(words(u64::from(abi::CLONE_PARENT), 17, 0, 0)), Err(Errno::EINVAL));
    }
}
