//! prctl(2) and personality(2).

use alloc::sync::Arc;

use arch::addr::UserAddr;
use linux_raw_sys::general as general_abi;
use linux_raw_sys::prctl as abi;

use crate::errno::{Errno, Result};
use crate::memory::user::{UserPtr, fetch};
use crate::signal::Signal;
use crate::syscall::Caller;
use crate::task::credentials::SECBIT_KEEP_CAPS;
use crate::task::{Capability, CapabilitySet, Credentials, Name, family};

/// The rights of `PR_SET_TSC`: reading the time-stamp counter is always allowed.
const TSC_ENABLE: u32 = 1;
/// The default timer slack in nanoseconds, which `PR_SET_TIMERSLACK` 0 goes back to.
const DEFAULT_SLACK_NS: u64 = 50_000;

/// Operations on the calling thread or process.
pub(super) fn prctl(
    caller: &mut Caller<'_>,
    option: u32,
    argument: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Result {
    let rest_is_zero = third == 0 && fourth == 0 && fifth == 0;
    match option {
        abi::PR_SET_NAME | abi::PR_GET_NAME => name(caller, option, argument),
        abi::PR_SET_PDEATHSIG => {
            let signal = match argument {
                0 => None,
                number => {
                    Some(u32::try_from(number).ok().and_then(Signal::new).ok_or(Errno::EINVAL)?)
                }
            };
            caller.thread.process().set_death_signal(signal);
            Ok(0)
        }
        abi::PR_GET_PDEATHSIG => {
            let signal = caller.thread.process().death_signal();
            store(argument, signal.map_or(0, |signal| u32::from(signal.number())))
        }
        abi::PR_GET_DUMPABLE => Ok(usize::from(caller.thread.process().dumpable())),
        abi::PR_SET_DUMPABLE => {
            let value = u8::try_from(argument).ok().filter(|&value| value <= 1);
            caller.thread.process().set_dumpable(value.ok_or(Errno::EINVAL)?);
            Ok(0)
        }
        abi::PR_SET_NO_NEW_PRIVS if argument == 1 && rest_is_zero => {
            caller.thread.set_no_new_privileges();
            Ok(0)
        }
        abi::PR_GET_NO_NEW_PRIVS if argument == 0 && rest_is_zero => {
            Ok(usize::from(caller.thread.has_no_new_privileges()))
        }
        abi::PR_SET_CHILD_SUBREAPER => {
            let process = caller.thread.process();
            family::lock().rw(&process.kinship).is_subreaper = argument != 0;
            Ok(0)
        }
        abi::PR_GET_CHILD_SUBREAPER => {
            let is_subreaper = family::lock().ro(&caller.thread.process().kinship).is_subreaper;
            store(argument, u32::from(is_subreaper))
        }
        abi::PR_GET_TID_ADDRESS => {
            let address = UserAddr::try_new(argument).ok_or(Errno::EFAULT)?;
            UserPtr::new(address).write(&caller.thread.clear_child_tid())?;
            Ok(0)
        }
        abi::PR_SET_TIMERSLACK => {
            let slack = if argument as i64 <= 0 { DEFAULT_SLACK_NS } else { argument };
            caller.thread.set_timer_slack_ns(slack);
            Ok(0)
        }
        abi::PR_GET_TIMERSLACK => Ok(caller.thread.timer_slack_ns() as usize),
        abi::PR_GET_TSC => store(argument, TSC_ENABLE),
        abi::PR_SET_TSC if argument == u64::from(TSC_ENABLE) => Ok(0),
        // Names of mappings are for looking at, and nothing looks at them yet.
        abi::PR_SET_VMA if argument == u64::from(abi::PR_SET_VMA_ANON_NAME) => Ok(0),
        abi::PR_SET_THP_DISABLE | abi::PR_GET_THP_DISABLE if rest_is_zero => Ok(0),
        _ => capability(caller, option, argument, [third, fourth, fifth]),
    }
}

fn name(caller: &Caller<'_>, option: u32, address: u64) -> Result {
    let address = UserAddr::try_new(address).ok_or(Errno::EFAULT)?;
    if option == abi::PR_GET_NAME {
        UserPtr::new(address).write(caller.thread.name().padded())?;
        return Ok(0);
    }
    let mut bytes = [0; Name::SIZE - 1];
    let got = fetch(address, &mut bytes);
    if got < bytes.len() && !bytes[..got].contains(&0) {
        return Err(Errno::EFAULT);
    }
    caller.thread.set_name(Name::new(&bytes));
    Ok(0)
}

fn store(address: u64, value: u32) -> Result {
    UserPtr::new(UserAddr::try_new(address).ok_or(Errno::EFAULT)?).write(&value)?;
    Ok(0)
}

/// The options about capabilities.
fn capability(caller: &Caller<'_>, option: u32, argument: u64, rest: [u64; 3]) -> Result {
    let old = caller.thread.credentials();
    let bit = u32::try_from(argument).ok().filter(|&number| number <= general_abi::CAP_LAST_CAP);
    let set = bit.map(|bit| CapabilitySet(1 << bit));
    match option {
        abi::PR_CAPBSET_READ => Ok(usize::from(set.ok_or(Errno::EINVAL)?.is_subset(old.bounding))),
        abi::PR_CAPBSET_DROP => {
            if !old.has(Capability::Setpcap) {
                return Err(Errno::EPERM);
            }
            let bounding = old.bounding.difference(set.ok_or(Errno::EINVAL)?);
            replace(caller, Credentials { bounding, ..Credentials::clone(&old) })
        }
        abi::PR_GET_SECUREBITS => Ok(old.secure_bits as usize),
        abi::PR_SET_SECUREBITS => set_secure_bits(caller, &old, argument),
        abi::PR_GET_KEEPCAPS => Ok(usize::from(old.secure_bits & SECBIT_KEEP_CAPS != 0)),
        abi::PR_SET_KEEPCAPS => {
            let bits = match argument {
                0 => old.secure_bits & !SECBIT_KEEP_CAPS,
                1 => old.secure_bits | SECBIT_KEEP_CAPS,
                _ => return Err(Errno::EINVAL),
            };
            replace(caller, Credentials { secure_bits: bits, ..Credentials::clone(&old) })
        }
        abi::PR_CAP_AMBIENT => ambient(caller, &old, argument, rest),
        _ => Err(Errno::EINVAL),
    }
}

/// Locked bits stay, as do their locks (capabilities(7), "The securebits flags").
fn set_secure_bits(caller: &Caller<'_>, old: &Credentials, argument: u64) -> Result {
    const KNOWN: u64 = 0xff;
    const LOCKS: u32 = 0xaa;
    let bits = argument as u32;
    let locked = (old.secure_bits & LOCKS) >> 1;
    let refused = argument & !KNOWN != 0
        || (old.secure_bits ^ bits) & locked != 0
        || old.secure_bits & LOCKS & !bits != 0
        || !old.has(Capability::Setpcap);
    if refused {
        return Err(Errno::EPERM);
    }
    replace(caller, Credentials { secure_bits: bits, ..old.clone() })
}

fn ambient(caller: &Caller<'_>, old: &Credentials, operation: u64, rest: [u64; 3]) -> Result {
    let [capability, fourth, fifth] = rest;
    if fourth != 0 || fifth != 0 {
        return Err(Errno::EINVAL);
    }
    let operation = u32::try_from(operation).map_err(|_| Errno::EINVAL)?;
    if operation == abi::PR_CAP_AMBIENT_CLEAR_ALL {
        if capability != 0 {
            return Err(Errno::EINVAL);
        }
        return replace(caller, Credentials { ambient: CapabilitySet::EMPTY, ..old.clone() });
    }
    let bit = u32::try_from(capability).ok().filter(|&bit| bit <= general_abi::CAP_LAST_CAP);
    let set = CapabilitySet(1 << bit.ok_or(Errno::EINVAL)?);
    match operation {
        abi::PR_CAP_AMBIENT_IS_SET => Ok(usize::from(set.is_subset(old.ambient))),
        abi::PR_CAP_AMBIENT_RAISE
            if !set.is_subset(old.permitted.intersection(old.inheritable)) =>
        {
            Err(Errno::EPERM)
        }
        abi::PR_CAP_AMBIENT_RAISE => {
            replace(caller, Credentials { ambient: old.ambient.union(set), ..old.clone() })
        }
        abi::PR_CAP_AMBIENT_LOWER => {
            replace(caller, Credentials { ambient: old.ambient.difference(set), ..old.clone() })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn replace(caller: &Caller<'_>, credentials: Credentials) -> Result {
    caller.thread.set_credentials(Arc::new(credentials));
    Ok(0)
}

/// Sets the execution domain and returns the former one; `0xffff_ffff` only asks.
pub(super) fn personality(caller: &mut Caller<'_>, persona: u32) -> Result {
    let former = caller.thread.personality();
    if persona != u32::MAX {
        caller.thread.set_personality(persona);
    }
    Ok(former as usize)
}
