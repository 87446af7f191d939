//! The system calls about threads, processes and the machine as a whole, and the table of their rows.

mod arch_prctl;
mod capabilities;
mod identity;
mod jobs;
mod limits;
mod prctl;
mod random;
mod reboot;
mod system;
mod unshare;

use arch::addr::UserAddr;
use arch_prctl::arch_prctl;
use capabilities::{capget, capset};
use identity::{
    getegid, geteuid, getgid, getgroups, getpid, getppid, getresgid, getresuid, gettid, getuid,
    set_tid_address, setfsgid, setfsuid, setgid, setgroups, setregid, setresgid, setresuid,
    setreuid, setuid,
};
use jobs::{getpgid, getpgrp, getsid, setpgid, setsid};
use limits::{getrlimit, prlimit64, setrlimit};
use prctl::{personality, prctl};
use random::getrandom;
use reboot::reboot;
pub use system::{host_name, release, set_host_name, version};
use system::{setdomainname, sethostname, sysinfo, uname};
use unshare::unshare;

use super::exit::{exit, exit_group};
use super::fork::{clone, clone3, fork, vfork};
use super::limits::Limit;
use super::pidfd::pidfd_open;
use super::rusage::{Layout, getrusage, times};
use super::wait::{wait4, waitid};
use crate::memory::user::UserPtr;
use crate::signal::info::INFO_SIZE;
use crate::syscall;
use crate::syscall::Syscall;

/// The rows.
pub const SYSCALLS: &[Syscall] = &[
    syscall!(39, getpid()),
    syscall!(56, clone(flags: u64, stack: u64, parent_tid: u64, child_tid: u64, thread_pointer: u64)),
    syscall!(57, fork()),
    syscall!(58, vfork()),
    syscall!(60, exit(status: i32)),
    syscall!(61, wait4(pid: i32, status: UserPtr<i32>, options: u32, usage: UserPtr<Layout>)),
    syscall!(63, uname(names: UserPtr<[u8; system::UTSNAME_SIZE]>)),
    syscall!(97, getrlimit(resource: u32, limit: UserPtr<Limit>)),
    syscall!(98, getrusage(who: i32, usage: UserPtr<Layout>)),
    syscall!(99, sysinfo(info: UserPtr<[u8; system::SYSINFO_SIZE]>)),
    syscall!(100, times(buffer: UserPtr<[i64; 4]>)),
    syscall!(102, getuid()),
    syscall!(104, getgid()),
    syscall!(105, setuid(user: u32)),
    syscall!(106, setgid(group: u32)),
    syscall!(107, geteuid()),
    syscall!(108, getegid()),
    syscall!(109, setpgid(pid: i32, group: i32)),
    syscall!(110, getppid()),
    syscall!(111, getpgrp()),
    syscall!(112, setsid()),
    syscall!(113, setreuid(real: u32, effective: u32)),
    syscall!(114, setregid(real: u32, effective: u32)),
    syscall!(115, getgroups(size: i32, list: UserPtr<u32>)),
    syscall!(116, setgroups(size: i32, list: UserPtr<u32>)),
    syscall!(117, setresuid(real: u32, effective: u32, saved: u32)),
    syscall!(118, getresuid(real: UserPtr<u32>, effective: UserPtr<u32>, saved: UserPtr<u32>)),
    syscall!(119, setresgid(real: u32, effective: u32, saved: u32)),
    syscall!(120, getresgid(real: UserPtr<u32>, effective: UserPtr<u32>, saved: UserPtr<u32>)),
    syscall!(121, getpgid(pid: i32)),
    syscall!(122, setfsuid(user: u32)),
    syscall!(123, setfsgid(group: u32)),
    syscall!(124, getsid(pid: i32)),
    syscall!(125, capget(header: UserPtr<[u32; 2]>, data: UserPtr<[u32; 3]>)),
    syscall!(126, capset(header: UserPtr<[u32; 2]>, data: UserPtr<[u32; 3]>)),
    syscall!(135, personality(persona: u32)),
    syscall!(157, prctl(option: u32, argument: u64, third: u64, fourth: u64, fifth: u64)),
    syscall!(158, arch_prctl(code: u32, address: u64)),
    syscall!(160, setrlimit(resource: u32, limit: UserPtr<Limit>)),
    syscall!(169, reboot(magic: u32, magic2: u32, command: u32, argument: u64)),
    syscall!(170, sethostname(name: UserAddr, length: i32)),
    syscall!(171, setdomainname(name: UserAddr, length: i32)),
    syscall!(186, gettid()),
    syscall!(218, set_tid_address(address: u64)),
    syscall!(231, exit_group(status: i32)),
    syscall!(247, waitid(kind: u32, id: i32, info: UserPtr<[u8; INFO_SIZE]>, options: u32, usage: UserPtr<Layout>)),
    syscall!(272, unshare(flags: u64)),
    syscall!(302, prlimit64(pid: i32, resource: u32, new: UserPtr<Limit>, old: UserPtr<Limit>)),
    syscall!(318, getrandom(buffer: UserAddr, length: usize, flags: u32)),
    syscall!(434, pidfd_open(pid: i32, flags: u32)),
    syscall!(435, clone3(arguments: UserAddr, size: usize)),
];
