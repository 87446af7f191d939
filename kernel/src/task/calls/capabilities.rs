//! capget(2) and capset(2).

use alloc::sync::Arc;

use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Caller;
use crate::task::{Capability, CapabilitySet, Credentials, Tid, table};

/// How many `__user_cap_data_struct` a header's version comes with.
fn elements(version: u32) -> Option<usize> {
    match version {
        abi::_LINUX_CAPABILITY_VERSION_1 => Some(1),
        abi::_LINUX_CAPABILITY_VERSION_2 | abi::_LINUX_CAPABILITY_VERSION_3 => Some(2),
        _ => None,
    }
}

/// The number of elements for the header's version. For an unknown version the header gets the preferred one.
///
/// # Errors
/// `EINVAL` for an unknown version.
fn check_version(header: UserPtr<[u32; 2]>) -> Result<(usize, i32)> {
    let [version, pid] = header.read()?;
    match elements(version) {
        Some(count) => Ok((count, pid as i32)),
        None => {
            header.write(&[abi::_LINUX_CAPABILITY_VERSION_3, pid])?;
            Err(Errno::EINVAL)
        }
    }
}

/// Reads the capability sets of a thread.
pub(super) fn capget(
    caller: &mut Caller<'_>,
    header: UserPtr<[u32; 2]>,
    data: UserPtr<[u32; 3]>,
) -> Result {
    let (count, pid) = match check_version(header) {
        // Asking for the preferred version is no error.
        Err(Errno::EINVAL) if data.is_null() => return Ok(0),
        checked => checked?,
    };
    let credentials = match pid {
        0 => caller.thread.credentials(),
        _ => {
            let tid = u32::try_from(pid).map_err(|_| Errno::EINVAL)?;
            table::find_thread(Tid::new(tid)).ok_or(Errno::ESRCH)?.credentials()
        }
    };
    let sets = [credentials.effective, credentials.permitted, credentials.inheritable];
    for i in 0..count {
        data.element(i)?.write(&sets.map(|set| (set.0 >> (32 * i)) as u32))?;
    }
    Ok(0)
}

/// Replaces the capability sets of the calling thread.
pub(super) fn capset(
    caller: &mut Caller<'_>,
    header: UserPtr<[u32; 2]>,
    data: UserPtr<[u32; 3]>,
) -> Result {
    let (count, pid) = check_version(header)?;
    if pid != 0 && Tid::from_argument(pid) != Some(caller.thread.tid()) {
        return Err(Errno::EPERM);
    }
    let mut sets = [0_u64; 3];
    for i in 0..count {
        let halves = data.element(i)?.read()?;
        sets.iter_mut().zip(halves).for_each(|(set, half)| *set |= u64::from(half) << (32 * i));
    }
    let wanted = sets.map(|set| CapabilitySet(set).intersection(CapabilitySet::ALL));
    let new = change(&caller.thread.credentials(), wanted)?;
    caller.thread.set_credentials(Arc::new(new));
    Ok(0)
}

/// The rules of capabilities(7), "Programmatically adjusting capability sets".
fn change(
    old: &Credentials,
    [effective, permitted, inheritable]: [CapabilitySet; 3],
) -> Result<Credentials> {
    let may_add = old.has(Capability::Setpcap);
    let allowed = (may_add || inheritable.is_subset(old.inheritable.union(old.permitted)))
        && inheritable.is_subset(old.inheritable.union(old.bounding))
        && permitted.is_subset(old.permitted)
        && effective.is_subset(permitted);
    if !allowed {
        return Err(Errno::EPERM);
    }
    let ambient = old.ambient.intersection(permitted).intersection(inheritable);
    Ok(Credentials { effective, permitted, inheritable, ambient, ..old.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Account;

    #[test]
    fn sets_shrink_and_effective_stays_within_permitted() {
        let root = Credentials::root(Account::of(0));
        let one = CapabilitySet(1);
        let none = CapabilitySet::EMPTY;
        let less = change(&root, [none, one, none]).expect("giving up is always allowed");
        assert!(change(&less, [one, one, none]).is_ok());
        assert_eq!(
            change(&less, [CapabilitySet(3), CapabilitySet(3), none]).err(),
            Some(Errno::EPERM)
        );
        assert_eq!(change(&root, [CapabilitySet(2), one, none]).err(), Some(Errno::EPERM));
    }
}
