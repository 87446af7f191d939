//! Building a program's address space: segments, interpreter, heap, stack. Nothing of the caller is touched.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::{PAGE_SIZE, UserAddr};
use mm::object::MemoryObject;
use mm::space::{Layout, MapOptions, MapRequest, Placement, Source};
use mm::{AddressSpace, Limits, ObjectRange, Protection};

use super::elf::{self, Flaw, Permissions, Plan, Segment};
use super::privileges;
use super::program::{Invocation, Program};
use super::randomisation;
use super::script::HEAD_BYTES;
use super::stack::{self, Auxiliary};
use crate::errno::{Errno, Result};
use crate::fs::{self, File, MapAccess, Viewer, WalkFlags};
use crate::memory::{errno_of, memory};
use crate::random;
use crate::task::{Credentials, Image, Privileges, Resource, Thread};

const PAGE: u64 = PAGE_SIZE as u64;
/// How large the stack's area is at first; it grows by faults. Linux: the strings and 128 KiB.
const STACK_ROOM: u64 = 128 * 1024;

/// A program in memory, ready to run.
pub struct Loaded {
    /// Its memory.
    pub space: Arc<AddressSpace>,
    /// What `/proc` shows of it.
    pub image: Image,
    /// The first instruction: the interpreter's, if there is one.
    pub entry: u64,
    /// The initial stack pointer.
    pub stack_pointer: u64,
    /// Last component of the path, for the thread's name.
    pub name: Vec<u8>,
    /// Whom it acts for.
    pub credentials: Arc<Credentials>,
    /// Whether that is more than its caller did.
    pub privileges: Privileges,
}

/// What building needs again and again.
struct Builder {
    space: Arc<AddressSpace>,
    limits: Limits,
}

/// Builds the memory of `program` for `thread`, which goes on unharmed whatever happens here.
///
/// # Errors
/// See [`Flaw`].
pub fn build(
    thread: &Arc<Thread>,
    viewer: &Viewer,
    program: Program,
    invocation: &Invocation,
) -> core::result::Result<Loaded, Flaw> {
    let file = &program.executable.file;
    let plan = read_plan(file, &program.head, Errno::ENOEXEC)?;
    let interpreter = read_interpreter(thread, file, &plan, viewer)?;
    let (entropy, stack_offset) = randomisation::choose(thread);
    let layout = Layout::choose(entropy, thread.process().limit(Resource::Stack));
    let space =
        AddressSpace::new(memory(), layout).map_err(|error| Flaw::Refused(errno_of(error)))?;
    let builder = Builder { space, limits: thread.process().memory_limits() };

    let bias = builder.map_image(file, &plan, layout.image_base.as_u64())?;
    let image_end = plan.span().map_or(0, |(_, high)| high).wrapping_add(bias);
    let end = UserAddr::try_new(image_end).ok_or(Flaw::Fatal)?;
    builder.space.set_layout(layout.with_heap_after(end, entropy));
    let (base, entry) = match &interpreter {
        None => (0, plan.entry.wrapping_add(bias)),
        Some((file, plan)) => {
            let base = builder.map_image(file, plan, 0)?;
            (base, plan.entry.wrapping_add(base))
        }
    };
    let (credentials, privileges) = privileges::of_program(file.path(), thread)?;
    let auxiliary = Auxiliary {
        headers: if plan.headers == 0 { 0 } else { plan.headers.wrapping_add(bias) },
        header_count: plan.header_count as u64,
        interpreter_base: base,
        entry: plan.entry.wrapping_add(bias),
        ids: [
            credentials.user.real,
            credentials.user.effective,
            credentials.group.real,
            credentials.group.effective,
        ],
        secure: privileges == Privileges::Changed,
        ..machine_facts()
    };
    let stack = builder.map_stack(layout, stack_offset, &plan, invocation, &auxiliary)?;
    let image = Image {
        executable: Some(file.path().clone()),
        claim: Some(program.executable.claim.clone()),
        arguments: stack.arguments.0..stack.arguments.0 + stack.arguments.1 as u64,
        environment: stack.environment.0..stack.environment.0 + stack.environment.1 as u64,
        code: extent(&plan, bias, |permissions| permissions.execute),
        data: extent(&plan, bias, |permissions| permissions.write),
        stack_start: stack.start,
        heap_start: builder.space.heap().0.as_u64(),
        auxiliary: stack.auxiliary.to_vec(),
    };
    Ok(Loaded {
        space: builder.space,
        image,
        entry,
        stack_pointer: stack.start,
        name: last_component(&invocation.name)?,
        credentials,
        privileges,
    })
}

