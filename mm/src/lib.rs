//! Skein's mm crate.
#![cfg_attr(target_os = "none", no_std)]
