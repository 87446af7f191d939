//! What becomes of a fault in user mode: memory, or a signal.
//!
//! [`signal_of`] is pure: exception to signal, with the codes that Linux uses. Everything else acts.

use alloc::sync::Arc;

use arch::addr::VirtAddr;
use arch::context::{Access, UserContext};
use mm::FaultError;

use super::exit;
use super::status::{CoreFile, ExitStatus};
use super::thread::Thread;
use crate::log_info;
use crate::memory::fault;
use crate::signal::frame::build::FaultRecord;
use crate::signal::send::Forced;
use crate::signal::{Code, Signal, SignalInfo, send};
use crate::trace::{self, Event};

/// Vector of a page fault (Intel SDM vol. 3A, 6.15).
const PAGE_FAULT: u64 = 14;
/// In its error code: the page is present (vol. 3A, 4.7).
const PROTECTION: u64 = 1;

/// A page fault at `address`: resolves it, or raises the signal that says why not.
pub(super) fn page_fault(
    thread: &Arc<Thread>,
    context: &UserContext,
    address: VirtAddr,
    access: Access,
    error_code: u64,
) {
    thread.count_fault();
    trace::record(Event::PageFault, thread.tid(), address.as_u64(), error_code);
    let Some(space) = thread.scheduling.own_space() else {
        unreachable!("user code runs in an address space")
    };
    let Err(error) = fault::resolve(thread, &space, address, access) else { return };
    let (signal, code) = match error {
        FaultError::MapErr => (Signal::SIGSEGV, Code::SEGV_MAPERR),
        FaultError::AccErr => (Signal::SIGSEGV, Code::SEGV_ACCERR),
        FaultError::Bus => (Signal::SIGBUS, Code::BUS_ADRERR),
        // The thread is to end, or there is nobody left to kill but its process.
        FaultError::NoMemory => {
            let status = ExitStatus::Killed(Signal::SIGKILL, CoreFile::Absent);
            return exit::end_process(thread.process(), status);
        }
    };
    let info = SignalInfo::fault(signal, code, address.as_u64());
    // Whether a kernel address is mapped is none of the program's business.
    let hidden = if address.to_user().is_none() { PROTECTION } else { 0 };
    let error_code = error_code | hidden;
    let record = FaultRecord { vector: PAGE_FAULT, error_code, address: address.as_u64() };
    raise(thread, context, signal, info, record);
}

/// Raises the signal, and leaves a line in the log when nothing handles it.
fn raise(
    thread: &Thread,
    context: &UserContext,
    signal: Signal,
    info: SignalInfo,
    fault: FaultRecord,
) {
    let code = info.code();
    if send::force_fault(thread, signal, info, fault) == Forced::Handled {
        return;
    }
    let (name, tid) = (thread.name(), thread.tid());
    let (rip, rsp) = (context.rip, context.rsp);
    let FaultRecord { vector, error_code, address } = fault;
    log_info!(
        "{name}[{tid}]: {signal:?} code {code}: exception {vector} error {error_code:#x} at {address:#x}, \
         rip {rip:#x} rsp {rsp:#x}"
    );
}

/// Another exception of the processor.
pub(super) fn exception(thread: &Arc<Thread>, context: &UserContext, vector: u8, error_code: u64) {
    let Some(raised) = signal_of(vector, context.rip, math_status(thread, vector)) else { return };
    let info = match raised.address {
        Some(address) => SignalInfo::fault(raised.signal, raised.code, address),
        None => SignalInfo::kernel(raised.signal),
    };
    let record = FaultRecord { vector: u64::from(vector), error_code, address: 0 };
    raise(thread, context, raised.signal, info, record);
}

