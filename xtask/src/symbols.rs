//! The kernel's own symbol table, by which it names the functions of a backtrace.
//!
//! The linker script reserves a zero-filled section `.ksyms`. After linking, this module reads the
//! ELF symbol table, demangles the names, and writes the result into that section in place:
//!
//! | bytes      | content                                                            |
//! |------------|--------------------------------------------------------------------|
//! | 8          | magic `KSYMSv1\0`                                                   |
//! | 4          | number of entries                                                  |
//! | 4          | bytes of strings                                                   |
//! | 16 each    | address (8), size (4), offset of the name in the strings (4)       |
//! | the rest   | the names, each ended by a zero byte                                |
//!
//! All numbers are little-endian; entries are sorted by address and no two have the same one.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};

/// The first bytes of the table.
const MAGIC: &[u8; 8] = b"KSYMSv1\0";
/// The section that the linker script reserves for it.
const SECTION: &str = ".ksyms";

/// A function of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Virtual address of its first byte.
    pub address: u64,
    /// Its length in bytes; zero where an assembly label says none.
    pub size: u32,
    /// Its demangled name, without the hash.
    pub name: String,
}

/// What became of the table.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Embedded {
    /// It was written.
    Written {
        /// Number of functions in it.
        functions: usize,
        /// Bytes used.
        bytes: usize,
    },
    /// The image reserves no space for a table.
    NoSection,
}

/// Writes the symbol table of an ELF image into the space which that image reserves for it.
///
/// # Errors
/// If the image is not ELF, or the table does not fit.
pub fn embed(image: &mut [u8]) -> anyhow::Result<Embedded> {
    let functions = functions(image)?;
    let file = object::File::parse(&*image)?;
    let Some(section) = file.section_by_name(SECTION) else { return Ok(Embedded::NoSection) };
    let Some((offset, length)) = section.file_range() else {
        bail!("section {SECTION} occupies no space in the file: it must be PROGBITS, not NOBITS");
    };
    if length == 0 {
        return Ok(Embedded::NoSection);
    }
    let table = encode(&functions)?;
    if table.len() as u64 > length {
        bail!(
            "the table of {} functions takes {} bytes, but section {SECTION} reserves {length}; \
             enlarge it in the linker script",
            functions.len(),
            table.len()
        );
    }
    let start = usize::try_from(offset)?;
    image
        .get_mut(start..start + table.len())
        .context("section .ksyms lies outside the file")?
        .copy_from_slice(&table);
    Ok(Embedded::Written { functions: functions.len(), bytes: table.len() })
}

/// The functions of an ELF image, sorted by address, one for each address.
///
/// # Errors
/// If the image is not ELF.
pub fn functions(image: &[u8]) -> anyhow::Result<Vec<Function>> {
    let file = object::File::parse(image)?;
    let mut by_address: BTreeMap<u64, Function> = BTreeMap::new();
    for symbol in file.symbols() {
        let Some(section) = symbol.section_index() else { continue };
        let Ok(section) = file.section_by_index(section) else { continue };
        let Ok(name) = symbol.name() else { continue };
        if !is_code(symbol.kind(), section.flags()) || name.is_empty() || name.starts_with('.') {
            continue;
        }
        let function = Function {
            address: symbol.address(),
            size: u32::try_from(symbol.size()).unwrap_or(u32::MAX),
            name: format!("{:#}", rustc_demangle::demangle(name)),
        };
        // Identical functions are folded into one address; a label in assembly may also stand at
        // the start of a function. The symbol with a size says more.
        match by_address.get(&function.address) {
            Some(known) if known.size >= function.size => {}
            _ => drop(by_address.insert(function.address, function)),
        }
    }
    Ok(by_address.into_values().collect())
}

/// Whether a symbol of this kind, in a section with these flags, names code.
fn is_code(kind: SymbolKind, flags: SectionFlags) -> bool {
    let is_executable = matches!(
        flags,
        SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_EXECINSTR)
    );
    is_executable && matches!(kind, SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label)
}

