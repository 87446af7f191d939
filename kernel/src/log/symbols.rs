//! Function names for backtraces.
//!
//! The build reserves the section `.ksyms`; the host tool fills it after linking with a table made from the image's own
//! ELF symbols: magic, entry count, bytes of names, then the entries by ascending address, then the names.
#![allow(unsafe_code, reason = "names the section that the host tool fills")]

/// Bytes reserved for the table: room for some 20,000 functions.
const RESERVED: usize = 2 * 1024 * 1024;
const MAGIC: &[u8; 8] = b"KSYMSv1\0";
const HEADER: usize = 16;
const ENTRY: usize = 16;

/// The reserved space. The compiler sees only zeros, the linked image holds more: hence the `black_box` in `caller`.
#[used]
#[unsafe(link_section = ".ksyms")]
static RESERVE: [u8; RESERVED] = [0; RESERVED];

/// The function that a call with the return address `address` is in, and the offset of `address` in it.
#[must_use]
pub fn caller(address: u64) -> Option<(&'static str, u64)> {
    Table::new(core::hint::black_box(&RESERVE))?.caller(address)
}

struct Table<'a> {
    entries: &'a [u8],
    names: &'a [u8],
}

impl<'a> Table<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.get(..8)? != MAGIC {
            return None;
        }
        let count = word32(bytes, 8)? as usize;
        let names = HEADER.checked_add(count.checked_mul(ENTRY)?)?;
        let length = word32(bytes, 12)? as usize;
        Some(Self {
            entries: bytes.get(HEADER..names)?,
            names: bytes.get(names..names.checked_add(length)?)?,
        })
    }

    /// A call that never returns may be its function's last instruction, and the return address then the next function's
    /// first: the call itself is what is looked up.
    fn caller(&self, address: u64) -> Option<(&'a str, u64)> {
        let (name, offset) = self.lookup(address.checked_sub(1)?)?;
        Some((name, offset + 1))
    }

    fn lookup(&self, address: u64) -> Option<(&'a str, u64)> {
        let (mut low, mut high) = (0, self.entries.len() / ENTRY);
        while low < high {
            let middle = low + (high - low) / 2;
            if word64(self.entries, middle * ENTRY)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entry = low.checked_sub(1)? * ENTRY;
        let offset = address - word64(self.entries, entry)?;
        let size = u64::from(word32(self.entries, entry + 8)?);
        if size != 0 && offset >= size {
            return None;
        }
        let name = self.names.get(word32(self.entries, entry + 12)? as usize..)?;
        let end = name.iter().position(|&byte| byte == 0)?;
        Some((core::str::from_utf8(&name[..end]).ok()?, offset))
    }
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<u8> {
        let mut bytes = Vec::from(*MAGIC);
        let names = b"first\0second\0";
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend((names.len() as u32).to_le_bytes());
        for (address, size, name) in [(0x1000_u64, 0x10_u32, 0_u32), (0x2000, 0, 6)] {
            bytes.extend(address.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(name.to_le_bytes());
        }
        bytes.extend(names);
        bytes
    }

    #[test]
    fn an_address_is_found_in_its_function() {
        let bytes = table();
        let table = Table::new(&bytes).expect("a valid table");
        assert_eq!(table.lookup(0xfff), None);
        assert_eq!(table.lookup(0x100f), Some(("first", 0xf)));
        assert_eq!(table.lookup(0x1010), None);
        assert_eq!(table.lookup(0x2345), Some(("second", 0x345)));
    }

    #[test]
    fn a_call_at_the_end_of_a_function_is_in_that_function() {
        let bytes = table();
        let table = Table::new(&bytes).expect("a valid table");
        assert_eq!(table.caller(0x1010), Some(("first", 0x10)));
        assert_eq!(table.caller(0x1000), None);
        assert_eq!(table.caller(0), None);
    }

    #[test]
    fn a_damaged_table_names_nothing() {
        let bytes = table();
        for length in 0..bytes.len() {
            if let Some(table) = Table::new(&bytes[..length]) {
                let _ = table.lookup(0x1005);
            }
        }
        assert!(Table::new(&[0; 64]).is_none());
    }
}
