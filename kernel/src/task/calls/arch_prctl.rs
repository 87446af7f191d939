//! arch_prctl(2): the FS and GS bases.

use arch::addr::UserAddr;
use arch::thread::{segment_bases, set_segment_bases};

use crate::errno::{Errno, Result};
use crate::memory::user::UserPtr;
use crate::syscall::Caller;

/// `ARCH_*` (`asm/prctl.h`).
const SET_GS: u32 = 0x1001;
const SET_FS: u32 = 0x1002;
const GET_FS: u32 = 0x1003;
const GET_GS: u32 = 0x1004;

/// Sets or gets a segment base. Others of its codes concern processors' features that are not offered.
pub(super) fn arch_prctl(_caller: &mut Caller<'_>, code: u32, address: u64) -> Result {
    let mut bases = segment_bases();
    let base = match code {
        SET_FS | GET_FS => &mut bases.fs,
        SET_GS | GET_GS => &mut bases.gs,
        _ => return Err(Errno::EINVAL),
    };
    if code == SET_FS || code == SET_GS {
        *base =
            UserAddr::try_new(address).filter(|&a| a < UserAddr::END).ok_or(Errno::EPERM)?.as_u64();
        set_segment_bases(bases);
        return Ok(0);
    }
    UserPtr::new(UserAddr::try_new(address).ok_or(Errno::EFAULT)?).write(base)?;
    Ok(0)
}
