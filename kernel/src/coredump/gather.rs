//! Bringing the threads of a process to a halt for its core file, each with its registers.
//!
//! The thread that dumps [`begin`]s: the process has its exit status from then on, and every other live thread *owes* its
//! registers. It finds that out where it would end ([`attend`]), hands them over and waits until the file is written. One that was on
//! its way out already is crossed off by [`leave`]. The dumper alone is spared the mark of those that are to end, so that it can still
//! open and write a file; SIGKILL gives it that mark ([`abort`]).
//!
//! Locks: who owes what is under the signal lock; the records are under a lock of their own, whose list has room for all
//! before the first one owes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::{Preempt, Rank, SpinLock};
use signals::{Attention, Member};

use super::threads::ThreadRecord;
use super::{Aftermath, Registers};
use crate::errno::{Errno, Result};
use crate::scheduling::{Completion, WakeMask};
use crate::signal::{ProcessSignals, Signal, send};
use crate::task::{CoreFile, ExitStatus, Thread};

/// The part of a dump that is under the process's signal lock.
#[derive(Debug)]
pub struct DumpState {
    gathering: Arc<Gathering>,
    /// How many threads have not handed over their registers yet.
    owed: usize,
    dumper: Arc<Thread>,
}

impl DumpState {
    /// Where the threads meet.
    pub(crate) fn gathering(&self) -> &Arc<Gathering> {
        &self.gathering
    }
}

/// Where the threads of a process meet for its core file.
pub struct Gathering {
    records: SpinLock<Vec<ThreadRecord>, Preempt>,
    all_here: Completion,
    over: Completion,
}

impl core::fmt::Debug for Gathering {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gathering").finish_non_exhaustive()
    }
}

/// What came of [`begin`].
pub(super) enum Begun {
    /// The others are on their way.
    Gathering(Arc<Gathering>),
    /// Another thread dumps already, and waits for the registers of this one.
    Owes(Arc<Gathering>),
    /// There will be no core file.
    Ends(Aftermath),
}

impl Gathering {
    fn new(threads: usize) -> Result<Arc<Self>> {
        let mut records = Vec::new();
        records.try_reserve_exact(threads).map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            records: SpinLock::new(Rank::THREAD, records),
            all_here: Completion::new(),
            over: Completion::new(),
        }))
    }

    fn room(&self) -> usize {
        self.records.lock().capacity()
    }

    /// The registers of all threads, `own` first, once everybody has arrived.
    ///
    /// # Errors
    /// `EINTR` if the dump was ended.
    pub(super) fn records(&self, own: ThreadRecord) -> Result<Vec<ThreadRecord>> {
        self.all_here.wait_killable().map_err(|_| Errno::EINTR)?;
        let mut records = core::mem::take(&mut *self.records.lock());
        // There is room: it was made for all threads, and the caller is one of them.
        records.insert(0, own);
        Ok(records)
    }
}

/// Begins a dump by `thread`, the calling one, of whose process `status` becomes the exit status. Of several threads that want to dump at
/// the same time the first one does.
pub(super) fn begin(thread: &Arc<Thread>, status: ExitStatus) -> Begun {
    let process = thread.process();
    loop {
        let count = process.signals().thread_count;
        let made = Gathering::new(count);
        let mut state = process.signals();
        if let Some(status) = state.exit {
            return match &state.dump {
                Some(dump) if state.of(thread).owes_registers => {
                    Begun::Owes(dump.gathering.clone())
                }
                _ => Begun::Ends(Aftermath::ProcessEnds(status)),
            };
        }
        let Ok(gathering) = made else {
            return Begun::Ends(Aftermath::ProcessEnds(status));
        };
        if let Some(status) = state.of(thread).ending {
            return Begun::Ends(Aftermath::ThreadEnds(status));
        }
        // Threads may have been made meanwhile; from here on none can.
        if state.thread_count > gathering.room() {
            continue;
        }
        send::begin_exit(&mut state, status);
        // The dumper has work to do yet, in which nothing but SIGKILL shall interrupt it.
        thread.attention().replace(None);
        let owed = note_debtors(&mut state, thread);
        if owed == 0 {
            gathering.all_here.complete();
        }
        let dumper = thread.clone();
        state.dump = Some(DumpState { gathering: gathering.clone(), owed, dumper });
        return Begun::Gathering(gathering);
    }
}

/// Makes every live thread but `dumper` owe its registers; returns how many they are.
fn note_debtors(state: &mut ProcessSignals, dumper: &Thread) -> usize {
    let mut owed = 0;
    state.for_each_thread(|thread, own| {
        if !own.exiting && !core::ptr::eq(thread, dumper) {
            own.owes_registers = true;
            owed += 1;
        }
    });
    owed
}

/// Hands over the registers of the calling thread, and waits until the core file is written.
pub(crate) fn attend(thread: &Arc<Thread>, registers: Registers<'_>, gathering: &Gathering) {
    // A thread whose registers find no memory is missing from the file.
    if let Ok(record) = ThreadRecord::of_current(thread, registers) {
        let mut records = gathering.records.lock();
        if records.len() < records.capacity() {
            records.push(record);
        }
    }
    leave(&mut thread.process().signals(), thread);
    gathering.over.wait();
}

/// The status that the process of a dump ends with, which is over.
pub(super) fn settled(thread: &Thread, status: ExitStatus) -> ExitStatus {
    thread.process().signals().exit.unwrap_or(status)
}

/// Crosses `thread` off the list of those that owe their registers.
pub(crate) fn leave(state: &mut ProcessSignals, thread: &Thread) {
    if !core::mem::take(&mut state.of_mut(thread).owes_registers) {
        return;
    }
    let Some(dump) = &mut state.dump else { return };
    dump.owed -= 1;
    if dump.owed == 0 {
        dump.gathering.all_here.complete();
    }
}

/// Ends the dump: the process ends with `status`, or by SIGKILL if that came meanwhile. Returns which.
pub(super) fn finish(thread: &Thread, status: ExitStatus) -> ExitStatus {
    let mut state = thread.process().signals();
    let killed = ExitStatus::Killed(Signal::SIGKILL, CoreFile::Absent);
    let status = if thread.has_fatal_signal() { killed } else { status };
    state.exit = Some(status);
    let dump = state.dump.take();
    drop(state);
    if let Some(dump) = dump {
        dump.gathering.over.complete();
    }
    status
}

/// Ends a dump that is under way early: somebody wants the process gone now.
pub(crate) fn abort(state: &ProcessSignals) {
    if let Some(dump) = &state.dump {
        dump.dumper.attention().set(Attention::Kill);
        dump.dumper.wake(WakeMask::KILL);
    }
}
