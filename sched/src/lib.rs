//! Skein's sched crate.
#![cfg_attr(target_os = "none", no_std)]
