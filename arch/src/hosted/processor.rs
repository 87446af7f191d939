//! The parts of the machine that have no counterpart in a host test, and those that are trivial there.
//!
//! Running user code, switching stacks and stopping the machine make no sense in a test: these panic with a
//! sentence. The clock is manual: it moves when a test moves it.

use crate::context::{Exit, UserContext};
use crate::cpu::{CpuId, CpuMask, MAX_CPUS};
use crate::events::{Handlers, InterruptCount};
use crate::features::Features;

/// Registers nothing: a test calls what it tests.
pub fn init(_boot: &crate::boot::BootInfo, _handlers: &'static Handlers) {}

/// How many CPUs can be simulated.
#[must_use]
pub fn cpu_count() -> usize {
    MAX_CPUS
}

/// The CPU that the test started on.
#[must_use]
pub fn online_cpus() -> CpuMask {
    CpuMask::only(CpuId::BOOT)
}

/// What ended user mode: never made, for a host test has no user mode.
#[derive(Clone, Copy)]
#[must_use]
pub struct RawExit(Exit);

impl RawExit {
    /// What happened.
    pub fn decode(self) -> Exit {
        self.0
    }
}

/// # Panics
/// Always: a host test has no user mode.
pub fn enter_user(_context: &mut UserContext) -> RawExit {
    panic!("the hosted machine has no user mode");
}

/// # Panics
/// Always: interrupts are not delivered by vector here.
pub fn dispatch_interrupt(_vector: u8) {
    panic!("the hosted machine has no interrupt vectors");
}

/// No interrupts are counted here.
#[must_use]
pub fn interrupt_counts() -> alloc::vec::Vec<InterruptCount> {
    alloc::vec::Vec::new()
}

/// A processor without any feature.
#[must_use]
pub fn features() -> &'static Features {
    static FEATURES: spin::Once<Features> = spin::Once::new();
    FEATURES.call_once(|| Features {
        vendor: "HostedMachine".into(),
        brand: "Hosted machine".into(),
        family: 0,
        model: 0,
        stepping: 0,
        flags: alloc::vec::Vec::new(),
        cache_kib: 0,
        clflush_bytes: 64,
        physical_bits: 48,
        virtual_bits: 48,
        tsc_khz: 0,
        hwcap: 0,
        hwcap2: 0,
        minimum_signal_stack: 2048,
    })
}

pub mod smp {
    //! Bring-up of other CPUs: a test starts host threads instead.
    use crate::cpu::{CpuId, CpuMask};

    /// Limits nothing: a test plays as many CPUs as it likes.
    pub fn limit(_count: usize) {}

    /// Starts nothing.
    #[must_use]
    pub fn start(_entry: fn(CpuId) -> !) -> CpuMask {
        super::online_cpus()
    }
}

pub mod clock {
    //! The manual clock.
    use core::sync::atomic::{AtomicU64, Ordering};

    use crate::time::Nanos;

    static NOW: AtomicU64 = AtomicU64::new(0);

    /// What the clock was set to last.
    #[must_use]
    pub fn now() -> Nanos {
        // Relaxed: a lone counter that orders nothing.
        Nanos(NOW.load(Ordering::Relaxed))
    }

    /// The clock, which is its own counter; never 0, so that it can tell a time from none.
    #[must_use]
    pub fn ticks() -> u64 {
        now().0.max(1)
    }

    /// The clock, which is its own counter.
    #[must_use]
    pub fn stamp() -> u64 {
        now().0
    }

    /// The clock, which is its own counter.
    #[must_use]
    pub fn stamp_in_order() -> u64 {
        now().0
    }

    /// The time at which a [`stamp`] was taken.
    #[must_use]
    pub fn time_of(stamp: u64) -> Nanos {
        Nanos(stamp)
    }

    /// How long `ticks` last.
    #[must_use]
    pub fn span_of(ticks: u64) -> Nanos {
        Nanos(ticks)
    }

