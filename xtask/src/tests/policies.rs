//! Another scheduling policy every 10 ms while processes come and go, for as long as one likes: `make policy-storm`.
//!
//! The case of the guest suite that does so briefly, with the length of the torture cases. If a task were lost, its parent would
//! wait for ever, and the guest would hang.

use std::time::Duration;

use super::counts::Counts;
use super::guest;
use crate::options::MachineOptions;
use crate::qemu::Boot;

/// The case.
const CASE: &str = "scheduling::policy_changes_under_a_fork_storm";

/// Lets it blow for so many seconds of the guest.
///
/// # Errors
/// If QEMU does not start.
pub fn storm(machine: &MachineOptions, boot: &Boot, seconds: u64) -> anyhow::Result<Counts> {
    let machine = machine.with_init(&format!("{} --torture {seconds} {CASE}", guest::SUITE));
    let boot = boot.for_machine(&machine);
    let name = format!("policy storm of {seconds} seconds on {} processors", machine.smp.0);
    guest::quiet_suite_on(&machine, &boot, &name, Duration::from_secs(seconds))
}