/// The table in the form that the kernel reads.
fn encode(functions: &[Function]) -> anyhow::Result<Vec<u8>> {
    let mut entries = Vec::with_capacity(functions.len() * 16);
    let mut strings = Vec::new();
    for function in functions {
        entries.extend(function.address.to_le_bytes());
        entries.extend(function.size.to_le_bytes());
        entries.extend(u32::try_from(strings.len())?.to_le_bytes());
        strings.extend(function.name.bytes().filter(|&byte| byte != 0));
        strings.push(0);
    }
    let mut table = MAGIC.to_vec();
    table.extend(u32::try_from(functions.len())?.to_le_bytes());
    table.extend(u32::try_from(strings.len())?.to_le_bytes());
    table.extend(entries);
    table.extend(strings);
    Ok(table)
}

/// Names an address as `function+0x12`, as far as the functions know it.
#[must_use]
pub fn describe(functions: &[Function], address: u64) -> Option<String> {
    let following = functions.partition_point(|function| function.address <= address);
    let function = functions.get(following.checked_sub(1)?)?;
    let offset = address - function.address;
    // A label without a size is believed for a page; beyond that the name would mislead.
    let limit = if function.size == 0 { 4096 } else { u64::from(function.size) };
    (offset < limit).then(|| format!("{}+{offset:#x}", function.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, size: u32, name: &str) -> Function {
        Function { address, size, name: name.into() }
    }

    #[test]
    fn the_table_has_the_layout_that_the_kernel_reads() {
        let table = encode(&[function(0x1000, 0x20, "a::b"), function(0x2000, 0, "c")]).unwrap();
        assert_eq!(&table[..8], MAGIC);
        assert_eq!(table[8..16], [2, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(table[16..32], [0, 0x10, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(table[32..48], [0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&table[48..], b"a::b\0c\0");
    }

    #[test]
    fn addresses_are_described_within_a_function_only() {
        let functions = [function(0x1000, 0x20, "f"), function(0x2000, 0, "label")];
        assert_eq!(describe(&functions, 0x1010).as_deref(), Some("f+0x10"));
        assert_eq!(describe(&functions, 0x1020), None);
        assert_eq!(describe(&functions, 0x2fff).as_deref(), Some("label+0xfff"));
        assert_eq!(describe(&functions, 0x3000), None);
        assert_eq!(describe(&functions, 0xfff), None);
    }

    /// An ELF image with one function and a section `.ksyms` of `reserved` bytes.
    fn image(reserved: usize) -> Vec<u8> {
        use object::write::{Object, Symbol, SymbolSection};
        use object::{
            Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolScope,
        };

        let mut image = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = image.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        image.append_section_data(text, &[0xc3; 16], 16);
        image.add_symbol(Symbol {
            name: b"_ZN6kernel4main17h0123456789abcdefE".to_vec(),
            value: 4,
            size: 8,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        let table = image.add_section(Vec::new(), SECTION.into(), SectionKind::ReadOnlyData);
        image.append_section_data(table, &vec![0; reserved], 16);
        image.write().unwrap()
    }

    #[test]
    fn the_table_is_written_into_the_section() {
        let mut image = image(256);
        let expected = encode(&[function(4, 8, "kernel::main")]).unwrap();
        let written = Embedded::Written { functions: 1, bytes: expected.len() };
        assert_eq!(embed(&mut image).unwrap(), written);
        let file = object::File::parse(&*image).unwrap();
        let section = file.section_by_name(SECTION).unwrap().data().unwrap();
        assert!(section.starts_with(&expected));
        assert!(section[expected.len()..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_section_that_is_too_small_is_refused() {
        let message = embed(&mut image(32)).unwrap_err().to_string();
        assert!(message.contains("enlarge"), "{message}");
        assert_eq!(embed(&mut image(0)).unwrap(), Embedded::NoSection);
    }

    #[test]
    fn this_very_program_has_functions_and_no_reserved_section() {
        let mut image = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let functions = functions(&image).unwrap();
        assert!(functions.is_sorted_by_key(|function| function.address));
        assert!(functions.iter().any(|function| function.name == "xtask::symbols::embed"));
        assert_eq!(embed(&mut image).unwrap(), Embedded::NoSection);
    }

    #[test]
    fn what_is_not_elf_is_refused() {
        assert!(embed(&mut b"#!/bin/sh\n".to_vec()).is_err());
    }
}
