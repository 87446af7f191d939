//! execve of ELF files: what loads, with which rights, and the errno of everything that is broken.

use std::ffi::CStr;

use super::elf::{BASE, CODE_OFFSET, EXECUTE, Image, READ, Segment, WRITE, exit_code, save};
use super::support::{
    Mapping, Random, Status, child, default_action, exec, exit_now, needs_root, read_text, skip,
};
use crate::ok;
use crate::sys::Errno;

super::area!("exec_formats":
    valid_program_runs,
    broken_identification,
    ignored_header_fields,
    broken_header_fields,
    truncated_files,
    every_cut_of_the_file_is_survived,
    segments_beyond_the_user_half,
    segment_arithmetic_overflows,
    misaligned_segment,
    file_size_above_memory_size,
    no_loadable_segment_crashes,
    entry_outside_segments_crashes,
    missing_and_broken_interpreters,
    interpreter_path_must_end_in_zero,
    two_segments_with_gap,
    overlapping_segments_later_wins,
    bss_is_zero_to_the_end,
    bss_without_file_part,
    text_is_not_writable,
    data_is_not_executable,
    read_only_data_is_not_writable,
    executable_stack_only_on_request,
    segment_without_rights_faults,
    position_independent_program_runs,
    position_independent_base_is_random,
    position_independent_honours_alignment,
    segment_past_end_of_file_is_bus_error,
    bytes_after_file_part_are_zero,
    flipped_bytes_are_survived,
    low_address_is_refused,
);

/// Executes a file in a child: how it ended, or what execve said.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ran(Status),
    Refused(Errno),
}

const RAN: Verdict = Verdict::Ran(Status::Exited(7));

#[track_caller]
fn execute(path: &CStr) -> Verdict {
    let refused = Mapping::shared(1);
    let child = child(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            default_action(signal);
        }
        ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
        let error = exec(path, &[c"x"], &[]).unwrap_err();
        refused.word(0).store(error as u32, std::sync::atomic::Ordering::SeqCst);
    });
    let status = child.status();
    match refused.word(0).load(std::sync::atomic::Ordering::SeqCst) {
        0 => Verdict::Ran(status),
        error => Verdict::Refused(Errno::from_raw(error as i32)),
    }
}

/// Executes the valid program after a change.
#[track_caller]
fn changed(change: impl FnOnce(&mut Image)) -> Verdict {
    let mut image = Image::new();
    change(&mut image);
    execute(&image.save("program"))
}

fn refused(error: Errno) -> Verdict {
    Verdict::Refused(error)
}

/// The signal that killed the program, once execve had accepted it.
#[track_caller]
fn killed_by(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Ran(status) => status.signal().unwrap_or_else(|| panic!("not killed: {status:?}")),
        Verdict::Refused(error) => panic!("refused: {error:?}"),
    }
}

fn valid_program_runs() {
    assert_eq!(changed(|_| {}), RAN);
}

fn broken_identification() {
    for index in 0..4 {
        for value in [0, b'X', 0xff] {
            assert_eq!(changed(|image| image.header.ident[index] = value), refused(Errno::ENOEXEC));
        }
    }
}

fn ignored_header_fields() {
    // Linux does not look at class, byte order, version, ABI or header size.
    for index in 6..16 {
        assert_eq!(changed(|image| image.header.ident[index] = 0x55), RAN, "ident[{index}]");
    }
    assert_eq!(changed(|image| image.header.version = 77), RAN);
    assert_eq!(changed(|image| image.header.ehsize = 1), RAN);
}

fn broken_header_fields() {
    let enoexec = || refused(Errno::ENOEXEC);
    for kind in [0, 1, 4, 5, 0xffff] {
        assert_eq!(changed(|image| image.header.kind = kind), enoexec(), "type {kind}");
    }
    for machine in [0, 8, 40, 183, 0xffff] {
        assert_eq!(changed(|image| image.header.machine = machine), enoexec(), "machine {machine}");
    }
    for size in [0, 32, 55, 57, 64, 0xffff] {
        assert_eq!(changed(|image| image.header.phentsize = size), enoexec(), "phentsize {size}");
    }
    assert_eq!(changed(|image| image.header.phnum = Some(0)), enoexec());
    // More than 64 KiB of program headers.
    for count in [1171, 2000, 0xffff] {
        assert_eq!(changed(|image| image.header.phnum = Some(count)), enoexec(), "phnum {count}");
    }
}

