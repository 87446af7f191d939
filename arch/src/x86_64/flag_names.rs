//! Linux's names of CPUID feature bits, bit 0 first; empty where Linux shows none
//! (`arch/x86/include/asm/cpufeatures.h` defines what `/proc/cpuinfo` calls them).

/// Leaf 1, EDX.
#[rustfmt::skip]
pub(super) const BASIC_EDX: [&str; 32] = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov",
    "pat", "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe",
];

/// Leaf 80000001h, EDX: those that leaf 1 does not repeat.
#[rustfmt::skip]
pub(super) const EXTENDED_EDX: [&str; 32] = [
    "", "", "", "", "", "", "", "", "", "", "", "syscall", "", "", "", "", "", "", "", "mp", "nx", "", "mmxext", "",
    "", "fxsr_opt", "pdpe1gb", "rdtscp", "", "lm", "3dnowext", "3dnow",
];

/// Leaf 1, ECX.
#[rustfmt::skip]
pub(super) const BASIC_ECX: [&str; 32] = [
    "pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma", "cx16",
    "xtpr", "pdcm", "", "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", "tsc_deadline_timer", "aes",
    "xsave", "", "avx", "f16c", "rdrand", "hypervisor",
];

/// Leaf 80000001h, ECX.
#[rustfmt::skip]
pub(super) const EXTENDED_ECX: [&str; 32] = [
    "lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch", "osvw",
    "ibs", "xop", "skinit", "wdt", "", "lwp", "fma4", "tce", "", "nodeid_msr", "", "tbm", "topoext", "perfctr_core",
    "perfctr_nb", "", "bpext", "ptsc", "perfctr_llc", "mwaitx", "", "",
];

/// Leaf 7, EBX.
#[rustfmt::skip]
pub(super) const STRUCTURED_EBX: [&str; 32] = [
    "fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", "", "smep", "bmi2", "erms", "invpcid", "rtm", "cqm", "",
    "", "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", "", "clflushopt", "clwb", "intel_pt",
    "avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl",
];

/// Leaf 0Dh, subleaf 1, EAX.
#[rustfmt::skip]
pub(super) const XSAVE_EAX: [&str; 32] = [
    "xsaveopt", "xsavec", "xgetbv1", "xsaves", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "",
    "", "", "", "", "", "", "", "", "", "",
];

/// Leaf 7, ECX. Protection keys, shadow stacks and five-level paging stay off, so they are not shown.
#[rustfmt::skip]
pub(super) const STRUCTURED_ECX: [&str; 32] = [
    "", "avx512vbmi", "umip", "", "", "waitpkg", "avx512_vbmi2", "", "gfni", "vaes", "vpclmulqdq", "avx512_vnni",
    "avx512_bitalg", "tme", "avx512_vpopcntdq", "", "", "", "", "", "", "", "rdpid", "", "bus_lock_detect", "cldemote",
    "", "movdiri", "movdir64b", "enqcmd", "", "",
];

/// Leaf 7, EDX.
#[rustfmt::skip]
pub(super) const STRUCTURED_EDX: [&str; 32] = [
    "", "", "avx512_4vnniw", "avx512_4fmaps", "fsrm", "", "", "", "avx512_vp2intersect", "", "md_clear", "", "", "",
    "serialize", "", "tsxldtrk", "", "pconfig", "arch_lbr", "", "", "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8", "",
    "", "flush_l1d", "arch_capabilities", "", "",
];

/// Leaf 80000007h, EDX: constant_tsc and nonstop_tsc share a bit; Linux shows both.
#[rustfmt::skip]
pub(super) const POWER_EDX: [&str; 32] = [
    "", "", "", "", "", "", "", "", "constant_tsc nonstop_tsc", "", "", "", "", "", "", "", "", "", "", "", "", "", "",
    "", "", "", "", "", "", "", "", "",
];
