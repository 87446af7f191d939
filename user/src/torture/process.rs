//! Processes as the torture program needs them: made without ceremony, waited for one and all.

use nix::errno::Errno;

use crate::{ok, sys};

/// Exit status of a process that saw something unexpected, and of all its ancestors.
pub(super) const FAILED: i32 = 101;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Says what is wrong and ends the process, with all its threads.
pub(super) fn fail(what: &str) -> ! {
    let line = format!("torture: [{}] {what}\n", std::process::id());
    // One write, without the locks of Rust's streams: another thread may have held them when this process was forked.
    let _ = sys!(SYS_write, 2, line.as_bytes(), line.len());
    exit(FAILED)
}

/// Ends the process, with all its threads.
pub(super) fn exit(status: i32) -> ! {
    // SAFETY: _exit may be called at any time, also in a child of fork.
    unsafe { libc::_exit(status) }
}

/// Forks; the child runs `body` and exits with status 0.
pub(super) fn fork(body: impl FnOnce()) -> Result<i32, Errno> {
    // SAFETY: the C library's fork puts its own locks in order; the child touches no lock of Rust's.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(Errno::last());
    }
    if pid == 0 {
        body();
        exit(0);
    }
    Ok(pid)
}

/// Waits for the child `pid`.
pub(super) fn wait_for(pid: i32) -> Ended {
    match wait(pid) {
        Some((_, ended)) => ended,
        None => fail(&format!("the child {pid} is not there")),
    }
}

/// Waits for any child; `None` if there is none.
pub(super) fn wait_for_any() -> Option<(i32, Ended)> {
    wait(-1)
}

fn wait(pid: i32) -> Option<(i32, Ended)> {
    let mut word = 0_i32;
    loop {
        match sys!(SYS_wait4, pid, &mut word, 0, 0) {
            Ok(found) if libc::WIFSIGNALED(word) => {
                return Some((found as i32, Ended::Killed(libc::WTERMSIG(word))));
            }
            Ok(found) => return Some((found as i32, Ended::Exited(libc::WEXITSTATUS(word)))),
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return None,
            Err(error) => fail(&format!("wait4: {error}")),
        }
    }
}

/// From now on orphans among the descendants become children of this process.
pub(super) fn adopt_orphans() {
    ok!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1);
}
