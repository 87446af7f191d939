//! What a core file says of one thread. Key type: [`ThreadRecord`].

use alloc::vec::Vec;

use arch::context::{SegmentBases, UserContext};
use arch::fpu;
use arch::time::Nanos;

use super::Registers;
use crate::errno::{Errno, Result};
use crate::task::{Thread, Usage};

/// A thread, as its notes show it.
#[derive(Clone, Debug)]
pub struct ThreadRecord {
    /// Its id.
    pub tid: u32,
    /// The general registers.
    pub context: UserContext,
    /// The segment bases.
    pub bases: SegmentBases,
    /// `orig_rax`: the number of the system call that it was in, or -1.
    pub system_call: u64,
    /// The XSAVE image in the standard form (FXSAVE where there is nothing more).
    pub extended: Vec<u8>,
    /// Signals that wait for this thread.
    pub pending: u64,
    /// Signals that it blocks.
    pub blocked: u64,
    /// Its CPU time.
    pub user: Nanos,
    /// Its CPU time in the kernel.
    pub system: Nanos,
}

/// `orig_rax` of a thread that is in no system call.
const NO_SYSTEM_CALL: u64 = u64::MAX;

impl ThreadRecord {
    /// The calling thread.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn of_current(thread: &Thread, registers: Registers<'_>) -> Result<Self> {
        let mut extended = Vec::new();
        extended.try_reserve_exact(fpu::layout().size).map_err(|_| Errno::ENOMEM)?;
        thread.scheduling.with_extended_state(|state| extended.extend_from_slice(state.bytes()));
        let (mut context, bases) = (*registers.context, arch::thread::segment_bases());
        let mut system_call = NO_SYSTEM_CALL;
        if let Some(call) = registers.interrupted {
            system_call = call.number;
            context.rax = call.code.to_register();
        }
        let state = thread.process().signals();
        let own = state.of(thread);
        let (pending, blocked) = (own.pending.set().bits(), own.blocked.bits());
        drop(state);
        let Usage { user, system, .. } = Usage::of_thread(thread);
        let tid = thread.tid().as_u32();
        Ok(Self { tid, context, bases, system_call, extended, pending, blocked, user, system })
    }
}
