//! Who a thread acts for: user and group ids, capabilities (credentials(7), capabilities(7)).
//!
//! [`Credentials`] are immutable behind an `Arc`: fork shares them, every change makes a new value. The rules of
//! the `set*id` calls are methods here, plain functions on plain data; the calls are in [`super::calls`].

use alloc::sync::Arc;

use linux_raw_sys::general as abi;

use super::account::Account;

/// A set of capabilities, one bit each (`CAP_*`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CapabilitySet(pub u64);

/// A capability, numbered as `CAP_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Capability {
    /// Change file owners.
    Chown = abi::CAP_CHOWN as u8,
    /// Ignore file permission bits.
    DacOverride = abi::CAP_DAC_OVERRIDE as u8,
    /// Ignore read and search permission bits.
    DacReadSearch = abi::CAP_DAC_READ_SEARCH as u8,
    /// Act as a file's owner.
    Fowner = abi::CAP_FOWNER as u8,
    /// Keep set-id bits that would be cleared.
    Fsetid = abi::CAP_FSETID as u8,
    /// Signal any process.
    Kill = abi::CAP_KILL as u8,
    /// Change group ids at will.
    Setgid = abi::CAP_SETGID as u8,
    /// Change user ids at will.
    Setuid = abi::CAP_SETUID as u8,
    /// Drop capabilities from the bounding set and change secure bits.
    Setpcap = abi::CAP_SETPCAP as u8,
    /// Lock memory past the limit.
    IpcLock = abi::CAP_IPC_LOCK as u8,
    /// Administer networks, and exceed the limits of socket buffers.
    NetAdmin = abi::CAP_NET_ADMIN as u8,
    /// Inspect and control any process.
    SysPtrace = abi::CAP_SYS_PTRACE as u8,
    /// Mounts, host names and other administration.
    SysAdmin = abi::CAP_SYS_ADMIN as u8,
    /// Reboot.
    SysBoot = abi::CAP_SYS_BOOT as u8,
    /// Change the root directory.
    SysChroot = abi::CAP_SYS_CHROOT as u8,
    /// Raise priorities.
    SysNice = abi::CAP_SYS_NICE as u8,
    /// Exceed resource limits.
    SysResource = abi::CAP_SYS_RESOURCE as u8,
    /// Set the clock.
    SysTime = abi::CAP_SYS_TIME as u8,
    /// Administer terminals.
    SysTtyConfig = abi::CAP_SYS_TTY_CONFIG as u8,
    /// Make device nodes.
    Mknod = abi::CAP_MKNOD as u8,
    /// Read and configure the kernel log.
    Syslog = abi::CAP_SYSLOG as u8,
}

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability that Linux defines.
    pub const ALL: Self = Self((1 << (abi::CAP_LAST_CAP + 1)) - 1);
    /// The capabilities that follow the file-system user id (`CAP_FS_SET`).
    pub const FILE_SYSTEM: Self = Self(
        1 << abi::CAP_CHOWN
            | 1 << abi::CAP_DAC_OVERRIDE
            | 1 << abi::CAP_DAC_READ_SEARCH
            | 1 << abi::CAP_FOWNER
            | 1 << abi::CAP_FSETID
            | 1 << abi::CAP_LINUX_IMMUTABLE
            | 1 << abi::CAP_MKNOD
            | 1 << abi::CAP_MAC_OVERRIDE,
    );

    /// Whether `capability` is in the set.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u8 != 0
    }

    /// Whether everything in this set is in `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The four ids of one kind (credentials(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// Who started the process.
    pub real: u32,
    /// Whose rights it uses.
    pub effective: u32,
    /// What `effective` may go back to.
    pub saved: u32,
    /// Whose rights it uses on files.
    pub file_system: u32,
}

impl Ids {
    /// All four the same.
    #[must_use]
    pub const fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, file_system: id }
    }
}

/// What a thread may do.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User ids.
    pub user: Ids,
    /// Group ids.
    pub group: Ids,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    /// What is in force.
    pub effective: CapabilitySet,
    /// What may be put in force.
    pub permitted: CapabilitySet,
    /// What survives execve of a file that asks for it.
    pub inheritable: CapabilitySet,
    /// The most that execve may give.
    pub bounding: CapabilitySet,
    /// What survives execve of any file without privileges of its own.
    pub ambient: CapabilitySet,
    /// Secure bits (`SECBIT_*`).
    pub secure_bits: u32,
    /// What the real user's processes use together.
    pub account: Arc<Account>,
}

