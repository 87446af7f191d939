//! Processes that cases start and wait for, without a C library in between.

use std::ffi::CStr;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::cpus;
use super::report::Failure;
use crate::sys;

/// Exit status of a child that could not do what it was made for.
const FAILED: i32 = 99;

/// A child process; killed and waited for when dropped.
#[derive(Debug)]
#[must_use = "dropping a child kills it"]
pub struct Child {
    pid: usize,
}

/// Makes a process that runs `body` and exits, with [`FAILED`] if `body` says so.
///
/// # Errors
/// Those of clone.
#[inline]
pub fn fork(body: impl FnOnce() -> Result<(), Failure>) -> Result<Child, Errno> {
    let pid = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
    if pid == 0 {
        exit(match body() {
            Ok(()) => 0,
            Err(failure) => {
                eprintln!("bench: a child failed: {failure}");
                FAILED
            }
        });
    }
    Ok(Child { pid })
}

/// Ends the process at once.
///
/// Inlined, so that a child of [`fork`] executes pages that its parent has executed: a page of the program that nobody has
/// touched costs the child a fault and copies of three page tables, and whether there is one would be the layout's choice.
#[inline(always)]
pub fn exit(status: i32) -> ! {
    loop {
        // The call does not return.
        let _ = sys!(SYS_exit_group, status);
    }
}

/// Lets the kernel kill this process when the thread that made it ends, so that no case leaves one behind.
///
/// # Errors
/// Those of prctl.
pub fn die_with_parent() -> Result<(), Errno> {
    sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0).map(drop)
}

impl Child {
    /// Takes charge of a child that was made in another way.
    pub fn from_pid(pid: i32) -> Self {
        Self { pid: pid as usize }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> usize {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it did not exit with status 0.
    #[inline]
    pub fn wait(self) -> Result<(), Failure> {
        let status = wait4(self.pid);
        std::mem::forget(self);
        match status? {
            0 => Ok(()),
            status => Err(format!("a child ended with wait status {status:#x}").into()),
        }
    }

    /// Kills it and waits.
    ///
    /// # Errors
    /// Those of kill and wait4.
    pub fn finish(self) -> Result<(), Errno> {
        let pid = self.pid;
        std::mem::forget(self);
        sys!(SYS_kill, pid, libc::SIGKILL)?;
        wait4(pid).map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may be gone already; either way it is not running afterwards.
        let _ = sys!(SYS_kill, self.pid, libc::SIGKILL);
        let _ = wait4(self.pid);
    }
}

/// wait4: the status of a child that has ended.
fn wait4(pid: usize) -> Result<i32, Errno> {
    let mut status = 0_i32;
    loop {
        match sys!(SYS_wait4, pid, &mut status, 0, 0) {
            Err(Errno::EINTR) => {}
            result => return result.map(|_| status),
        }
    }
}

/// Makes a process that sleeps until it is killed, and raises the word, in shared memory, when it is about to.
///
/// # Errors
/// Those of clone.
pub fn fork_sleeper(ready: &AtomicU64) -> Result<Child, Errno> {
    ready.store(0, Ordering::Relaxed);
    fork(|| {
        die_with_parent()?;
        ready.store(1, Ordering::Release);
        loop {
            match sys!(SYS_pause) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    })
}

/// As [`fork_sleeper`], and returns when the process is about to sleep.
///
/// # Errors
/// Those of clone.
pub fn fork_asleep(ready: &AtomicU64) -> Result<Child, Errno> {
    let child = fork_sleeper(ready)?;
    while ready.load(Ordering::Acquire) == 0 {
        // The child may be on this processor; if it is on another, `PAUSE` lets that run under `-icount`.
        sys!(SYS_sched_yield)?;
        spin_loop();
    }
    Ok(child)
}

/// Makes a process that stays on a processor and does the same again and again until it is killed.
///
/// # Errors
/// Those of clone.
pub fn partner(cpu: usize, mut body: impl FnMut() -> Result<(), Failure>) -> Result<Child, Errno> {
    fork(move || {
        die_with_parent()?;
        cpus::pin(cpu)?;
        loop {
            body()?;
        }
    })
}

/// What execve needs to run a program without arguments.
#[derive(Debug)]
pub struct Program<'a> {
    path: &'a CStr,
    arguments: [*const libc::c_char; 2],
    environment: [*const libc::c_char; 1],
}

impl<'a> Program<'a> {
    /// The program in this file.
    #[must_use]
    pub fn new(path: &'a CStr) -> Self {
        Self { path, arguments: [path.as_ptr(), std::ptr::null()], environment: [std::ptr::null()] }
    }

    /// Becomes the program.
    ///
    /// # Errors
    /// Those of execve; otherwise it does not return.
    #[inline]
    pub fn exec(&self) -> Errno {
        match sys!(SYS_execve, self.path, &self.arguments[..], &self.environment[..]) {
            Err(errno) => errno,
            Ok(_) => Errno::UnknownErrno,
        }
    }

    /// The C library's `posix_spawn`.
    ///
    /// # Errors
    /// Those that it returns.
    pub fn spawn(&self) -> Result<Child, Errno> {
        let mut pid = 0;
        // SAFETY: path and vectors are strings and arrays that end as the call expects, and live long enough.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.path.as_ptr(),
                std::ptr::null(),
                std::ptr::null(),
                self.arguments.as_ptr().cast(),
                self.environment.as_ptr().cast(),
            )
        };
        if error == 0 { Ok(Child::from_pid(pid)) } else { Err(Errno::from_raw(error)) }
    }

    /// Runs the program in a child that borrows this address space until execve, as vfork does; returns when the
    /// child has become the program.
    ///
    /// The child has a stack of its own, where vfork's child would overwrite its parent's.
    ///
    /// # Errors
    /// Those of clone.
    pub fn vfork_exec(&self, stack: &mut [u128]) -> Result<Child, Errno> {
        extern "C" fn child(program: *mut libc::c_void) -> libc::c_int {
            // SAFETY: the parent passes a Program and sleeps until the child has given it back.
            let program = unsafe { &*program.cast::<Program>() };
            // The parent sees the status; there is nobody to tell the error to.
            let _ = program.exec();
            exit(FAILED)
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is the child's alone, aligned, and large enough for a function that makes two system
        // calls; `self` outlives the child's use of it because CLONE_VFORK suspends this thread.
        let pid = unsafe {
            libc::clone(
                child,
                stack.as_mut_ptr_range().end.cast(),
                flags,
                std::ptr::from_ref(self).cast_mut().cast(),
            )
        };
        if pid < 0 { Err(Errno::last()) } else { Ok(Child::from_pid(pid)) }
    }
}