fn truncated_files() {
    let bytes = Image::new().bytes();
    for length in [0, 1, 3, 4, 16, 63] {
        // What is not there reads as zero, also the type and the machine.
        assert_eq!(execute(&save("cut", &bytes[..length])), refused(Errno::ENOEXEC), "{length}");
    }
    // The header is whole, the program header table is not.
    for length in [64, 80, 119] {
        assert_eq!(execute(&save("cut", &bytes[..length])), refused(Errno::ENOEXEC), "{length}");
    }
    assert_eq!(changed(|image| image.header.phoff = 1 << 20), refused(Errno::ENOEXEC));
}

fn every_cut_of_the_file_is_survived() {
    let bytes = Image::new().bytes();
    for length in (0..bytes.len()).step_by(37) {
        let verdict = execute(&save("cut", &bytes[..length]));
        assert_ne!(verdict, RAN, "{length} bytes are not a whole program");
    }
}

fn segments_beyond_the_user_half() {
    for vaddr in [0xff_ffff_ffff_f000, 0xffff_8000_0000_0000, 0xffff_ffff_ffff_f000] {
        let verdict = changed(|image| {
            image.segments.push(Segment::load(READ, 0, vaddr, 0x100, 0x2000));
        });
        // Linux finds out only when nothing is left to return to.
        assert_eq!(killed_by(verdict), libc::SIGSEGV, "{vaddr:x}");
    }
}

fn segment_arithmetic_overflows() {
    for (filesz, memsz) in
        [(0x100, u64::MAX), (0x100, u64::MAX - 0xfff), (0x100, 1 << 63), (u64::MAX, u64::MAX)]
    {
        let verdict = changed(|image| {
            image.segments.push(Segment::load(READ, 0, BASE + 0x10_0000, filesz, memsz));
        });
        assert_eq!(killed_by(verdict), libc::SIGSEGV, "{filesz:x} of {memsz:x}");
    }
}

fn misaligned_segment() {
    // Offset and address differ within the page: the mapping has an invalid offset.
    let verdict = changed(|image| {
        image.segments.push(Segment::load(READ, 0x10, BASE + 0x10_0000, 0x100, 0x100));
    });
    assert_eq!(killed_by(verdict), libc::SIGSEGV);
}

fn file_size_above_memory_size() {
    let verdict = changed(|image| {
        image.segments.push(Segment::load(READ, 0, BASE + 0x10_0000, 0x200, 0x100));
    });
    assert_eq!(killed_by(verdict), libc::SIGSEGV);
}

fn no_loadable_segment_crashes() {
    let verdict = changed(|image| image.segments[0].kind = 4);
    assert_eq!(killed_by(verdict), libc::SIGSEGV);
}

fn entry_outside_segments_crashes() {
    for entry in [0, 0x1000, BASE - 1, BASE + 0x10_0000, 0x8000_0000_0000, u64::MAX] {
        let verdict = changed(|image| image.header.entry = entry);
        assert_eq!(killed_by(verdict), libc::SIGSEGV, "entry {entry:x}");
    }
}

/// The valid program with a `PT_INTERP` that names `path` (whose bytes are used as they are).
fn with_interpreter(path: &[u8]) -> Image {
    let mut image = Image::new();
    let offset = CODE_OFFSET + image.code.len() as u64;
    image.code.extend(path);
    let mut segment = Segment::load(READ, offset, 0, path.len() as u64, path.len() as u64);
    segment.kind = 3;
    image.segments.insert(0, segment);
    image
}

fn missing_and_broken_interpreters() {
    for (path, error) in [
        (&b"/no/such/loader\0"[..], Errno::ENOENT),
        (b"/\0", Errno::EACCES),
        (b"/dev/null\0", Errno::EACCES),
        (b"./text\0", Errno::ELIBBAD),
        (b"./short\0", Errno::EIO),
    ] {
        save("text", "x".repeat(100).as_bytes());
        save("short", b"x");
        let verdict = execute(&with_interpreter(path).save("program"));
        assert_eq!(verdict, refused(error), "{}", String::from_utf8_lossy(path));
    }
}

fn interpreter_path_must_end_in_zero() {
    for path in [&b"/bin/x"[..], b"x", b""] {
        let verdict = execute(&with_interpreter(path).save("program"));
        assert_eq!(verdict, refused(Errno::ENOEXEC), "{path:?}");
    }
    let verdict = execute(&with_interpreter(&vec![b'/'; 5000]).save("program"));
    assert_eq!(verdict, refused(Errno::ENOEXEC));
}

/// `mov rax, ADDRESS`.
fn load_rax(address: u64) -> Vec<u8> {
    let mut code = vec![0x48, 0xb8];
    code.extend(address.to_le_bytes());
    code
}

