//! Skein's kernel crate.
#![cfg_attr(target_os = "none", no_std)]
