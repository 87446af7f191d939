//! Resource limits (getrlimit(2)). Key types: [`Limits`], [`Limit`], [`Resource`].
//!
//! A process holds its limits in an `Arc`, so that fork shares them; a change copies them.

use linux_raw_sys::general as abi;

use crate::errno::{Errno, Result};

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// How many kinds of limit there are.
const COUNT: usize = abi::RLIM_NLIMITS as usize;

/// A kind of resource, numbered as `RLIMIT_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Resource {
    /// CPU time in seconds.
    Cpu = abi::RLIMIT_CPU as u8,
    /// Size of a file that the process may create, in bytes.
    FileSize = abi::RLIMIT_FSIZE as u8,
    /// Bytes of data segment.
    Data = abi::RLIMIT_DATA as u8,
    /// Bytes of stack of the first thread.
    Stack = abi::RLIMIT_STACK as u8,
    /// Bytes of a core file.
    Core = abi::RLIMIT_CORE as u8,
    /// Resident bytes; kept, and without effect, as on Linux.
    ResidentSet = abi::RLIMIT_RSS as u8,
    /// Threads that the real user may have.
    Processes = abi::RLIMIT_NPROC as u8,
    /// One more than the highest descriptor number.
    OpenFiles = abi::RLIMIT_NOFILE as u8,
    /// Locked bytes.
    LockedMemory = abi::RLIMIT_MEMLOCK as u8,
    /// Bytes of address space.
    AddressSpace = abi::RLIMIT_AS as u8,
    /// File locks; kept, and without effect, as on Linux.
    Locks = abi::RLIMIT_LOCKS as u8,
    /// Queued signals of the real user.
    PendingSignals = abi::RLIMIT_SIGPENDING as u8,
    /// Bytes in POSIX message queues.
    MessageQueues = abi::RLIMIT_MSGQUEUE as u8,
    /// Ceiling for raising priority: 20 minus the nice value.
    Nice = abi::RLIMIT_NICE as u8,
    /// Ceiling for real-time priority.
    RealTimePriority = abi::RLIMIT_RTPRIO as u8,
    /// Microseconds of real-time CPU time without a sleep.
    RealTimeTime = abi::RLIMIT_RTTIME as u8,
}

impl Resource {
    const ALL: [Self; COUNT] = [
        Self::Cpu,
        Self::FileSize,
        Self::Data,
        Self::Stack,
        Self::Core,
        Self::ResidentSet,
        Self::Processes,
        Self::OpenFiles,
        Self::LockedMemory,
        Self::AddressSpace,
        Self::Locks,
        Self::PendingSignals,
        Self::MessageQueues,
        Self::Nice,
        Self::RealTimePriority,
        Self::RealTimeTime,
    ];

    /// The resource numbered `number`.
    ///
    /// # Errors
    /// `EINVAL` when there is none.
    pub fn from_number(number: u32) -> Result<Self> {
        Self::ALL.get(number as usize).copied().ok_or(Errno::EINVAL)
    }
}

/// A soft limit, which is enforced, and the hard one, up to which the soft one may be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// The ceiling of `soft` for the unprivileged.
    pub hard: u64,
}

impl Limit {
    /// No limit, soft or hard.
    pub const UNLIMITED: Self = Self { soft: INFINITY, hard: INFINITY };

    /// The same soft and hard limit.
    #[must_use]
    pub const fn both(value: u64) -> Self {
        Self { soft: value, hard: value }
    }
}

/// What lets a process raise a hard limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    /// No `CAP_SYS_RESOURCE`.
    Ordinary,
    /// `CAP_SYS_RESOURCE`.
    Resource,
}

/// The limits of one process.
#[derive(Clone, Debug)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// What the first process starts with, given how many threads and queued signals one user may have
    /// (Linux derives them from the amount of memory).
    #[must_use]
    pub fn initial(threads: u64) -> Self {
        let mut limits = Self([Limit::UNLIMITED; COUNT]);
        limits.put(Resource::Stack, Limit { soft: 8 << 20, hard: INFINITY });
        limits.put(Resource::Core, Limit { soft: 0, hard: INFINITY });
        limits.put(Resource::Processes, Limit::both(threads));
        limits.put(Resource::OpenFiles, Limit { soft: 1024, hard: 4096 });
        limits.put(Resource::LockedMemory, Limit::both(8 << 20));
        limits.put(Resource::PendingSignals, Limit::both(threads));
        limits.put(Resource::MessageQueues, Limit::both(819_200));
        limits.put(Resource::Nice, Limit::both(0));
        limits.put(Resource::RealTimePriority, Limit::both(0));
        limits
    }

    /// The limit on `resource`.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.0[resource as usize]
    }

    /// The enforced limit on `resource`.
    #[must_use]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).soft
    }

    /// Replaces the limit on `resource` (setrlimit(2)).
    ///
    /// # Errors
    /// `EINVAL` when the soft limit exceeds the hard one; `EPERM` when the hard limit would rise without
    /// privilege, or the number of open files would exceed `most_open_files` (`fs.nr_open`).
    pub fn set(
        &mut self,
        resource: Resource,
        new: Limit,
        privilege: Privilege,
        most_open_files: u64,
    ) -> Result<()> {
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if resource == Resource::OpenFiles && new.hard > most_open_files {
            return Err(Errno::EPERM);
        }
        if new.hard > self.get(resource).hard && privilege == Privilege::Ordinary {
            return Err(Errno::EPERM);
        }
        self.put(resource, new);
        Ok(())
    }

    /// The same, but for the limit on `resource`.
    #[must_use]
    pub fn with(mut self, resource: Resource, limit: Limit) -> Self {
        self.put(resource, limit);
        self
    }

    fn put(&mut self, resource: Resource, limit: Limit) {
        self.0[resource as usize] = limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_FILES: u64 = 1 << 20;

    #[test]
    fn every_resource_has_its_linux_number() {
        for (number, resource) in Resource::ALL.into_iter().enumerate() {
            assert_eq!(resource as usize, number);
            assert_eq!(Resource::from_number(number as u32), Ok(resource));
        }
        assert_eq!(Resource::from_number(COUNT as u32), Err(Errno::EINVAL));
    }

    #[test]
    fn soft_limits_move_below_the_hard_one_and_hard_ones_only_down() {
        let mut limits = Limits::initial(100);
        let mut set = |soft, hard, privilege| {
            limits.set(Resource::Processes, Limit { soft, hard }, privilege, MOST_FILES)
        };
        assert_eq!(set(50, 100, Privilege::Ordinary), Ok(()));
        assert_eq!(set(100, 100, Privilege::Ordinary), Ok(()));
        assert_eq!(set(101, 100, Privilege::Ordinary), Err(Errno::EINVAL));
        assert_eq!(set(10, 60, Privilege::Ordinary), Ok(()));
        assert_eq!(set(10, 61, Privilege::Ordinary), Err(Errno::EPERM));
        assert_eq!(set(10, INFINITY, Privilege::Resource), Ok(()));
    }

    #[test]
    fn open_files_are_bounded_even_for_the_privileged() {
        let mut limits = Limits::initial(100);
        let most = Limit::both(MOST_FILES);
        let more = Limit::both(MOST_FILES + 1);
        assert_eq!(limits.set(Resource::OpenFiles, most, Privilege::Resource, MOST_FILES), Ok(()));
        assert_eq!(
            limits.set(Resource::OpenFiles, more, Privilege::Resource, MOST_FILES),
            Err(Errno::EPERM)
        );
    }
}
