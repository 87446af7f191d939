//! The end of threads and processes (exit(2), exit_group(2), death by signal).
//!
//! A thread ends in its loop, with nothing left on its stack. [`end`] takes it apart in this order: no more signals; what user memory is to learn (robust
//! futexes, `clear_child_tid`); files; its place in the process. The last thread then takes the process
//! apart: memory, timers, terminal, children, and last the news to the parent, after which wait(2) may free the
//! process at any moment. Nothing here depends on memory: ending works when it has run out. (The search for sockets that nobody can reach,
//! which closing one begins, needs some, and gives up without.)

use alloc::sync::Arc;

use signals::{stop, taker};

use super::current;
use super::family::{self, FamilyGuard};
use super::id::Pid;
use super::image::Image;
use super::notify::{self, Remains};
use super::oom;
use super::process::Process;
use super::status::ExitStatus;
use super::table;
use super::thread::Thread;
use super::usage::{self, Usage};
use crate::coredump::gather;
use crate::errno::Result;
use crate::fs::asynchronous;
use crate::futex;
use crate::memory::user;
use crate::scheduling;
use crate::shutdown::{self, End};
use crate::signal::deliver::Ending;
use crate::signal::{Signal, SignalInfo, send};
use crate::syscall::Caller;
use crate::trace::{self, Event};

/// Ends the calling thread alone, as soon as the call has returned to the thread's loop.
pub(super) fn exit(caller: &mut Caller<'_>, status: i32) -> Result {
    send::begin_thread_end(caller.thread, ExitStatus::Exited(status as u8));
    Ok(0)
}

/// Ends the calling thread's process, as soon as the call has returned to the thread's loop.
pub(super) fn exit_group(caller: &mut Caller<'_>, status: i32) -> Result {
    end_process(caller.thread.process(), ExitStatus::Exited(status as u8));
    Ok(0)
}

/// Ends a process with `status`, unless it is ending already: each of its threads ends on its way to user mode.
pub(crate) fn end_process(process: &Process, status: ExitStatus) {
    send::begin_exit(&mut process.signals(), status);
}

/// The end of the calling thread, which holds nothing on its stack any more.
pub(super) fn end(ending: Ending) -> ! {
    match ending {
        Ending::Process(status) => {
            end_process(current().process(), status);
            end_thread(status)
        }
        Ending::Thread(status) => end_thread(status),
    }
}

/// Takes the calling thread apart; with the last one its process ends.
fn end_thread(status: ExitStatus) -> ! {
    let thread = current().to_arc();
    trace::record(Event::Exit, thread.tid(), status.to_wait_status() as u64, 0);
    let process = thread.process().clone();
    stop_taking_signals(&thread);
    if thread.tid() == process.pid().leader()
        && let ExitStatus::Exited(code) = status
    {
        process.note_first_thread_end(code);
    }
    tell_user_memory(&thread);
    scheduling::leave_address_space();
    drop(thread.replace_files(None));
    drop(thread.replace_fs(None));
    asynchronous::deliver(&thread);
    process.ended_threads.lock().add(&Usage::of_thread(&thread));
    let is_last = leave_process(&thread);
    thread.credentials().account.remove_thread();
    if is_last {
        end_of(&process, status);
        // The end of a session's leader hangs its terminal up.
        asynchronous::deliver(&thread);
    }
    drop((thread, process));
    scheduling::exit_current()
}

/// What others could take of the process's signals goes to them, and a group stop no longer waits for this thread.
fn stop_taking_signals(thread: &Thread) {
    let process = thread.process();
    let mut state = process.signals();
    taker::retire(&mut *state, thread);
    let news = stop::arrive(&mut *state, thread);
    gather::leave(&mut state, thread);
    drop(state);
    if let Some(news) = news {
        notify::stopped_or_continued(process, news, &family::lock());
    }
}

/// Releases the futexes that the thread held, and wakes who waits for its end.
fn tell_user_memory(thread: &Arc<Thread>) {
    futex::end_locks(thread);
    let address = thread.clear_child_tid();
    thread.set_clear_child_tid(0);
    if let Some(address) = arch::addr::UserAddr::try_new(address).filter(|a| !a.is_null()) {
        // An address that faults is the program's own mistake.
        let _stored = user::UserPtr::new(address).write(&0_u32);
        futex::wake_address(thread, address, 1);
    }
}

/// Takes the thread out of its process. Says whether it was the last.
fn leave_process(thread: &Arc<Thread>) -> bool {
    let process = thread.process();
    let mut state = process.signals();
    let removed = state.threads.find_mut(&thread.tid()).remove();
    state.thread_count -= 1;
    let is_last = state.thread_count == 0;
    drop(state);
    drop(removed);
    table::remove_thread(thread);
    process.thread_ends.wake_all();
    is_last
}

