//! What execve(2) asks of threads and processes: being alone, and starting over.
//!
//! The loader calls [`become_single_threaded`] once nothing of the new program can fail any more, and then
//! [`replace_image`] with the new memory. The thread that calls execve survives and takes over the process's
//! id; open files marked so are closed, handlers go back to default, timers of the old program are gone.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use mm::AddressSpace;

use super::credentials::Credentials;
use super::family;
use super::image::Image;
use super::name::Name;
use super::oom;
use super::status::{CoreFile, ExitStatus};
use super::table;
use super::thread::Thread;
use crate::errno::{Errno, Result};
use crate::futex;
use crate::memory::user::UserPtr;
use crate::rseq;
use crate::scheduling;
use crate::signal::{Actions, AlternateStack, SharedActions, Signal, send};

/// What a new program starts with.
pub struct NewProgram {
    /// Its memory.
    pub space: Arc<AddressSpace>,
    /// What `/proc` shows of it.
    pub image: Image,
    /// Its name: the last component of the file's path.
    pub name: Name,
    /// Whom it acts for, after set-id bits.
    pub credentials: Arc<Credentials>,
    /// Whether it runs with rights that its caller does not have.
    pub privileges: Privileges,
}

/// Whether a program has more rights than whoever started it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privileges {
    /// The same.
    Unchanged,
    /// Others: nobody may look into it, and its parent's death is no longer told.
    Changed,
}

/// Ends all other threads of the calling thread's process and waits until they are gone. The calling thread is then the
/// first one.
///
/// # Errors
/// `EAGAIN` when another thread does the same; `EINTR` when the process is to end. The thread never
/// reaches user mode then.
pub fn become_single_threaded(thread: &Arc<Thread>) -> Result<()> {
    let process = thread.process();
    send::begin_replacement(&mut process.signals(), thread)?;
    process
        .thread_ends
        .wait_killable(|| (process.signals().thread_count == 1).then_some(()))
        .map_err(|_| Errno::EINTR)?;
    let leader = process.pid().leader();
    let mut state = process.signals();
    state.replacing = false;
    if thread.tid() != leader {
        let former = thread.tid();
        let Some(own) = state.threads.find_mut(&former).remove() else { return Err(Errno::EINTR) };
        table::remove_thread(thread);
        thread.set_tid(leader);
        table::replace_thread(leader, thread);
        state.threads.insert(own);
    }
    drop(state);
    process.forget_first_thread_end();
    Ok(())
}

/// Makes the calling thread, alone in its process, run `program`. It cannot fail: the old program is gone.
pub fn replace_image(thread: &Arc<Thread>, program: NewProgram) {
    let process = thread.process();
    leave_old_memory(thread);
    let space = process.replace_space(Some(program.space));
    scheduling::enter_address_space();
    process.complete_vfork();
    oom::releasing(|| drop(space));
    process.timers.delete_posix();
    rseq::forget(thread);
    reset_signals(thread);
    process.set_image(Arc::new(program.image));
    thread.set_name(program.name);
    thread.set_credentials(program.credentials);
    if program.privileges == Privileges::Changed {
        process.set_death_signal(None);
    }
    process.set_dumpable(u8::from(program.privileges == Privileges::Unchanged));
    process.set_has_executed();
    let mut family = family::lock();
    family.rw(&process.kinship).exit_signal.get_or_insert(Signal::SIGCHLD);
    drop(family);
    arch::fpu::reset();
    // Last: whoever waits for a file that execve closes finds the new program, in /proc and by its rights.
    unshare_files(thread);
}

/// Whoever waits in the old memory for this thread's end is told.
fn leave_old_memory(thread: &Arc<Thread>) {
    futex::release_robust_list(thread);
    thread.set_robust_list(0);
    let address = thread.clear_child_tid();
    thread.set_clear_child_tid(0);
    if let Some(address) = UserAddr::try_new(address).filter(|address| !address.is_null()) {
        // An address that faults is the program's own mistake.
        let _stored = UserPtr::new(address).write(&0_u32);
        futex::wake_address(thread, address, 1);
    }
}

fn reset_signals(thread: &Thread) {
    let mut state = thread.process().signals();
    let mut actions = Actions::clone(&state.actions.snapshot());
    actions.reset_for_exec();
    let former = core::mem::replace(&mut state.actions, SharedActions::new(Arc::new(actions)));
    state.flush_timers(thread);
    let own = state.of_mut(thread);
    own.stack = AlternateStack::default();
    own.fault = crate::signal::frame::build::FaultRecord::default();
    drop(state);
    drop(former);
}

/// The descriptor table becomes the thread's own, without the files that execve closes.
fn unshare_files(thread: &Thread) {
    let own = thread.files().fork();
    let shared = thread.replace_files(Some(own));
    drop(shared);
    if let Err(errno) = thread.files().close_on_exec() {
        // There is no memory to take them out of the table. The new program must not get to see them, and there is no old
        // one to go back to.
        crate::log_error!(
            "process {} ends: files cannot be closed for execve: {errno}",
            thread.process().pid()
        );
        let status = ExitStatus::Killed(Signal::SIGKILL, CoreFile::Absent);
        send::begin_exit(&mut thread.process().signals(), status);
    }
}
