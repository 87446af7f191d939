//! The planner against hand-made files, and against noise.
#![allow(unsafe_code, reason = "sees ELF headers as bytes")]

use goblin::elf::header::{EM_386, ET_REL};
use proptest::prelude::*;

use super::*;

#[derive(Clone)]
struct File {
    header: Header,
    programs: Vec<ProgramHeader>,
}

fn file() -> File {
    let mut header = Header::default();
    header.e_ident[..4].copy_from_slice(ELFMAG);
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_entry = 0x40_1000;
    header.e_phoff = SIZEOF_EHDR as u64;
    header.e_phentsize = SIZEOF_PHDR as u16;
    header.e_phnum = 1;
    let text = ProgramHeader {
        p_type: PT_LOAD,
        p_flags: PF_R | PF_X,
        p_offset: 0,
        p_vaddr: 0x40_0000,
        p_paddr: 0,
        p_filesz: 0x1234,
        p_memsz: 0x2345,
        p_align: 0x1000,
    };
    File { header, programs: vec![text] }
}

fn bytes<T: plain::Plain>(value: &T) -> Vec<u8> {
    // SAFETY: the ELF header types are plain integers without padding.
    unsafe { plain::as_bytes(value) }.to_vec()
}

fn planned(file: &File) -> Result<Plan, Flaw> {
    let table = header_table(&bytes(&file.header))?;
    plan(&table, &file.programs.iter().flat_map(bytes).collect::<Vec<u8>>())
}

fn refused(change: impl FnOnce(&mut Header)) -> Result<Plan, Flaw> {
    let mut file = file();
    change(&mut file.header);
    planned(&file)
}

fn fatal(change: impl FnOnce(&mut ProgramHeader)) -> Result<Plan, Flaw> {
    let mut file = file();
    change(&mut file.programs[0]);
    planned(&file)
}

#[test]
fn a_good_file_is_planned() {
    let plan = planned(&file()).expect("a good file");
    assert_eq!(plan.span(), Some((0x40_0000, 0x40_2345)));
    assert_eq!((plan.entry, plan.relocatable, plan.header_count), (0x40_1000, false, 1));
    assert_eq!(plan.headers, 0x40_0040);
    assert!(plan.segments[0].permissions.execute && !plan.segments[0].permissions.write);
    assert!(!plan.executable_stack && plan.interpreter.is_none());
}

#[test]
fn headers_that_linux_refuses_are_refused() {
    let enoexec = Err(Flaw::Refused(Errno::ENOEXEC));
    assert_eq!(refused(|header| header.e_ident[0] = 0), enoexec);
    assert_eq!(refused(|header| header.e_type = ET_REL), enoexec);
    assert_eq!(refused(|header| header.e_machine = EM_386), enoexec);
    assert_eq!(refused(|header| header.e_phentsize = 32), enoexec);
    assert_eq!(refused(|header| header.e_phnum = 0), enoexec);
    assert_eq!(refused(|header| header.e_phnum = 74), enoexec);
    assert_eq!(refused(|header| header.e_phoff = u64::MAX), enoexec);
    assert_eq!(header_table(&[0x7f; 63]), Err(Errno::ENOEXEC));
}

#[test]
fn segments_that_cannot_be_mapped_are_fatal() {
    let fatal_flaw = Err(Flaw::Fatal);
    assert_eq!(fatal(|program| program.p_memsz = 0), fatal_flaw);
    assert_eq!(fatal(|program| program.p_vaddr = USER_END), fatal_flaw);
    assert_eq!(fatal(|program| program.p_memsz = u64::MAX), fatal_flaw);
    assert_eq!(fatal(|program| program.p_filesz = u64::MAX), fatal_flaw);
    assert_eq!(fatal(|program| program.p_offset = u64::MAX - 0xfff), fatal_flaw);
    assert_eq!(fatal(|program| program.p_offset = 1), fatal_flaw);
    assert_eq!(fatal(|program| program.p_offset = i64::MAX as u64 & !0xfff), fatal_flaw);
    assert_eq!(refused(|header| header.e_entry = u64::MAX), fatal_flaw);
}

#[test]
fn interpreter_paths_have_sane_lengths() {
    for (length, expected) in [(1, false), (2, true), (4096, true), (4097, false)] {
        let mut file = file();
        let interpreter = ProgramHeader { p_type: PT_INTERP, p_filesz: length, ..file.programs[0] };
        file.programs.push(interpreter);
        assert_eq!(planned(&file).is_ok(), expected, "length {length}");
    }
}

#[test]
fn stack_permission_comes_from_gnu_stack() {
    let mut file = file();
    file.programs.push(ProgramHeader {
        p_type: PT_GNU_STACK,
        p_flags: PF_R | PF_W | PF_X,
        ..file.programs[0]
    });
    assert!(planned(&file).expect("a good file").executable_stack);
}

proptest! {
    /// Whatever the bytes are, a plan that comes out lies in user space and its arithmetic cannot overflow.
    #[test]
    fn noise_never_escapes(
        mut head in proptest::collection::vec(any::<u8>(), SIZEOF_EHDR),
        headers in proptest::collection::vec(any::<u8>(), 0..8 * SIZEOF_PHDR),
        relocatable in any::<bool>(),
    ) {
        head[..4].copy_from_slice(ELFMAG);
        head[16] = if relocatable { 3 } else { 2 };
        head[17] = 0;
        head[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
        head[54..58].copy_from_slice(&[SIZEOF_PHDR as u8, 0, 1, 0]);
        if let Ok(table) = header_table(&head)
            && let Ok(plan) = plan(&table, &headers)
        {
            for segment in &plan.segments {
                prop_assert!(segment.end() <= USER_END);
                prop_assert!(segment.file_bytes <= segment.memory_bytes);
            }
            prop_assert!(plan.alignment.is_power_of_two());
        }
    }

    /// The same with headers that are plausible in all but one field.
    #[test]
    fn one_wild_field_never_escapes(field in 0_usize..7, value in any::<u64>()) {
        let mut file = file();
        let program = &mut file.programs[0];
        match field {
            0 => program.p_offset = value,
            1 => program.p_vaddr = value,
            2 => program.p_filesz = value,
            3 => program.p_memsz = value,
            4 => program.p_align = value,
            5 => program.p_flags = value as u32,
            _ => file.header.e_entry = value,
        }
        if let Ok(plan) = planned(&file) {
            let (low, high) = plan.span().expect("one segment");
            prop_assert!(low <= high && high <= USER_END && plan.entry < USER_END);
        }
    }
}