/// `movzx edi, byte [rax]` and exit with that status.
fn exit_with_byte_at(address: u64) -> Vec<u8> {
    let mut code = load_rax(address);
    code.extend([0x0f, 0xb6, 0x38, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    code
}

/// A program with a second segment that holds `data` at `vaddr`, `memsz` long.
fn with_data(code: Vec<u8>, flags: u32, vaddr: u64, data: &[u8], memsz: u64) -> Image {
    let mut image = Image::with_code(code);
    image.code.resize(0x1000 - CODE_OFFSET as usize, 0x90);
    let offset = 0x1000 + vaddr % 0x1000;
    image.code.resize((offset - CODE_OFFSET) as usize, 0xaa);
    image.code.extend(data);
    image.segments.push(Segment::load(flags, offset, vaddr, data.len() as u64, memsz));
    image
}

fn two_segments_with_gap() {
    for gap in [0x1000, 0x20_0000, 0x4000_0000, 0x10_0000_0000] {
        let vaddr = BASE + gap;
        let image = with_data(exit_with_byte_at(vaddr + 3), READ, vaddr, b"abcd", 4);
        assert_eq!(execute(&image.save("program")), Verdict::Ran(Status::Exited(i32::from(b'd'))));
    }
}

fn overlapping_segments_later_wins() {
    let vaddr = BASE + 0x10_0000;
    let mut image = with_data(exit_with_byte_at(vaddr), READ, vaddr, b"1", 1);
    image.code.resize(0x2000 - CODE_OFFSET as usize, 0);
    image.code.extend(b"2");
    image.segments.push(Segment::load(READ, 0x2000, vaddr, 1, 1));
    assert_eq!(execute(&image.save("program")), Verdict::Ran(Status::Exited(i32::from(b'2'))));
}

/// Code that exits with 1 if any byte of the range is set, else with 0.
fn exit_whether_any_is_set(start: u64, length: u64) -> Vec<u8> {
    let mut code = load_rax(start);
    code.extend([0x48, 0xb9]);
    code.extend(length.to_le_bytes()); // mov rcx, length
    code.extend([
        0x31, 0xff, // xor edi, edi
        0x0f, 0xb6, 0x10, // next: movzx edx, byte [rax]
        0x09, 0xd7, // or edi, edx
        0x48, 0xff, 0xc0, // inc rax
        0x48, 0xff, 0xc9, // dec rcx
        0x75, 0xf3, // jnz next
        0x85, 0xff, // test edi, edi
        0x40, 0x0f, 0x95, 0xc7, // setne dil
        0x40, 0x0f, 0xb6, 0xff, // movzx edi, dil
        0xb8, 231, 0, 0, 0, 0x0f, 0x05,
    ]);
    code
}

fn bss_is_zero_to_the_end() {
    let vaddr = BASE + 0x10_0010;
    let (data, memsz) = (b"data", 0x2800);
    let code = exit_whether_any_is_set(vaddr + 4, memsz - 4);
    let mut image = with_data(code, READ | WRITE, vaddr, data, memsz);
    // Bytes of the file that follow must not show.
    image.code.extend([0xee; 0x1800]);
    assert_eq!(execute(&image.save("program")), Verdict::Ran(Status::Exited(0)));
}

fn bss_without_file_part() {
    let vaddr = BASE + 0x20_0000;
    let code = exit_whether_any_is_set(vaddr, 0x5000);
    let image = with_data(code, READ | WRITE, vaddr, b"", 0x5000);
    assert_eq!(execute(&image.save("program")), Verdict::Ran(Status::Exited(0)));
}

/// `mov byte [rax], 1` after loading the address, then a good exit.
fn write_to(address: u64) -> Vec<u8> {
    let mut code = load_rax(address);
    code.extend([0xc6, 0x00, 0x01]);
    code.extend(exit_code(7));
    code
}

fn text_is_not_writable() {
    let image = Image::with_code(write_to(BASE));
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGSEGV);
    let mut image = image;
    image.segments[0].flags |= WRITE;
    assert_eq!(execute(&image.save("program")), RAN);
}

fn data_is_not_executable() {
    let vaddr = BASE + 0x10_0000;
    let mut code = load_rax(vaddr);
    code.extend([0xff, 0xe0]); // jmp rax
    let image = with_data(code.clone(), READ | WRITE, vaddr, &exit_code(7), 0x100);
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGSEGV);
    let image = with_data(code, READ | EXECUTE, vaddr, &exit_code(7), 0x100);
    assert_eq!(execute(&image.save("program")), RAN);
}

fn read_only_data_is_not_writable() {
    let vaddr = BASE + 0x10_0000;
    let image = with_data(write_to(vaddr), READ, vaddr, b"data", 4);
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGSEGV);
    let image = with_data(write_to(vaddr), READ | WRITE, vaddr, b"data", 4);
    assert_eq!(execute(&image.save("program")), RAN);
}

