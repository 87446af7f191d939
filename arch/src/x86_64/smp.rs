//! Bring-up of the other processors, one by one, by INIT and start-up interrupts (Intel SDM vol. 3A, 9.4).
//!
//! The start-up page in low memory holds the code of `trampoline` and a mailbox. A processor takes its stack out of the
//! mailbox by an atomic exchange; the boot processor takes it back the same way when it has waited long enough. So a
//! late processor finds no stack and halts, and cannot get in the way of the next.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use spin::Once;

use super::percpu::{self, CpuArea};
use super::stacks::KernelStack;
use super::trampoline::Trampoline;
use super::{apic, boot, clock, control, descriptors, memory, report, tsc};
use crate::cpu::{AtomicCpuMask, CpuId, CpuMask, MAX_CPUS};
use crate::error::OutOfMemory;
use crate::time::Nanos;

/// How long a processor may take to fetch its stack. Generous, for emulators with many CPUs on few.
const ANSWER_TIMEOUT: Nanos = Nanos::from_millis(2000);
/// How long it may take from there until it is set up.
const SETUP_TIMEOUT: Nanos = Nanos::from_millis(20_000);

/// APIC ids of the processors that are not the boot processor.
static OTHERS: Once<Box<[u32]>> = Once::new();
/// The most CPUs to use.
static LIMIT: AtomicUsize = AtomicUsize::new(MAX_CPUS);
static ONLINE: AtomicCpuMask = AtomicCpuMask::new();
/// What each CPU runs once it is set up.
static ENTRY: Once<fn(CpuId) -> !> = Once::new();

/// How far the processor that is coming up has got.
static PROGRESS: AtomicU32 = AtomicU32::new(WAITING);
const WAITING: u32 = 0;
/// It waits to compare its time-stamp counter.
const COMPARING: u32 = 1;
const READY: u32 = 2;
/// Its control registers differ from the boot processor's.
const DISAGREES: u32 = 3;

/// Records which processors there are.
pub(super) fn init(processors: &[u32]) {
    let here = apic::local_id();
    let usable = |id: &u32| *id != here && (apic::is_x2apic() || *id < 0xff);
    for id in processors.iter().filter(|id| **id != here && !usable(id)) {
        report!("CPU with APIC id {id}: not reachable without x2APIC, left out");
    }
    OTHERS.call_once(|| processors.iter().copied().filter(usable).collect());
    ONLINE.insert(CpuId::BOOT, Ordering::Release);
}

/// Uses no more than `count` CPUs, the boot processor included. Takes effect if called before [`start`].
pub fn limit(count: usize) {
    LIMIT.store(count.clamp(1, MAX_CPUS), Ordering::Relaxed);
}

/// How many CPUs there may be: those that firmware lists, within the limit. Those that come up have lower numbers.
pub(super) fn possible() -> usize {
    let listed = 1 + OTHERS.get().map_or(0, |others| others.len());
    listed.min(LIMIT.load(Ordering::Relaxed))
}

/// The CPUs that run.
pub(super) fn online() -> CpuMask {
    ONLINE.load(Ordering::Acquire)
}

/// Starts every other processor, one by one. Each runs `entry` on an idle stack of its own, with interrupts off and
/// everything per-CPU set up. Returns the CPUs that are online, this one included.
///
/// A processor that does not answer, or that differs from the boot processor in what the kernel relies on, is named in
/// the log and left out.
#[must_use]
pub fn start(entry: fn(CpuId) -> !) -> CpuMask {
    ENTRY.call_once(|| entry);
    let others = OTHERS.get().map_or(&[][..], |others| others);
    let wanted = possible() - 1;
    if wanted == 0 {
        return online();
    }
    let Some((page, root)) = boot::trampoline() else {
        report!("CPUs: no free low memory for start-up code, using one");
        return online();
    };
    let trampoline = Trampoline::install(page, root, enter as *const () as usize);
    let mut next = 1;
    for &id in others {
        if next > wanted {
            break;
        }
        match bring_up(CpuId::new(next), id, &trampoline) {
            Ok(()) => next += 1,
            Err(reason) => report!("CPU with APIC id {id}: {reason}, left out"),
        }
    }
    online()
}

