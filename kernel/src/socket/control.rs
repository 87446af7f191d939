//! Ancillary data of sendmsg(2) and recvmsg(2): the layout of `cmsghdr` records (cmsg(3)).
//!
//! Pure: [`parse`] turns the bytes of a program into [`Record`]s, [`Writer`] lays records out in a buffer of the
//! program's size and notes when one did not fit.

use alloc::vec::Vec;

use linux_raw_sys::net::{SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, ucred};

use crate::errno::{Errno, Result};

/// `SCM_MAX_FD`: the most descriptors in one message.
pub const RIGHTS_MAX: usize = 253;
/// The largest ancillary data that a message may carry (`net.core.optmem_max` leaves less).
pub const CONTROL_MAX: usize = 20_480;

const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 8;

/// One record of ancillary data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// SCM_RIGHTS: descriptors to be passed.
    Rights(Vec<i32>),
    /// SCM_CREDENTIALS: process, user and group of the sender.
    Credentials(SenderCredentials),
}

/// `struct ucred`: who sent a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderCredentials {
    /// The process.
    pub process: u32,
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl SenderCredentials {
    /// The layout of the ABI.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; size_of::<ucred>()] {
        let mut bytes = [0; size_of::<ucred>()];
        let (process, rest) = bytes.split_at_mut(4);
        let (user, group) = rest.split_at_mut(4);
        process.copy_from_slice(&self.process.to_ne_bytes());
        user.copy_from_slice(&self.user.to_ne_bytes());
        group.copy_from_slice(&self.group.to_ne_bytes());
        bytes
    }
}

/// The records in `bytes`, the `msg_control` of a program.
///
/// # Errors
/// `EINVAL` for a malformed record or one of an unknown type, and for too many descriptors; `ENOMEM`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while rest.len() >= HEADER_BYTES {
        let length =
            usize::try_from(u64::from_ne_bytes(word(rest, 0))).map_err(|_| Errno::EINVAL)?;
        let level = u32::from_ne_bytes(half_word(rest, 8));
        let kind = u32::from_ne_bytes(half_word(rest, 12));
        if length < HEADER_BYTES || length > rest.len() {
            return Err(Errno::EINVAL);
        }
        if level == SOL_SOCKET {
            records.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            records.push(record(kind, &rest[HEADER_BYTES..length])?);
        }
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
    }
    Ok(records)
}

fn record(kind: u32, data: &[u8]) -> Result<Record> {
    match kind {
        SCM_RIGHTS => {
            let count = data.len() / 4;
            if count > RIGHTS_MAX {
                return Err(Errno::EINVAL);
            }
            let mut descriptors = Vec::new();
            descriptors.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
            descriptors.extend((0..count).map(|i| i32::from_ne_bytes(half_word(data, i * 4))));
            Ok(Record::Rights(descriptors))
        }
        SCM_CREDENTIALS if data.len() == size_of::<ucred>() => {
            Ok(Record::Credentials(SenderCredentials {
                process: u32::from_ne_bytes(half_word(data, 0)),
                user: u32::from_ne_bytes(half_word(data, 4)),
                group: u32::from_ne_bytes(half_word(data, 8)),
            }))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn word(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    word
}

fn half_word(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut half = [0; 4];
    half.copy_from_slice(&bytes[at..at + 4]);
    half
}

/// Lays out records for a program that offers `capacity` bytes.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    capacity: usize,
    truncated: bool,
}

impl Writer {
    /// A writer for `capacity` bytes of `msg_control`.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), capacity: capacity.min(CONTROL_MAX), truncated: false }
    }

    /// How many descriptors an SCM_RIGHTS record may have to fit now.
    #[must_use]
    pub fn rights_room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len() + HEADER_BYTES) / 4
    }

    /// Notes that something was left out (`MSG_CTRUNC`).
    pub fn truncate(&mut self) {
        self.truncated = true;
    }

    /// Whether something was left out.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Appends a record with `data`, cut to what fits.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn push(&mut self, kind: u32, data: &[u8]) -> Result<()> {
        let room = self.capacity.saturating_sub(self.bytes.len());
        if room < HEADER_BYTES {
            self.truncated = true;
            return Ok(());
        }
        let kept = data.len().min(room - HEADER_BYTES);
        self.truncated |= kept < data.len();
        let length = HEADER_BYTES + kept;
        let padded = length.next_multiple_of(ALIGNMENT).min(room);
        self.bytes.try_reserve(padded).map_err(|_| Errno::ENOMEM)?;
        self.bytes.extend_from_slice(&(length as u64).to_ne_bytes());
        self.bytes.extend_from_slice(&SOL_SOCKET.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&data[..kept]);
        self.bytes.resize(self.bytes.len() + padded - length, 0);
        Ok(())
    }

    /// The records laid out.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_survive_the_round_trip() {
        let credentials = SenderCredentials { process: 7, user: 1000, group: 100 };
        let mut writer = Writer::new(100);
        writer.push(SCM_CREDENTIALS, &credentials.to_bytes()).expect("memory");
        let descriptors: Vec<u8> = [3_i32, 4, 5].iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        writer.push(SCM_RIGHTS, &descriptors).expect("memory");
        assert!(!writer.is_truncated());
        assert_eq!(
            parse(writer.bytes()),
            Ok(vec![Record::Credentials(credentials), Record::Rights(vec![3, 4, 5])])
        );
    }

    #[test]
    fn what_does_not_fit_is_cut_and_noted() {
        let mut writer = Writer::new(20);
        assert_eq!(writer.rights_room(), 1);
        writer.push(SCM_RIGHTS, &[1, 0, 0, 0, 2, 0, 0, 0]).expect("memory");
        assert!(writer.is_truncated());
        assert_eq!(writer.bytes().len(), 20);
        let mut none = Writer::new(8);
        none.push(SCM_RIGHTS, &[1, 0, 0, 0]).expect("memory");
        assert!(none.is_truncated() && none.bytes().is_empty());
    }

    #[test]
    fn malformed_records_are_refused() {
        let mut header = 8_u64.to_ne_bytes().to_vec();
        header.extend([0; 8]);
        assert_eq!(parse(&header), Err(Errno::EINVAL));
        let mut long = 100_u64.to_ne_bytes().to_vec();
        long.extend([0; 8]);
        assert_eq!(parse(&long), Err(Errno::EINVAL));
        assert_eq!(parse(&[1, 2, 3]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _parsed_or_refused = parse(&bytes);
        }
    }
}