fn executable_stack_only_on_request() {
    // `mov byte [rsp - 8], 0xc3; lea rax, [rsp - 8]; call rax`, and a good exit.
    let mut code = vec![0xc6, 0x44, 0x24, 0x80, 0xc3, 0x48, 0x8d, 0x44, 0x24, 0x80, 0xff, 0xd0];
    code.extend(exit_code(7));
    let mut image = Image::with_code(code);
    let mut stack = Segment::load(READ | WRITE, 0, 0, 0, 0);
    stack.kind = 0x6474_e551;
    image.segments.push(stack);
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGSEGV);
}

fn segment_without_rights_faults() {
    let vaddr = BASE + 0x10_0000;
    let image = with_data(exit_with_byte_at(vaddr), 0, vaddr, b"data", 4);
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGSEGV);
}

/// A position-independent program that exits with bits 12 to 19 of its own address.
fn position_independent(code: Vec<u8>) -> Image {
    let mut image = Image::with_code(code);
    image.header.kind = 3;
    image.header.entry = CODE_OFFSET;
    image.segments[0].vaddr = 0;
    image
}

fn position_independent_program_runs() {
    assert_eq!(execute(&position_independent(exit_code(7)).save("program")), RAN);
}

/// `lea rdi, [rip]; shr rdi, SHIFT; and edi, 0xff`, and exit.
fn exit_with_own_address(shift: u8) -> Vec<u8> {
    let mut code = vec![0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0xc1, 0xef, shift];
    code.extend([0x81, 0xe7, 0xff, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    code
}

fn position_independent_base_is_random() {
    if read_text("/proc/sys/kernel/randomize_va_space").trim() == "0" {
        skip("address randomisation is off");
    }
    let path = position_independent(exit_with_own_address(12)).save("program");
    let first = execute(&path);
    assert!((0..12).any(|_| execute(&path) != first), "always {first:?}");
}

fn position_independent_honours_alignment() {
    let mut image = position_independent(exit_with_own_address(12));
    image.segments[0].align = 0x20_0000;
    let path = image.save("program");
    for _ in 0..4 {
        // Bits 12 to 19 of an address that is aligned to 2 MiB.
        assert_eq!(execute(&path), Verdict::Ran(Status::Exited(0)));
    }
}

fn segment_past_end_of_file_is_bus_error() {
    let vaddr = BASE + 0x10_0000;
    let mut image = with_data(exit_with_byte_at(vaddr + 0x3000), READ, vaddr, b"data", 4);
    image.segments[1].filesz = 0x4000;
    image.segments[1].memsz = 0x4000;
    assert_eq!(killed_by(execute(&image.save("program"))), libc::SIGBUS);
}

fn bytes_after_file_part_are_zero() {
    let vaddr = BASE + 0x10_0000;
    // The file ends in this page.
    let image = with_data(exit_with_byte_at(vaddr + 0x800), READ, vaddr, b"data", 4);
    assert_eq!(execute(&image.save("program")), Verdict::Ran(Status::Exited(0)));
}

fn flipped_bytes_are_survived() {
    let bytes = Image::new().bytes();
    let mut random = Random::new(7);
    for _ in 0..150 {
        let mut broken = bytes.clone();
        for _ in 0..=random.below(3) {
            // Header and program header, where the kernel looks.
            broken[random.below(120)] = random.bits() as u8;
        }
        // A mangled program may even run for ever; whatever happens, this process learns of it.
        let path = save("broken", &broken);
        let child = child(|| {
            ok!(SYS_prlimit64, 0, libc::RLIMIT_CORE, &[0_u64, 0], 0);
            ok!(SYS_alarm, 2);
            if exec(&path, &[c"x"], &[]).is_err() {
                exit_now(1);
            }
        });
        let status = child.status();
        assert!(
            matches!(status, Status::Exited(1 | 7)) || status.signal().is_some(),
            "{status:?} with {:02x?}",
            &broken[..120]
        );
    }
}

fn low_address_is_refused() {
    // Below vm.mmap_min_addr, and not for root on Linux; page zero stays out of reach for everybody else.
    needs_root();
    let mut image = Image::new();
    image.segments[0].vaddr = 0;
    image.header.entry = CODE_OFFSET;
    let path = image.save("program");
    let child = child(|| {
        ok!(SYS_setresuid, 1000, 1000, 1000);
        default_action(libc::SIGSEGV);
        let _ = exec(&path, &[c"x"], &[]);
        exit_now(1);
    });
    assert!(child.status().signal().is_some());
}