/// Takes apart a process whose last thread, the caller, ended with `status`.
fn end_of(process: &Arc<Process>, status: ExitStatus) {
    let status = final_status(process, status);
    if process.pid() == Pid::INIT {
        shutdown::init_ended(match status {
            ExitStatus::Exited(code) => End::Exited(code),
            ExitStatus::Killed(signal, _) => End::Killed(signal.number()),
        });
    }
    process.timers.delete_all();
    let peak = usage::peak_resident(process);
    oom::releasing(|| drop(process.replace_space(None)));
    process.complete_vfork();
    process.set_image(Image::none());
    process.ended_threads.lock().peak_resident = peak;
    leave_terminal(process);
    say_goodbye(process, status);
}

/// The status that the parent sees: that of the whole process if it was ended as one, else that of its first thread.
fn final_status(process: &Process, last: ExitStatus) -> ExitStatus {
    let of_process = process.signals().exit;
    of_process.or_else(|| process.first_thread_end().map(ExitStatus::Exited)).unwrap_or(last)
}

/// A session's leader takes the session's terminal with it.
fn leave_terminal(process: &Process) {
    let family = family::lock();
    let session = process.session(&family).filter(|session| session.id() == process.pid());
    drop(family);
    let Some(session) = session else { return };
    if let Some(terminal) = session.set_terminal(None) {
        terminal.leader_exited(&session);
    }
}

/// Gives the children away, becomes a zombie and tells the parent.
fn say_goodbye(process: &Arc<Process>, status: ExitStatus) {
    let mut family = family::lock();
    family.rw(&process.kinship).is_ending = true;
    give_children_away(process, &mut family);
    if let Some(parent) = process.parent(&family) {
        rouse_orphaned_group(process, &parent, Some(process), &family);
    }
    let usage = *process.ended_threads.lock();
    let kin = family.rw(&process.kinship);
    kin.exit = Some(status);
    kin.usage = usage;
    process.announce_end();
    let remains = notify::ended(process, status, &family);
    match remains {
        Remains::Zombie => drop(family),
        Remains::Nothing => release(process, family),
    }
}

/// The children go to the adopter, who hears of those that have ended already.
fn give_children_away(process: &Arc<Process>, family: &mut FamilyGuard) {
    let Some(adopter) = family::adopter(process, family) else { return };
    loop {
        let Some(child) = family.rw(&process.kinship).children.front_mut().remove() else { break };
        drop(child.replace_parent(Some(adopter.clone()), family));
        let kin = family.rw(&child.kinship);
        // Whatever it was to tell its parent by, the adopter expects SIGCHLD.
        kin.exit_signal = Some(Signal::SIGCHLD);
        let ended = kin.exit;
        family.rw(&adopter.kinship).children.insert(child.clone());
        if let Some(signal) = child.death_signal() {
            let info = SignalInfo::sent(signal, crate::signal::Code::SI_USER, process.pid(), 0);
            // The kernel's signals lose their information if need be, and are never refused.
            let _sent = send::to_process(&child, signal, info);
        }
        rouse_orphaned_group(&child, process, None, family);
        if let Some(status) = ended
            && notify::ended(&child, status, family) == Remains::Nothing
        {
            bury(&child, family);
        }
    }
}

/// If `process`, in another group than its `parent` but in the same session, leaves or loses that parent, its group may
/// become orphaned: should a member be stopped, all get SIGHUP and SIGCONT (POSIX, _exit()).
fn rouse_orphaned_group(
    process: &Process,
    parent: &Process,
    leaving: Option<&Process>,
    family: &FamilyGuard,
) {
    let (Some(group), Some(other)) = (process.group(family), parent.group(family)) else { return };
    let was_controlled = other.id() != group.id() && Arc::ptr_eq(other.session(), group.session());
    let has_stopped_member =
        || group.members(family).any(|member| member.signals().stop.is_stopped());
    if was_controlled && family::is_orphaned(&group, leaving, family) && has_stopped_member() {
        send::to_group(&group, Signal::SIGHUP, family);
        send::to_group(&group, Signal::SIGCONT, family);
    }
}

/// Frees a zombie: it is in no list and no table any more. Consumes the lock, for what it held is dropped without.
pub(super) fn release(process: &Arc<Process>, mut family: FamilyGuard) {
    table::remove_process(process);
    process.set_reaped();
    let held = family::leave(process, &mut family);
    drop(family);
    drop(held);
}

/// As [`release`], within a longer step under the lock. What is dropped here is memory and table entries; nothing whose
/// destructor takes a lock of a lower rank or sleeps: a zombie has given up its files and its memory.
fn bury(process: &Arc<Process>, family: &mut FamilyGuard) {
    table::remove_process(process);
    process.set_reaped();
    drop(family::leave(process, family));
}