    /// The counter's value at the clock's zero.
    #[must_use]
    pub fn first_ticks() -> u64 {
        0
    }

    /// Moves the clock forward.
    pub fn advance(span: Nanos) {
        NOW.fetch_add(span.0, Ordering::Relaxed);
    }

    /// Accepts a deadline that nothing will act on.
    pub fn set_timer(_deadline: Option<Nanos>) {}

    /// The epoch: tests do not depend on the date.
    #[must_use]
    pub fn realtime_at_boot() -> Nanos {
        Nanos::ZERO
    }

    /// The clock's name.
    #[must_use]
    pub fn source_name() -> &'static str {
        "manual"
    }

    /// The clock counts nanoseconds.
    #[must_use]
    pub fn tsc_frequency() -> u64 {
        1_000_000_000
    }
}

pub mod thread {
    //! Kernel stacks and switching: the types exist so that the kernel library compiles.
    use core::ptr;
    use core::sync::atomic::{AtomicPtr, Ordering};

    use crate::context::StackUsage;
    use crate::cpu::MAX_CPUS;
    use crate::error::OutOfMemory;

    static CURRENT: [AtomicPtr<()>; MAX_CPUS] =
        [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

    /// What [`set_current`] noted last on this CPU; null before the first time.
    #[must_use]
    pub fn current() -> *const () {
        CURRENT[crate::current_cpu().index()].load(Ordering::Relaxed)
    }

    /// Notes the thread that this CPU runs from now on, for [`current`].
    pub fn set_current(thread: *const ()) {
        CURRENT[crate::current_cpu().index()].store(thread.cast_mut(), Ordering::Relaxed);
    }

    /// Null: tests share their CPUs' numbers, so there is nothing that is one CPU's own.
    #[must_use]
    pub fn own_part() -> *const () {
        core::ptr::null()
    }

    /// Notes nothing.
    pub fn set_own_part(_part: *const ()) {}

    /// Stands for a kernel stack.
    #[derive(Debug)]
    pub struct KernelStack(());

    impl KernelStack {
        /// Size in bytes.
        pub const SIZE: usize = 32 * 1024;

        /// A stack that nothing runs on.
        ///
        /// # Errors
        /// Never here.
        pub fn new() -> Result<Self, OutOfMemory> {
            Ok(Self(()))
        }

        /// How many there are: they take no memory here.
        #[must_use]
        pub fn usage() -> StackUsage {
            StackUsage::default()
        }

        /// Its lowest usable address: nowhere.
        #[must_use]
        pub fn bottom(&self) -> usize {
            0
        }

        /// The address just past it.
        #[must_use]
        pub fn top(&self) -> usize {
            Self::SIZE
        }
    }

    /// Stands for a suspended kernel context.
    #[derive(Debug)]
    pub struct KernelContext(());

    impl KernelContext {
        /// A context that is never switched to.
        #[must_use]
        pub fn new(
            _stack: &KernelStack,
            _entry: extern "C" fn(usize) -> !,
            _argument: usize,
        ) -> Self {
            Self(())
        }

        /// The context of what runs already, filled in when it is switched away from.
        #[must_use]
        pub const fn running() -> Self {
            Self(())
        }
    }

    /// # Panics
    /// Always: host threads are switched by the host.
    ///
    /// # Safety
    /// None to observe: it does not return.
    pub unsafe fn switch(_previous: *mut KernelContext, _next: *const KernelContext) {
        panic!("the hosted machine does not switch stacks");
    }

    /// The bases of no thread: host threads keep their own.
    #[must_use]
    pub fn segment_bases() -> crate::context::SegmentBases {
        crate::context::SegmentBases::default()
    }

    /// Changes nothing.
    pub fn set_segment_bases(_bases: crate::context::SegmentBases) {}

    /// Nothing enters the kernel here.
    pub fn set_kernel_stack(_stack: &KernelStack) {}
}

pub mod fpu {
    //! Extended state: a plain FXSAVE-sized image that no processor loads.
    use crate::addr::UserAddr;
    use crate::error::{OutOfMemory, UserFault};