/// The floating-point exceptions that are flagged and not masked, for the vectors that report them.
fn math_status(thread: &Thread, vector: u8) -> u32 {
    /// Offsets in the image (Intel SDM vol. 1, table 10-2).
    const CONTROL_WORD: usize = 0;
    const STATUS_WORD: usize = 2;
    const MXCSR: usize = 24;
    const FLAGS: u32 = 0x3f;
    const MATH_FAULT: u8 = 16;
    const SIMD_FAULT: u8 = 19;
    if vector != MATH_FAULT && vector != SIMD_FAULT {
        return 0;
    }
    thread.scheduling.with_extended_state(|state| {
        let bytes = state.bytes();
        let half = |at: usize| u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8;
        if vector == MATH_FAULT {
            half(STATUS_WORD) & !half(CONTROL_WORD) & FLAGS
        } else {
            half(MXCSR) & !(half(MXCSR) >> 7) & FLAGS
        }
    })
}

/// The signal for an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Raised {
    signal: Signal,
    code: i32,
    /// `si_addr`; `None` where Linux reports `SI_KERNEL` without one.
    address: Option<u64>,
}

/// The signal for exception `vector` at instruction `rip`, as Linux maps them. `None` for a floating-point exception
/// whose flag is gone: the instruction is tried again.
fn signal_of(vector: u8, rip: u64, math: u32) -> Option<Raised> {
    let at = |signal, code| Raised { signal, code, address: Some(rip) };
    let plain = |signal| Raised { signal, code: Code::SI_KERNEL, address: None };
    Some(match vector {
        0 => at(Signal::SIGFPE, Code::FPE_INTDIV),
        // Without a tracer, nothing but the trap flag raises it.
        1 => at(Signal::SIGTRAP, Code::TRAP_TRACE),
        3 => plain(Signal::SIGTRAP),
        6 => at(Signal::SIGILL, Code::ILL_ILLOPN),
        11 | 12 => plain(Signal::SIGBUS),
        16 | 19 => at(Signal::SIGFPE, math_code(math)?),
        17 => Raised { signal: Signal::SIGBUS, code: Code::BUS_ADRALN, address: Some(0) },
        _ => plain(Signal::SIGSEGV),
    })
}

/// The most serious of the flagged exceptions (Intel SDM vol. 1, 4.9.2, in the order in which Linux asks).
fn math_code(flagged: u32) -> Option<i32> {
    Some(match flagged {
        f if f & 0x01 != 0 => Code::FPE_FLTINV,
        f if f & 0x04 != 0 => Code::FPE_FLTDIV,
        f if f & 0x08 != 0 => Code::FPE_FLTOVF,
        f if f & 0x12 != 0 => Code::FPE_FLTUND,
        f if f & 0x20 != 0 => Code::FPE_FLTRES,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vector: u8) -> (Signal, i32, Option<u64>) {
        let raised = signal_of(vector, 0x1000, 0).expect("not a floating-point exception");
        (raised.signal, raised.code, raised.address)
    }

    #[test]
    fn exceptions_become_the_signals_of_linux() {
        assert_eq!(of(0), (Signal::SIGFPE, Code::FPE_INTDIV, Some(0x1000)));
        assert_eq!(of(3), (Signal::SIGTRAP, Code::SI_KERNEL, None));
        assert_eq!(of(6), (Signal::SIGILL, Code::ILL_ILLOPN, Some(0x1000)));
        assert_eq!(of(13), (Signal::SIGSEGV, Code::SI_KERNEL, None));
        assert_eq!(of(12), (Signal::SIGBUS, Code::SI_KERNEL, None));
        assert_eq!(of(17), (Signal::SIGBUS, Code::BUS_ADRALN, Some(0)));
    }

    #[test]
    fn floating_point_exceptions_are_told_apart() {
        assert_eq!(math_code(0x04), Some(Code::FPE_FLTDIV));
        assert_eq!(math_code(0x05), Some(Code::FPE_FLTINV));
        assert_eq!(math_code(0x30), Some(Code::FPE_FLTUND));
        assert_eq!(math_code(0x20), Some(Code::FPE_FLTRES));
        assert_eq!(signal_of(16, 0x1000, 0), None);
    }
}
