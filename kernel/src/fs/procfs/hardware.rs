//! `/proc/cpuinfo`, `/proc/interrupts`, `/proc/devices`; sets of CPUs as text.

use alloc::collections::BTreeMap;

use arch::cpu::{CpuId, CpuMask};

use super::super::device;
use super::super::pseudo::Output;
use super::subject::System;
use crate::errno::Result;

/// A paragraph for each CPU.
pub fn processors(_: &System, out: &mut Output) -> Result<()> {
    let features = arch::features();
    let count = arch::cpu_count();
    for cpu in arch::online_cpus().iter() {
        writeln!(out, "processor\t: {cpu}")?;
        writeln!(out, "vendor_id\t: {}", features.vendor)?;
        writeln!(out, "cpu family\t: {}", features.family)?;
        writeln!(out, "model\t\t: {}", features.model)?;
        writeln!(out, "model name\t: {}", features.brand)?;
        writeln!(out, "stepping\t: {}", features.stepping)?;
        let megahertz = features.tsc_khz / 1000;
        writeln!(out, "cpu MHz\t\t: {megahertz}.{:03}", features.tsc_khz % 1000)?;
        writeln!(out, "cache size\t: {} KB", features.cache_kib)?;
        writeln!(out, "physical id\t: 0\nsiblings\t: {count}")?;
        writeln!(out, "core id\t\t: {cpu}\ncpu cores\t: {count}")?;
        writeln!(out, "apicid\t\t: {cpu}\ninitial apicid\t: {cpu}")?;
        writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes")?;
        write!(out, "flags\t\t:")?;
        for flag in &features.flags {
            write!(out, " {flag}")?;
        }
        // Two "bogus" operations a cycle, as Linux computes it from the time-stamp counter.
        let bogomips = features.tsc_khz / 5;
        writeln!(out, "\nbugs\t\t:\nbogomips\t: {}.{:02}", bogomips / 100, bogomips % 100)?;
        writeln!(out, "clflush size\t: {}", features.clflush_bytes)?;
        writeln!(out, "cache_alignment\t: {}", features.clflush_bytes)?;
        let (physical, linear) = (features.physical_bits, features.virtual_bits);
        writeln!(out, "address sizes\t: {physical} bits physical, {linear} bits virtual")?;
        writeln!(out, "power management:\n")?;
    }
    Ok(())
}

/// A row for each interrupt, a column for each CPU.
pub fn interrupts(_: &System, out: &mut Output) -> Result<()> {
    write!(out, "{:11}", "")?;
    for cpu in arch::online_cpus().iter() {
        write!(out, "CPU{:<8}", cpu.index())?;
    }
    out.bytes(b"\n")?;
    for row in arch::interrupt_counts() {
        write!(out, "{:>3}: ", row.label)?;
        for count in &row.counts {
            write!(out, "{count:>10} ")?;
        }
        writeln!(out, "  {}", row.name)?;
    }
    Ok(())
}

/// The drivers by major number.
pub fn devices(_: &System, out: &mut Output) -> Result<()> {
    writeln!(out, "Character devices:")?;
    let drivers: BTreeMap<(u32, &str), ()> = device::registered()
        .iter()
        .map(|registration| ((registration.number.major, registration.driver), ()))
        .collect();
    for (major, driver) in drivers.keys() {
        writeln!(out, "{major:3} {driver}")?;
    }
    writeln!(out, "\nBlock devices:")
}

/// The set as groups of 32 bits in hexadecimal, highest first, of as many bits as there are CPUs.
pub fn write_mask(out: &mut Output, cpus: &CpuMask, count: usize) -> Result<()> {
    let groups = count.div_ceil(32).max(1);
    for group in (0..groups).rev() {
        let word = cpus.words()[group / 2] >> (group % 2 * 32) & 0xffff_ffff;
        let valid = (count - group * 32).min(32);
        let word = word & (u64::MAX >> (64 - valid));
        if group + 1 == groups {
            write!(out, "{word:0width$x}", width = valid.div_ceil(4))?;
        } else {
            write!(out, ",{word:08x}")?;
        }
    }
    Ok(())
}

/// The set as ranges: `0-3,8`.
pub fn write_list(out: &mut Output, cpus: &CpuMask, count: usize) -> Result<()> {
    let mut separator = "";
    let mut cpu = 0;
    while cpu < count {
        let first = cpu;
        while cpu < count && cpus.contains(CpuId::new(cpu)) {
            cpu += 1;
        }
        match cpu - first {
            0 => {}
            1 => write!(out, "{separator}{first}")?,
            _ => write!(out, "{separator}{first}-{}", cpu - 1)?,
        }
        if cpu > first {
            separator = ",";
        }
        cpu += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Output) -> Result<()>) -> alloc::string::String {
        let mut out = Output::new();
        write(&mut out).expect("memory");
        alloc::string::String::from_utf8(out.into_bytes()).expect("text")
    }

    #[test]
    fn sets_are_written_as_linux_writes_them() {
        let set = |cpus: &[usize]| cpus.iter().map(|cpu| CpuId::new(*cpu)).collect::<CpuMask>();
        assert_eq!(text(|out| write_list(out, &set(&[0, 1, 2, 3]), 4)), "0-3");
        assert_eq!(text(|out| write_list(out, &set(&[0, 2, 3, 9]), 12)), "0,2-3,9");
        assert_eq!(text(|out| write_mask(out, &set(&[0, 1, 2, 3]), 4)), "f");
        assert_eq!(text(|out| write_mask(out, &set(&[0, 33]), 40)), "02,00000001");
        assert_eq!(text(|out| write_mask(out, &CpuMask::ALL, 6)), "3f");
    }
}
