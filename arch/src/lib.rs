//! Skein's arch crate.
#![cfg_attr(target_os = "none", no_std)]
