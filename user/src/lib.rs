//! Guest programs of Skein: ordinary Linux programs, static and linked against musl.
//!
//! Nothing here knows the kernel from within. Every program runs unchanged on Linux, and that is how the
//! [`suite`] is judged first.
//!
//! - [`mod@bench`]: the benchmark program, whose figures are compared between kernels.
//! - [`first`]: being the first process, for programs that are none by trade.
//! - [`init`]: the first process: mounts, console shell, orphans, orderly power-off.
//! - [`random`]: random numbers that repeat.
//! - [`shell`]: the small shell for root file systems without busybox.
//! - [`storm`]: the signal storm, a stress test that keeps books.
//! - [`suite`]: the guest test suite, with a harness of its own.
//! - [`torture`]: storms of memory operations by processes and threads, for as long as one likes.
//! - [`lab`]: loads as processes, to compare scheduling policies.
//! - [`schedtop`]: a live view of the scheduler.
//! - [`tracing`]: the kernel's recorder from a program's side.
//! - [`usage`]: help texts and arguments.
//! - [`mod@sys`]: system calls by number, without a C library in between.

pub mod bench;
pub mod first;
pub mod init;
pub mod lab;
pub mod pthread;
pub mod random;
pub mod schedtop;
pub mod shell;
pub mod storm;
pub mod suite;
pub mod sys;
pub mod torture;
pub mod tracing;
pub mod usage;