    const BYTES: usize = 512;
    /// What debuggers expect in the bitmap of components: x87 and SSE.
    pub const ALWAYS_PRESENT: u64 = 3;

    /// Size and components of an image.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Layout {
        /// Bytes of an image.
        pub size: usize,
        /// The enabled components (XCR0).
        pub features: u64,
    }

    /// The images' layout.
    #[must_use]
    pub fn layout() -> Layout {
        Layout { size: BYTES, features: 3 }
    }

    /// The extended registers of one thread.
    #[derive(Clone, Debug)]
    pub struct ExtendedState([u8; BYTES]);

    impl ExtendedState {
        /// Fresh registers.
        ///
        /// # Errors
        /// Never here.
        pub fn new() -> Result<Self, OutOfMemory> {
            Ok(Self([0; BYTES]))
        }

        /// Fresh registers: none are running.
        ///
        /// # Errors
        /// Never here.
        pub fn of_running() -> Result<Self, OutOfMemory> {
            Self::new()
        }

        /// Leaves the image as it is: no registers to read.
        pub fn save(&mut self) {}

        /// Leaves the image as it is: no registers to read.
        pub fn save_for_switch(&mut self) {}

        /// Leaves the host's registers alone.
        pub fn restore(&self) {}

        /// The image.
        #[must_use]
        pub fn bytes(&self) -> &[u8] {
            &self.0
        }
    }

    /// # Errors
    /// Always: the host's registers are not a guest's.
    pub fn save_to_user(_image: UserAddr) -> Result<(), UserFault> {
        Err(UserFault)
    }

    /// # Errors
    /// Always: the host's registers are not a guest's.
    pub fn load_from_user(_image: UserAddr, _features: u64) -> Result<(), UserFault> {
        Err(UserFault)
    }

    /// # Errors
    /// Always: the host's registers are not a guest's.
    pub fn load_legacy_from_user(_image: UserAddr) -> Result<(), UserFault> {
        Err(UserFault)
    }

    /// Leaves the host's registers alone.
    pub fn reset() {}
}

pub mod serial {
    //! The serial port: output goes to the test's standard error, input is empty.

    /// Writes to standard error.
    pub fn write_polled(bytes: &[u8]) {
        std::eprint!("{}", alloc::string::String::from_utf8_lossy(bytes));
    }

    /// The ISA interrupt line of the port.
    pub const INTERRUPT_LINE: u8 = 4;

    /// There is a port.
    #[must_use]
    pub fn is_present() -> bool {
        true
    }

    /// Nobody types.
    #[must_use]
    pub fn try_read() -> Option<u8> {
        None
    }

    /// Writes to standard error.
    #[must_use]
    pub fn try_write(byte: u8) -> bool {
        write_polled(&[byte]);
        true
    }

    /// There are no interrupts to choose.
    pub fn set_interrupts(_receive: bool, _transmit: bool) {}
}

pub mod power {
    //! Stopping the machine ends the test in a panic.

    /// # Panics
    /// Always.
    pub fn power_off() -> ! {
        panic!("power-off");
    }

    /// # Panics
    /// Always.
    pub fn reboot() -> ! {
        panic!("reboot");
    }

    /// # Panics
    /// Always.
    pub fn exit_emulator(code: u8) -> ! {
        panic!("exit with code {code}");
    }

    /// # Panics
    /// Always.
    pub fn halt() -> ! {
        panic!("halt");
    }
}

pub mod random {
    //! A fixed seed: tests repeat.

    /// The same 32 bytes each time.
    #[must_use]
    pub fn entropy() -> [u8; 32] {
        [0x5a; 32]
    }
}

pub mod backtrace {
    //! Host tests print the host's backtraces.

    /// Reports no frames.
    pub fn frames(_visit: impl FnMut(usize)) {}
}
