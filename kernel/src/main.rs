//! The kernel's binary: brings the machine up and reports what it found.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is a kernel: boot it with `make run`.");
}

#[cfg(target_os = "none")]
mod machine {
    use core::alloc::{GlobalAlloc, Layout};
    use core::fmt::{self, Write};
    use core::sync::atomic::{AtomicUsize, Ordering};

    use arch::boot::BootInfo;

    /// A heap that never frees, for bring-up.
    struct Bump(AtomicUsize);

    const HEAP_BYTES: usize = 8 << 20;
    #[repr(align(4096))]
    struct Heap(core::cell::UnsafeCell<[u8; HEAP_BYTES]>);
    // SAFETY: only the allocator below hands out parts of it, each once.
    unsafe impl Sync for Heap {}
    static HEAP: Heap = Heap(core::cell::UnsafeCell::new([0; HEAP_BYTES]));

    // SAFETY: every allocation is a part of the heap of its own.
    unsafe impl GlobalAlloc for Bump {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let base = HEAP.0.get() as usize;
            let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let start = (base + next).next_multiple_of(layout.align()) - base;
                (start + layout.size() <= HEAP_BYTES).then_some(start + layout.size())
            });
            match taken {
                Ok(next) => ((base + next).next_multiple_of(layout.align())) as *mut u8,
                Err(_) => core::ptr::null_mut(),
            }
        }
        unsafe fn dealloc(&self, _pointer: *mut u8, _layout: Layout) {}
    }

    #[global_allocator]
    static ALLOCATOR: Bump = Bump(AtomicUsize::new(0));

    struct Console;

    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for line in text.split_inclusive('\n') {
                arch::serial::write_polled(line.trim_end_matches('\n').as_bytes());
                if line.ends_with('\n') {
                    arch::serial::write_polled(b"\r\n");
                }
            }
            Ok(())
        }
    }

    #[unsafe(no_mangle)]
    extern "Rust" fn kernel_main(boot: &'static BootInfo) -> ! {
        let _ = writeln!(Console, "Skein, started by {}: {}", boot.boot_loader, boot.command_line);
        for region in boot.memory {
            let _ = writeln!(
                Console,
                "{:#014x}..{:#014x} {:?}",
                region.start,
                region.end(),
                region.kind
            );
        }
        let _ = writeln!(Console, "{:?} {:?} {:?}", boot.initramfs, boot.rsdp, boot.kernel);
        arch::power::exit_emulator(0x10);
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        let _ = writeln!(Console, "{info}");
        arch::backtrace::frames(|address| {
            let _ = writeln!(Console, "  {address:#x}");
        });
        arch::power::exit_emulator(0x70);
    }
}