impl Credentials {
    /// The superuser's, with every capability.
    #[must_use]
    pub fn root(account: Arc<Account>) -> Self {
        Self {
            user: Ids::all(0),
            group: Ids::all(0),
            groups: Arc::from([]),
            effective: CapabilitySet::ALL,
            permitted: CapabilitySet::ALL,
            inheritable: CapabilitySet::EMPTY,
            bounding: CapabilitySet::ALL,
            ambient: CapabilitySet::EMPTY,
            secure_bits: 0,
            account,
        }
    }

    /// Whether `capability` is in force.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.effective.contains(capability)
    }

    /// Whether `group` is the file-system group id or a supplementary group.
    #[must_use]
    pub fn in_group(&self, group: u32) -> bool {
        self.group.file_system == group || self.groups.contains(&group)
    }

    /// Whether `group` is the effective group id or a supplementary group.
    #[must_use]
    pub fn in_effective_group(&self, group: u32) -> bool {
        self.group.effective == group || self.groups.contains(&group)
    }

    /// Whether somebody with these credentials may signal a process with `target`'s (kill(2)).
    #[must_use]
    pub fn may_signal(&self, target: &Self) -> bool {
        let own = [self.user.effective, self.user.real];
        own.contains(&target.user.saved)
            || own.contains(&target.user.real)
            || self.has(Capability::Kill)
    }

    /// Adjusts the capabilities to a change of user ids from `old` (capabilities(7), "Effect of user ID changes").
    pub fn follow_user_ids(&mut self, old: &Ids) {
        if self.secure_bits & SECBIT_NO_SETUID_FIXUP != 0 {
            return;
        }
        let had_root = [old.real, old.effective, old.saved].contains(&0);
        let has_root = [self.user.real, self.user.effective, self.user.saved].contains(&0);
        if had_root && !has_root {
            if self.secure_bits & SECBIT_KEEP_CAPS == 0 {
                self.permitted = CapabilitySet::EMPTY;
                self.effective = CapabilitySet::EMPTY;
            }
            self.ambient = CapabilitySet::EMPTY;
        }
        match (old.effective, self.user.effective) {
            (0, 1..) => self.effective = CapabilitySet::EMPTY,
            (1.., 0) => self.effective = self.permitted,
            _ => (),
        }
        let files = CapabilitySet::FILE_SYSTEM;
        match (old.file_system, self.user.file_system) {
            (0, 1..) => self.effective = self.effective.difference(files),
            (1.., 0) => {
                self.effective = self.effective.union(self.permitted.intersection(files));
            }
            _ => (),
        }
    }
}

/// `SECBIT_NO_SETUID_FIXUP`: capabilities do not follow user ids.
pub const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
/// `SECBIT_KEEP_CAPS`: the permitted set survives giving up user id 0.
pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(user: Ids) -> Credentials {
        let mut credentials = Credentials::root(Account::of(0));
        credentials.user = user;
        credentials.follow_user_ids(&Ids::all(0));
        credentials
    }

    #[test]
    fn capabilities_go_with_the_last_root_id() {
        let gone = after(Ids::all(5));
        assert_eq!((gone.permitted, gone.effective), (CapabilitySet::EMPTY, CapabilitySet::EMPTY));
        let kept = after(Ids { effective: 5, file_system: 5, ..Ids::all(0) });
        assert_eq!((kept.permitted, kept.effective), (CapabilitySet::ALL, CapabilitySet::EMPTY));
        let files = after(Ids { file_system: 5, ..Ids::all(0) });
        assert!(!files.has(Capability::DacOverride) && files.has(Capability::Kill));
    }

    #[test]
    fn signals_need_a_common_user_or_the_capability() {
        let root = Credentials::root(Account::of(0));
        let (five, six) = (after(Ids::all(5)), after(Ids::all(6)));
        assert!(root.may_signal(&five) && five.may_signal(&five));
        assert!(!five.may_signal(&six) && !five.may_signal(&root));
    }
}
