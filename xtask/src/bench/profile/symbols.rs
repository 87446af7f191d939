//! From addresses to the names of functions.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

use super::sample::{Level, Sample};
use crate::symbols::{self, Function};

/// The functions of the kernel, and what has been asked for already.
pub struct Names {
    functions: Vec<Function>,
    lines: addr2line::Loader,
    known: HashMap<u64, Vec<String>>,
}

impl Names {
    /// Reads symbols and debugging information of the kernel's image.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(image: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let lines = addr2line::Loader::new(image)
            .map_err(|error| anyhow::anyhow!("no debugging information: {error}"))?;
        Ok(Self { functions: symbols::functions(&bytes)?, lines, known: HashMap::new() })
    }

    /// The functions of a sample, outermost first, inlined ones among them.
    #[must_use]
    pub fn stack(&mut self, sample: &Sample) -> Vec<String> {
        if sample.level == Level::User {
            return vec!["program".to_owned()];
        }
        let mut stack = Vec::new();
        for &address in sample.addresses.iter().rev() {
            stack.extend_from_slice(self.at(address));
        }
        stack
    }

    /// The function at an address, and what was inlined into it there, outermost first.
    fn at(&mut self, address: u64) -> &[String] {
        let Self { functions, lines, known } = self;
        known.entry(address).or_insert_with(|| {
            let mut names = inlined(lines, address);
            names.reverse();
            // The outermost one is as the symbol table has it, generic arguments included.
            if let Some(name) = containing(functions, address) {
                match names.first_mut() {
                    Some(outermost) => *outermost = name,
                    None => names.push(name),
                }
            }
            if names.is_empty() {
                names.push("unknown".to_owned());
            }
            names.into_iter().map(|name| name.replace([';', ' '], "_")).collect()
        })
    }
}

/// The function that the symbol table has at an address.
fn containing(functions: &[Function], address: u64) -> Option<String> {
    let description = symbols::describe(functions, address)?;
    description.rsplit_once('+').map(|(name, _)| name.to_owned())
}

/// The functions at an address by the debugging information, innermost first.
fn inlined(lines: &addr2line::Loader, address: u64) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(mut frames) = lines.find_frames(address) else { return names };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
        names.push(name.map_or_else(|| "unknown".to_owned(), |name| without_hash(&name)));
    }
    names
}

/// A demangled name without the hash at its end.
fn without_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            rest.to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_cut_off() {
        assert_eq!(without_hash("mm::fork::h0123456789abcdef"), "mm::fork");
        assert_eq!(without_hash("mm::hash::huge"), "mm::hash::huge");
    }

    #[test]
    fn this_very_program_is_known() {
        let mut names = Names::of(&std::env::current_exe().unwrap()).unwrap();
        let sample = Sample { addresses: vec![0x400_0000], level: Level::User };
        assert_eq!(names.stack(&sample), ["program"]);
        assert!(!names.at(0).is_empty());
    }
}
