//! The kernel's binary: the machine's entry into the library, its allocator, and its panic handler.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is a kernel: boot it with `make run`.");
}

#[cfg(target_os = "none")]
mod machine {
    use core::panic::PanicInfo;

    use arch::boot::BootInfo;
    use kernel::memory::heap::KernelAllocator;

    #[global_allocator]
    static ALLOCATOR: KernelAllocator = KernelAllocator;

    /// Called by the machine layer's front ends, once, on the boot CPU.
    // SAFETY: no other symbol of the image has this name; the machine layer declares it with this signature.
    #[unsafe(no_mangle)]
    extern "Rust" fn kernel_main(boot: &'static BootInfo) -> ! {
        // SAFETY: this is the only call, and `boot` is as the loader gave it.
        unsafe { kernel::boot::start(boot) }
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        kernel::log::die(info)
    }
}
