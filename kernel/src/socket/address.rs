//! Addresses of AF_UNIX sockets: the bytes of `sockaddr_un` and what they mean (unix(7)).

use alloc::vec::Vec;

use linux_raw_sys::net::AF_UNIX;

use crate::errno::{Errno, Result};
use crate::fs;

/// Bytes of the family field that starts every address.
pub const FAMILY_BYTES: usize = 2;
/// The longest path or abstract name.
const NAME_MAX: usize = 108;
/// The largest `sockaddr_un`.
pub const ADDRESS_MAX: usize = FAMILY_BYTES + NAME_MAX;

/// The name of a socket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Address {
    /// No name was bound.
    #[default]
    Unnamed,
    /// A path in the file system, without its NUL.
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the NUL that precedes it. Any bytes, compared exactly.
    Abstract(Vec<u8>),
}

impl Address {
    /// The address in `bytes`, which a program passed to bind(2), connect(2) or sendto(2).
    ///
    /// # Errors
    /// `EINVAL` if the length or the family is wrong; `ENOMEM`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < FAMILY_BYTES || bytes.len() > ADDRESS_MAX {
            return Err(Errno::EINVAL);
        }
        let (family, name) = bytes.split_at(FAMILY_BYTES);
        if u32::from(u16::from_ne_bytes([family[0], family[1]])) != AF_UNIX {
            return Err(Errno::EINVAL);
        }
        match name.split_first() {
            None => Ok(Self::Unnamed),
            Some((0, rest)) => Ok(Self::Abstract(fs::try_copy(rest)?)),
            Some(_) => {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                Ok(Self::Path(fs::try_copy(&name[..end])?))
            }
        }
    }

    /// The bytes that accept(2), getsockname(2) and recvfrom(2) report, into `buffer`. Returns how many there are.
    #[must_use]
    pub fn encode(&self, buffer: &mut [u8; ADDRESS_MAX + 1]) -> usize {
        buffer[..FAMILY_BYTES].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
        let name = &mut buffer[FAMILY_BYTES..];
        match self {
            Self::Unnamed => FAMILY_BYTES,
            Self::Path(path) => {
                name[..path.len()].copy_from_slice(path);
                name[path.len()] = 0;
                FAMILY_BYTES + path.len() + 1
            }
            Self::Abstract(bytes) => {
                name[0] = 0;
                name[1..=bytes.len()].copy_from_slice(bytes);
                FAMILY_BYTES + 1 + bytes.len()
            }
        }
    }

    /// Whether this names nothing.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        matches!(self, Self::Unnamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &[u8]) -> Result<Address> {
        let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(name);
        Address::parse(&bytes)
    }

    fn encoded(address: &Address) -> Vec<u8> {
        let mut buffer = [0xee; ADDRESS_MAX + 1];
        let length = address.encode(&mut buffer);
        buffer[FAMILY_BYTES..length].to_vec()
    }

    #[test]
    fn a_path_ends_at_its_nul_or_with_the_address() {
        assert_eq!(parse(b"/a/b\0garbage"), Ok(Address::Path(b"/a/b".to_vec())));
        assert_eq!(parse(b"/a/b"), Ok(Address::Path(b"/a/b".to_vec())));
        assert_eq!(encoded(&Address::Path(b"/a".to_vec())), b"/a\0");
    }

    #[test]
    fn the_longest_path_is_reported_with_a_nul_behind_it() {
        let path = [b'x'; NAME_MAX];
        let address = parse(&path).expect("valid");
        assert_eq!(encoded(&address).len(), NAME_MAX + 1);
    }

    #[test]
    fn abstract_names_may_hold_anything() {
        let address = parse(b"\0a\0b").expect("valid");
        assert_eq!(address, Address::Abstract(b"a\0b".to_vec()));
        assert_eq!(encoded(&address), b"\0a\0b");
    }

    #[test]
    fn the_family_alone_is_no_name() {
        assert_eq!(parse(b""), Ok(Address::Unnamed));
        assert_eq!(encoded(&Address::Unnamed), b"");
    }

    #[test]
    fn wrong_lengths_and_families_are_refused() {
        assert_eq!(Address::parse(&[1]), Err(Errno::EINVAL));
        assert_eq!(parse(&[b'x'; NAME_MAX + 1]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[2, 0, 0, 0]), Err(Errno::EINVAL));
    }
}
