//! uname(2), sethostname(2), setdomainname(2), sysinfo(2).

use arch::addr::UserAddr;
use arch::sync::{Rank, SpinLock};

use crate::errno::{Errno, Result};
use crate::memory::user::{UserPtr, read_bytes};
use crate::syscall::Caller;
use crate::task::{Capability, table};

/// Bytes of a name with its zero (`__NEW_UTS_LEN + 1`).
const NAME_SIZE: usize = 65;
/// `struct new_utsname`: six names.
pub(super) const UTSNAME_SIZE: usize = 6 * NAME_SIZE;
/// `struct sysinfo`.
pub(super) const SYSINFO_SIZE: usize = 112;

/// What programs see as the kernel's name. They ask for Linux's interface, by its version.
const SYSTEM: &[u8] = b"Linux";
const RELEASE: &[u8] = concat!("6.1.0-skein-", env!("CARGO_PKG_VERSION")).as_bytes();
const VERSION: &[u8] = b"#1 SMP PREEMPT Skein";
const MACHINE: &[u8] = b"x86_64";

/// A name with its length.
#[derive(Clone, Copy)]
struct HostName {
    bytes: [u8; NAME_SIZE],
    length: usize,
}

impl HostName {
    const fn new(text: &[u8]) -> Self {
        let mut bytes = [0; NAME_SIZE];
        let mut i = 0;
        while i < text.len() {
            bytes[i] = text[i];
            i += 1;
        }
        Self { bytes, length: text.len() }
    }
}

static HOST_NAME: SpinLock<HostName> = SpinLock::new(Rank::LEAF, HostName::new(b"skein"));
static DOMAIN_NAME: SpinLock<HostName> = SpinLock::new(Rank::LEAF, HostName::new(b"(none)"));

/// The kernel's release, as `uname -r` shows it.
#[must_use]
pub fn release() -> &'static [u8] {
    RELEASE
}

/// The kernel's version, as `uname -v` shows it.
#[must_use]
pub fn version() -> &'static [u8] {
    VERSION
}

/// The host's name, padded with zeros, and its length.
#[must_use]
pub fn host_name() -> ([u8; NAME_SIZE], usize) {
    let name = *HOST_NAME.lock();
    (name.bytes, name.length)
}

/// Names of system, host, release, version, machine and domain.
pub(super) fn uname(_caller: &mut Caller<'_>, names: UserPtr<[u8; UTSNAME_SIZE]>) -> Result {
    let host = *HOST_NAME.lock();
    let domain = *DOMAIN_NAME.lock();
    let fields: [&[u8]; 6] = [
        SYSTEM,
        &host.bytes[..host.length],
        RELEASE,
        VERSION,
        MACHINE,
        &domain.bytes[..domain.length],
    ];
    let mut bytes = [0; UTSNAME_SIZE];
    for (place, field) in bytes.chunks_exact_mut(NAME_SIZE).zip(fields) {
        place[..field.len()].copy_from_slice(field);
    }
    names.write(&bytes)?;
    Ok(0)
}

/// Changes the host's name to `name` (also through `/proc/sys/kernel/hostname`).
///
/// # Errors
/// `EPERM` without the right to administrate, `EINVAL` for a name that is too long.
pub fn set_host_name(name: &[u8]) -> Result<()> {
    if !crate::task::current().credentials().has(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    if name.len() >= NAME_SIZE {
        return Err(Errno::EINVAL);
    }
    *HOST_NAME.lock() = HostName::new(name);
    Ok(())
}

/// Changes the host's name.
pub(super) fn sethostname(caller: &mut Caller<'_>, name: UserAddr, length: i32) -> Result {
    *HOST_NAME.lock() = read_name(caller, name, length)?;
    Ok(0)
}

/// Changes the NIS domain's name.
pub(super) fn setdomainname(caller: &mut Caller<'_>, name: UserAddr, length: i32) -> Result {
    *DOMAIN_NAME.lock() = read_name(caller, name, length)?;
    Ok(0)
}

fn read_name(caller: &Caller<'_>, name: UserAddr, length: i32) -> Result<HostName> {
    if !caller.thread.credentials().has(Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let length = usize::try_from(length).ok().filter(|&length| length < NAME_SIZE);
    let length = length.ok_or(Errno::EINVAL)?;
    let mut host = HostName { bytes: [0; NAME_SIZE], length };
    read_bytes(name, &mut host.bytes[..length])?;
    Ok(host)
}

/// Uptime, load, memory and the number of threads.
pub(super) fn sysinfo(caller: &mut Caller<'_>, info: UserPtr<[u8; SYSINFO_SIZE]>) -> Result {
    let space = caller.thread.space().ok_or(Errno::ESRCH)?;
    let memory = space.memory().stats();
    let bytes_of = |frames: u64| frames * arch::addr::PAGE_SIZE as u64;
    let mut bytes = [0; SYSINFO_SIZE];
    let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    put(0, arch::clock::now().as_secs());
    for (i, load) in crate::scheduling::load_averages().into_iter().enumerate() {
        put(8 + i * 8, load);
    }
    put(32, bytes_of(memory.total));
    put(40, bytes_of(memory.free));
    let processes = u16::try_from(table::thread_count()).unwrap_or(u16::MAX);
    bytes[80..82].copy_from_slice(&processes.to_ne_bytes());
    bytes[104..108].copy_from_slice(&1_u32.to_ne_bytes());
    info.write(&bytes)?;
    Ok(0)
}