/// Reads and plans the headers of `file`; `wrong_format` is what a file of another kind is answered with.
fn read_plan(
    file: &File,
    head: &[u8; HEAD_BYTES],
    wrong_format: Errno,
) -> core::result::Result<Plan, Flaw> {
    let table = elf::header_table(head).map_err(|_| wrong_format)?;
    let mut headers = Vec::new();
    headers.try_reserve_exact(table.bytes).map_err(|_| Errno::ENOMEM)?;
    headers.resize(table.bytes, 0);
    if fs::read_exact_at(file, table.offset, &mut headers)? < headers.len() {
        return Err(Flaw::Refused(wrong_format));
    }
    elf::plan(&table, &headers)
}

/// Opens and plans the program interpreter that `plan` asks for.
fn read_interpreter(
    thread: &Thread,
    file: &File,
    plan: &Plan,
    viewer: &Viewer,
) -> core::result::Result<Option<(Arc<File>, Plan)>, Flaw> {
    let Some((offset, length)) = plan.interpreter else { return Ok(None) };
    let mut path = Vec::new();
    path.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    path.resize(length, 0);
    if fs::read_exact_at(file, offset, &mut path)? < length {
        return Err(Flaw::Refused(Errno::EIO));
    }
    if path.pop() != Some(0) {
        return Err(Flaw::Refused(Errno::ENOEXEC));
    }
    let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
    let directory = thread.fs().working_directory();
    let interpreter = fs::open_executable(viewer, directory, path, WalkFlags::FOLLOW)?;
    let mut head = [0; HEAD_BYTES];
    if fs::read_exact_at(&interpreter.file, 0, &mut head)? < 64 {
        return Err(Flaw::Refused(Errno::EIO));
    }
    let plan = read_plan(&interpreter.file, &head, Errno::ELIBBAD)?;
    Ok(Some((interpreter.file, plan)))
}

impl Builder {
    /// Maps the segments of `plan` and returns how far they are from where they were linked. A relocatable image goes to
    /// `base`, or wherever there is room if that is 0.
    fn map_image(
        &self,
        file: &Arc<File>,
        plan: &Plan,
        base: u64,
    ) -> core::result::Result<u64, Flaw> {
        let Some((low, high)) = plan.span() else { return Ok(0) };
        let bias = if plan.relocatable {
            self.place(low, high, plan.alignment, base)?.wrapping_sub(low)
        } else {
            0
        };
        let object = fs::mapping(file, MapAccess::Read).map_err(Flaw::Refused)?;
        for segment in &plan.segments {
            self.map_segment(file, &object, segment, bias)?;
        }
        Ok(bias)
    }

    /// Chooses where `high - low` bytes of a relocatable image go.
    fn place(
        &self,
        low: u64,
        high: u64,
        alignment: u64,
        base: u64,
    ) -> core::result::Result<u64, Flaw> {
        if base != 0 {
            return Ok((base & !(alignment - 1)) + (low & (alignment - 1)));
        }
        // Room for the image at any alignment, given back at once: nobody else is in this space yet.
        let length = (high - low).checked_add(alignment).ok_or(Flaw::Fatal)?;
        let request = MapRequest::anonymous(length, Protection::empty());
        let start = self
            .space
            .map(&request, &self.limits)
            .map_err(|error| Flaw::Refused(errno_of(error)))?;
        self.space
            .unmap(start, length.next_multiple_of(PAGE))
            .map_err(|error| Flaw::Refused(errno_of(error)))?;
        Ok((start.as_u64().next_multiple_of(alignment)) + (low & (alignment - 1)))
    }

    /// Maps one segment: pages of the file, then zeros.
    fn map_segment(
        &self,
        file: &Arc<File>,
        object: &Arc<dyn MemoryObject>,
        segment: &Segment,
        bias: u64,
    ) -> core::result::Result<(), Flaw> {
        let address = segment.address.wrapping_add(bias);
        let start = address & !(PAGE - 1);
        let file_end = address.wrapping_add(segment.file_bytes);
        let memory_end = address.wrapping_add(segment.memory_bytes).next_multiple_of(PAGE);
        let protection = protection(segment.permissions);
        let mut zeros_from = start;
        if segment.file_bytes > 0 {
            zeros_from = file_end.next_multiple_of(PAGE);
            let range = ObjectRange {
                object: object.clone(),
                offset: segment.offset - (address - start),
                file: Some(file.clone()),
            };
            self.map_at(start, zeros_from - start, protection, Source::Private(range))?;
            if segment.memory_bytes > segment.file_bytes {
                self.clear_tail(file_end, zeros_from, segment.permissions)?;
            }
        }
        if segment.memory_bytes > segment.file_bytes && memory_end > zeros_from {
            let bss = Protection::READ | Protection::WRITE | protection & Protection::EXECUTE;
            self.map_at(zeros_from, memory_end - zeros_from, bss, Source::Anonymous)?;
        }
        Ok(())
    }

