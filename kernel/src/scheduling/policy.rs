//! The fair class's policy by name: chosen at boot, changed while everything runs, and what it counts.

use arch::cpu::CpuId;
use arch::sync::atomic::{AtomicBool, Ordering};
use arch::{clock, preempt};
use sched::policy::{self, POLICIES, PolicyKind, broken};
use sched::{Replaced, Resched};

use super::cpus::scheduler;
use super::preemption::carry_out;
use crate::errno::{Errno, Result};
use crate::trace::{self, decisions};

/// The broken policy may be chosen (`sched_test` on the command line).
static TESTING: AtomicBool = AtomicBool::new(false);

/// Offers policies that are there for tests only.
pub fn offer_test_policies() {
    TESTING.store(true, Ordering::Relaxed);
}

/// The policies that may be chosen, in the order of the table.
pub fn policies() -> impl Iterator<Item = &'static PolicyKind> {
    let for_tests = TESTING.load(Ordering::Relaxed).then_some(&broken::KIND);
    POLICIES.iter().chain(for_tests)
}

/// The policy called `name`, if it may be chosen.
pub(super) fn find(name: &str) -> Option<&'static PolicyKind> {
    policies().find(|kind| kind.name == name)
}

/// The default.
pub(super) fn default() -> &'static PolicyKind {
    &policy::POLICIES[0]
}

/// The one with the least in it that could be wrong.
pub(super) fn simplest() -> &'static PolicyKind {
    &policy::round_robin::KIND
}

/// Makes the policy called `name` that of the fair class, with effect on every task at once.
///
/// # Errors
/// `EINVAL` for a name that no policy has, `ENOMEM`.
pub fn set_policy(name: &str) -> Result<()> {
    replace(find(name).ok_or(Errno::EINVAL)?)
}

/// Replaces the policy by `kind`.
pub(super) fn replace(kind: &'static PolicyKind) -> Result<()> {
    preempt::disable();
    let replaced = scheduler().replace_policy(decisions::recorded(kind), clock::now());
    let outcome = replaced.map(tell).map_err(|_| Errno::ENOMEM);
    if outcome.is_ok() {
        trace::record_policy(kind.name);
    }
    preempt::enable();
    outcome
}

/// Has the CPUs call the scheduler. Preemption is off.
fn tell(Replaced(cpus): Replaced) {
    let here = arch::current_cpu();
    for cpu in cpus.iter() {
        carry_out(if cpu == here { Resched::Here } else { Resched::Cpu(cpu) });
    }
}

/// Calls `visit` with each online CPU and the values of its instance's counters, in the order of the policy's row.
pub fn each_counters(mut visit: impl FnMut(CpuId, &[u64]) -> Result<()>) -> Result<()> {
    let count = scheduler().policy().counters.len();
    for cpu in scheduler().online().iter() {
        let values = scheduler().policy_counters(cpu);
        visit(cpu, &values[..count.min(values.len())])?;
    }
    Ok(())
}
