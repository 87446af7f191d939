//! Character devices.