    /// Clears what the last page from the file holds beyond the segment's file part. Where the segment may not be written
    /// the rest of the file shows through, as on Linux.
    fn clear_tail(
        &self,
        from: u64,
        to: u64,
        permissions: Permissions,
    ) -> core::result::Result<(), Flaw> {
        if from == to || !permissions.write {
            return Ok(());
        }
        let zeros = [0; PAGE_SIZE];
        let count = (to - from) as usize;
        let at = UserAddr::try_new(from).ok_or(Flaw::Fatal)?;
        match self.space.write_remote(at, &zeros[..count]) {
            Ok(written) if written == count => Ok(()),
            Ok(_) => Err(Flaw::Fatal),
            Err(mm::MmError::NoMemory) => Err(Flaw::Refused(Errno::ENOMEM)),
            Err(_) => Err(Flaw::Fatal),
        }
    }

    fn map_at(
        &self,
        start: u64,
        length: u64,
        protection: Protection,
        source: Source,
    ) -> core::result::Result<(), Flaw> {
        let request = MapRequest {
            address: UserAddr::try_new(start).ok_or(Flaw::Fatal)?,
            placement: Placement::Fixed,
            length,
            protection,
            source,
            options: MapOptions::empty(),
        };
        match self.space.map(&request, &self.limits) {
            Ok(_) => Ok(()),
            Err(mm::MmError::NoMemory) => Err(Flaw::Refused(Errno::ENOMEM)),
            Err(_) => Err(Flaw::Fatal),
        }
    }

    /// Maps the stack and writes the program's arguments on it, some bytes (by `offset`) below its top.
    fn map_stack(
        &self,
        layout: Layout,
        offset: u64,
        plan: &Plan,
        invocation: &Invocation,
        auxiliary: &Auxiliary,
    ) -> core::result::Result<stack::Image, Flaw> {
        let top = layout.stack_top.as_u64() - ((offset % PAGE) & !15);
        let image = stack::lay_out(
            top,
            &invocation.name,
            &invocation.arguments,
            &invocation.environment,
            auxiliary,
        )?;
        let end = layout.stack_top.as_u64();
        let start = image.start.saturating_sub(STACK_ROOM) & !(PAGE - 1);
        let mut protection = Protection::READ | Protection::WRITE;
        protection.set(Protection::EXECUTE, plan.executable_stack);
        let request = MapRequest {
            address: UserAddr::try_new(start).ok_or(Errno::ENOMEM)?,
            placement: Placement::Fixed,
            length: end - start,
            protection,
            source: Source::Anonymous,
            options: MapOptions::GROWS_DOWN,
        };
        self.space.map(&request, &self.limits).map_err(|error| Flaw::Refused(errno_of(error)))?;
        let at = UserAddr::try_new(image.start).ok_or(Errno::E2BIG)?;
        let written = self.space.write_remote(at, &image.bytes).map_err(errno_of)?;
        if written == image.bytes.len() { Ok(image) } else { Err(Flaw::Refused(Errno::ENOMEM)) }
    }
}

fn protection(permissions: Permissions) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, permissions.read);
    protection.set(Protection::WRITE, permissions.write);
    protection.set(Protection::EXECUTE, permissions.execute);
    protection
}

/// The addresses from the first to the last segment that `wanted` accepts.
fn extent(plan: &Plan, bias: u64, wanted: impl Fn(Permissions) -> bool) -> core::ops::Range<u64> {
    let chosen = || plan.segments.iter().filter(|segment| wanted(segment.permissions));
    let start = chosen().map(|segment| segment.address).min().unwrap_or(0);
    let end = chosen().map(|segment| segment.address + segment.file_bytes).max().unwrap_or(0);
    start.wrapping_add(bias)..end.wrapping_add(bias)
}

/// What the auxiliary vector says about the machine.
fn machine_facts() -> Auxiliary {
    let features = arch::features();
    let mut random_bytes = [0; 16];
    random::fill(&mut random_bytes);
    Auxiliary {
        hwcap: features.hwcap,
        hwcap2: features.hwcap2,
        minimum_signal_stack: features.minimum_signal_stack as u64,
        random: random_bytes,
        ..Auxiliary::default()
    }
}

fn last_component(path: &[u8]) -> Result<Vec<u8>> {
    fs::try_copy(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path))
}
