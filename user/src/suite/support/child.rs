//! Children that run a closure, and how they ended.

use nix::errno::Errno;

use super::{exit_now, until_sleeping};
use crate::{ok, sys};

/// How a child changed state, decoded from what wait4 stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::suite) enum Status {
    /// It ended by itself with this status.
    Exited(i32),
    /// This signal killed it, without the core bit.
    Killed(i32),
    /// This signal killed it, with the core bit.
    Dumped(i32),
    /// This signal stopped it.
    Stopped(i32),
    /// SIGCONT let it go on.
    Continued,
}

impl Status {
    /// Decodes the word that wait4 stores.
    pub(in crate::suite) fn decode(word: i32) -> Self {
        if libc::WIFCONTINUED(word) {
            Self::Continued
        } else if libc::WIFSTOPPED(word) {
            Self::Stopped(libc::WSTOPSIG(word))
        } else if libc::WIFSIGNALED(word) {
            if libc::WCOREDUMP(word) {
                Self::Dumped(libc::WTERMSIG(word))
            } else {
                Self::Killed(libc::WTERMSIG(word))
            }
        } else {
            Self::Exited(libc::WEXITSTATUS(word))
        }
    }

    /// The signal that killed the child, whatever its core bit (which depends on `RLIMIT_CORE`).
    pub(in crate::suite) fn signal(self) -> Option<i32> {
        match self {
            Self::Killed(signal) | Self::Dumped(signal) => Some(signal),
            _ => None,
        }
    }
}

/// wait4 with options: the child's id (0 when `WNOHANG` found none) and its status.
pub(in crate::suite) fn wait_for(pid: i32, options: i32) -> Result<(i32, Status), Errno> {
    let mut word = 0_i32;
    loop {
        match sys!(SYS_wait4, pid, &mut word, options, 0) {
            Ok(found) => return Ok((found as i32, Status::decode(word))),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A child process that runs a closure.
#[derive(Debug)]
#[must_use = "a child must be waited for"]
pub(in crate::suite) struct Child {
    pid: i32,
}

/// Forks; the child runs `body` and exits with status 0, or 101 if it panics.
#[track_caller]
pub(in crate::suite) fn child(body: impl FnOnce()) -> Child {
    // SAFETY: cases fork while they have one thread, or the child does only what may follow a fork among threads.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed: {:?}", Errno::last());
    if pid == 0 {
        body();
        exit_now(0);
    }
    Child { pid }
}

/// Runs `body` in a child and fails the case unless that ends well.
#[track_caller]
pub(in crate::suite) fn in_child(body: impl FnOnce()) {
    child(body).success();
}

/// A child that sends `signal` here once this process sleeps, and then does `afterwards`.
#[track_caller]
pub(in crate::suite) fn interrupter(signal: i32, afterwards: impl FnOnce()) -> Child {
    let parent = ok!(SYS_getpid) as i32;
    child(|| {
        until_sleeping(parent);
        ok!(SYS_kill, parent, signal);
        afterwards();
    })
}

impl Child {
    /// Takes charge of a child that the case made in another way.
    pub(in crate::suite) fn from_pid(pid: usize) -> Self {
        Self { pid: pid as i32 }
    }

    /// Its process id.
    pub(in crate::suite) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal.
    #[track_caller]
    pub(in crate::suite) fn kill(&self, signal: i32) {
        ok!(SYS_kill, self.pid, signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(in crate::suite) fn status(self) -> Status {
        let (pid, status) = wait_for(self.pid, 0).unwrap();
        assert_eq!(pid, self.pid);
        status
    }

    /// Waits for its end, which must be exit status 0.
    #[track_caller]
    pub(in crate::suite) fn success(self) {
        assert_eq!(self.status(), Status::Exited(0));
    }

    /// Leaves it to whoever becomes its parent.
    pub(in crate::suite) fn abandon(self) {}

    /// Kills it and waits.
    #[track_caller]
    pub(in crate::suite) fn finish(self) {
        self.kill(libc::SIGKILL);
        assert_eq!(self.status(), Status::Killed(libc::SIGKILL));
    }
}
