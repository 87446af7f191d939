//! Thread and process ids. Key types: [`Tid`], [`Pid`].
//!
//! A process's id is the thread id of its first thread, as on Linux: both come from one number space, and
//! process-group and session ids are process ids too. The table that maps them to what they name is
//! [`super::table`].

use core::fmt;

/// Ids go from 1 up to this (exclusive), as Linux's 64-bit `pid_max` allows.
pub const ID_LIMIT: u32 = 1 << 22;

/// The id of a thread, what gettid(2) returns. Zero is each CPU's idle thread and the kernel's own threads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tid(u32);

/// The id of a process (of a thread group), what getpid(2) returns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pid(u32);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// The id of what is the kernel's own and has no entry in the table.
            pub const KERNEL: Self = Self(0);
            /// The first process, which adopts orphans.
            pub const INIT: Self = Self(1);

            /// The id with this number.
            #[must_use]
            pub const fn new(number: u32) -> Self {
                Self(number)
            }

            /// The id that a system-call argument names, or `None` for numbers that no id can have.
            #[must_use]
            pub const fn from_argument(value: i32) -> Option<Self> {
                if value > 0 { Some(Self(value as u32)) } else { None }
            }

            /// The number.
            #[must_use]
            pub const fn as_u32(self) -> u32 {
                self.0
            }

            /// The number as a system call returns it.
            #[must_use]
            pub const fn as_usize(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

impl From<Tid> for u64 {
    fn from(id: Tid) -> Self {
        Self::from(id.0)
    }
}

id!(Tid);
id!(Pid);

impl Pid {
    /// The id of the process's first thread.
    #[must_use]
    pub const fn leader(self) -> Tid {
        Tid(self.0)
    }
}

impl Tid {
    /// The process id that equals this thread id: the process whose first thread this is.
    #[must_use]
    pub const fn as_pid(self) -> Pid {
        Pid(self.0)
    }
}
