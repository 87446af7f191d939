//! Who is told by signals that a file is ready: `F_SETOWN` and its relatives (fcntl(2)), `FIOSETOWN` of sockets.

use alloc::sync::Arc;

use arch::addr::UserAddr;
use linux_raw_sys::general as abi;

use super::super::{File, Recipient, SignalOwner};
use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Argument;
use crate::task::{Pid, Thread, Tid, table};

const THREAD: i32 = abi::F_OWNER_TID as i32;
const PROCESS: i32 = abi::F_OWNER_PID as i32;
const GROUP: i32 = abi::F_OWNER_PGRP as i32;

/// The commands of fcntl(2) about the owner.
///
/// # Errors
/// `EINVAL` for any other command, and for kinds and signals that do not exist; `ESRCH`; `EFAULT`.
pub(super) fn control(thread: &Thread, file: &File, command: u32, argument: u64) -> Result {
    match command {
        abi::F_GETOWN => return Ok(get(file) as isize as usize),
        abi::F_SETOWN => set(thread, file, argument as i32)?,
        abi::F_GETOWN_EX => {
            let owner = file.signal_owner();
            let pointer = UserPtr::<[i32; 2]>::new(UserAddr::from_register(argument));
            pointer.write(&[owner.kind, owner.recipient.id()])?;
        }
        abi::F_SETOWN_EX => {
            let pointer = UserPtr::<[i32; 2]>::new(UserAddr::from_register(argument));
            let [kind, id] = pointer.read()?;
            set_kind(thread, file, kind, id)?;
        }
        abi::F_GETSIG => return Ok(file.signal_owner().signal as usize),
        abi::F_SETSIG => {
            let signal = argument as i32;
            if !(0..=64).contains(&signal) {
                return Err(Errno::EINVAL);
            }
            file.update_signal_owner(|owner| owner.signal = signal);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The id of the process, or minus that of the group.
pub(super) fn get(file: &File) -> i32 {
    let owner = file.signal_owner();
    let id = owner.recipient.id();
    if owner.kind == GROUP { -id } else { id }
}

/// Makes process `id`, or group `-id`, the owner.
///
/// # Errors
/// `EINVAL`, `ESRCH`.
pub(super) fn set(thread: &Thread, file: &File, id: i32) -> Result<()> {
    let magnitude = id.checked_abs().ok_or(Errno::EINVAL)?;
    set_kind(thread, file, if id < 0 { GROUP } else { PROCESS }, magnitude)
}

fn set_kind(thread: &Thread, file: &File, kind: i32, id: i32) -> Result<()> {
    if !(THREAD..=GROUP).contains(&kind) {
        return Err(Errno::EINVAL);
    }
    let recipient = match u32::try_from(id) {
        Ok(0) => Recipient::Nobody,
        Ok(id) => find(kind, id)?,
        Err(_) => return Err(Errno::ESRCH),
    };
    let user = thread.credentials().user;
    let sender = [user.real, user.effective];
    file.update_signal_owner(|owner| {
        *owner = SignalOwner { kind, recipient, signal: owner.signal, sender };
    });
    Ok(())
}

/// Who has `id`. An id that is in use by something of another kind is nobody's.
fn find(kind: i32, id: u32) -> Result<Recipient> {
    let thread = table::find_thread(Tid::new(id));
    let process = table::find_process(Pid::new(id));
    let group = table::find_group(Pid::new(id));
    if thread.is_none() && process.is_none() && group.is_none() {
        return Err(Errno::ESRCH);
    }
    let found = match kind {
        THREAD => thread.map(|thread| Recipient::Thread(Arc::downgrade(&thread))),
        PROCESS => process.map(|process| Recipient::Process(Arc::downgrade(&process))),
        _ => group.map(|group| Recipient::Group(Arc::downgrade(&group))),
    };
    Ok(found.unwrap_or_default())
}
