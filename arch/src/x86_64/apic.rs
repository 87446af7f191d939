//! APIC.
pub(super) struct LocalUnit;
pub(super) fn dispatch(_vector: u8) {}
