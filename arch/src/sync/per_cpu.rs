//! One value for every CPU, each on cache lines of its own.

use alloc::boxed::Box;

use crossbeam_utils::CachePadded;

use crate::cpu::CpuId;

/// A value per CPU. Any CPU may read any value, so `T` brings its own synchronisation.
#[derive(Debug)]
pub struct PerCpu<T>(Box<[CachePadded<T>]>);

impl<T> PerCpu<T> {
    /// A value for each of CPUs `0 .. count`, made by `make`.
    pub fn new(count: usize, mut make: impl FnMut(CpuId) -> T) -> Self {
        Self((0..count).map(|i| CachePadded::new(make(CpuId::new(i)))).collect())
    }

    /// The value of `cpu`.
    ///
    /// # Panics
    /// When `cpu` is not among the CPUs that this was made for.
    #[must_use]
    pub fn get(&self, cpu: CpuId) -> &T {
        &self.0[cpu.index()]
    }

    /// The value of the CPU that this runs on.
    ///
    /// Unless preemption is off, the thread may have moved on by the time the value is used; `T`'s own
    /// synchronisation keeps that correct, merely less local.
    #[must_use]
    pub fn this(&self) -> &T {
        self.get(crate::current_cpu())
    }

    /// All values, in CPU order.
    pub fn iter(&self) -> impl Iterator<Item = (CpuId, &T)> {
        self.0.iter().enumerate().map(|(i, value)| (CpuId::new(i), &**value))
    }
}