/// Everything that a processor needs before its first instruction of Rust code.
fn prepare(cpu: CpuId) -> Result<(*mut CpuArea, KernelStack), OutOfMemory> {
    let stack = KernelStack::new()?;
    let ists = [KernelStack::new()?, KernelStack::new()?, KernelStack::new()?];
    let mut area = Box::new(CpuArea::new());
    area.cpu = cpu.index() as u32;
    area.stack_bottom = stack.bottom();
    area.stack_top = stack.top();
    for (slot, ist) in ists.into_iter().enumerate() {
        area.ist_bottoms[slot].store(ist.bottom(), Ordering::Relaxed);
        core::mem::forget(ist);
    }
    Ok((Box::into_raw(area), stack))
}

fn bring_up(cpu: CpuId, id: u32, trampoline: &Trampoline) -> Result<(), &'static str> {
    let (area, stack) = prepare(cpu).map_err(|OutOfMemory| "no memory for its stacks")?;
    PROGRESS.store(WAITING, Ordering::Relaxed);
    tsc::prepare_comparison();
    trampoline.offer(area, stack.top());
    apic::send(id, apic::Message::Init);
    clock::spin_for(Nanos::from_millis(10));
    apic::send(id, apic::Message::StartUp(trampoline.vector()));
    if !wait(Nanos::from_micros(200), || trampoline.was_taken()) {
        apic::send(id, apic::Message::StartUp(trampoline.vector()));
    }
    if !wait(ANSWER_TIMEOUT, || trampoline.was_taken()) && trampoline.take_back() {
        // Back to waiting for a start-up interrupt, should it have got somewhere else.
        apic::send(id, apic::Message::Init);
        // SAFETY: made by `Box::into_raw` in `prepare`; the processor cannot get at it any more.
        drop(unsafe { Box::from_raw(area) });
        return Err("does not answer");
    }
    // The stack is the processor's from here on.
    core::mem::forget(stack);
    let progress = || PROGRESS.load(Ordering::Acquire);
    if !wait(SETUP_TIMEOUT, || progress() != WAITING) {
        return Err("got stuck in its set-up");
    }
    if progress() == DISAGREES {
        return Err("its control registers differ from the boot processor's");
    }
    if !tsc::compare() {
        clock::abandon_tsc("the CPUs' counters differ");
    }
    while progress() != READY {
        core::hint::spin_loop();
    }
    Ok(())
}

/// Waits at most `span` for `condition`, and says whether it came true.
fn wait(span: Nanos, condition: impl Fn() -> bool) -> bool {
    let start = clock::now();
    while !condition() {
        if clock::now().saturating_sub(start) > span {
            return condition();
        }
        core::hint::spin_loop();
    }
    true
}

/// The first Rust code of another processor: on its idle stack, under the start-up root, interrupts off.
extern "C" fn enter(area: *mut CpuArea) -> ! {
    // SAFETY: the kernel's root has the same kernel half as the start-up root.
    unsafe { control::load_first_root(memory::kernel_root()) };
    // SAFETY: `prepare` made the area for this processor, and `offer` passed it to this one only.
    let tops = unsafe {
        let bottoms = &(*area).ist_bottoms;
        core::array::from_fn(|slot| bottoms[slot].load(Ordering::Relaxed) + KernelStack::SIZE)
    };
    // SAFETY: as above; the stacks are kernel stacks that were set aside for this.
    unsafe { descriptors::load(area, tops) };
    control::init_other();
    if let Err((here, boot)) = control::check_agreement() {
        report!("{:?}: has {here:x?}, the boot processor {boot:x?}", percpu::current_cpu());
        PROGRESS.store(DISAGREES, Ordering::Release);
        super::power::halt();
    }
    let cpu = percpu::current_cpu();
    apic::init_local(cpu);
    PROGRESS.store(COMPARING, Ordering::Release);
    // The boot processor draws the conclusion.
    let _ = tsc::compare();
    ONLINE.insert(cpu, Ordering::Release);
    PROGRESS.store(READY, Ordering::Release);
    match ENTRY.get() {
        Some(entry) => entry(cpu),
        None => super::power::halt(),
    }
}
