//! Socket options: what setsockopt(2) and getsockopt(2) reach at level SOL_SOCKET (socket(7)).

use arch::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use arch::time::Nanos;
use linux_raw_sys::net as abi;

use super::message::{BUFFER_DEFAULT, RECEIVE_BUFFER_MIN, SEND_BUFFER_MIN};
use super::unix::{Phase, Socket};
use crate::errno::{Errno, Result};

/// Switches that are on or off. They have no effect on AF_UNIX sockets apart from SO_PASSCRED, and are kept.
const SWITCHES: [u32; 9] = [
    abi::SO_PASSCRED,
    abi::SO_REUSEADDR,
    abi::SO_REUSEPORT,
    abi::SO_KEEPALIVE,
    abi::SO_BROADCAST,
    abi::SO_OOBINLINE,
    abi::SO_DONTROUTE,
    abi::SO_DEBUG,
    abi::SO_TIMESTAMP_OLD,
];
/// SO_PASSCRED's place in [`SWITCHES`].
const PASS_CREDENTIALS: u32 = 1 << 0;

/// The options of a socket. Each stands alone, so all accesses are relaxed.
#[derive(Debug)]
pub struct Options {
    /// A bit for each of [`SWITCHES`].
    switches: AtomicU32,
    receive_buffer: AtomicUsize,
    /// Nanoseconds; zero is no timeout.
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
    receive_low_water: AtomicU32,
    priority: AtomicU32,
    linger: AtomicU64,
}

impl Options {
    /// The options of a new socket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            switches: AtomicU32::new(0),
            receive_buffer: AtomicUsize::new(BUFFER_DEFAULT),
            receive_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
            receive_low_water: AtomicU32::new(1),
            priority: AtomicU32::new(0),
            linger: AtomicU64::new(0),
        }
    }

    /// SO_PASSCRED: received messages carry the sender's credentials.
    #[must_use]
    pub fn passes_credentials(&self) -> bool {
        self.switches.load(Ordering::Relaxed) & PASS_CREDENTIALS != 0
    }

    /// SO_RCVTIMEO.
    #[must_use]
    pub fn receive_timeout(&self) -> Option<Nanos> {
        timeout(&self.receive_timeout)
    }

    /// SO_SNDTIMEO.
    #[must_use]
    pub fn send_timeout(&self) -> Option<Nanos> {
        timeout(&self.send_timeout)
    }

    /// SO_RCVLOWAT: the bytes that a stream read waits for.
    #[must_use]
    pub fn receive_low_water(&self) -> usize {
        self.receive_low_water.load(Ordering::Relaxed) as usize
    }

    fn switch(&self, bit: u32) -> u32 {
        u32::from(self.switches.load(Ordering::Relaxed) & bit != 0)
    }

    fn set_switch(&self, bit: u32, value: i32) {
        if value == 0 {
            self.switches.fetch_and(!bit, Ordering::Relaxed);
        } else {
            self.switches.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

fn timeout(field: &AtomicU64) -> Option<Nanos> {
    match field.load(Ordering::Relaxed) {
        0 => None,
        nanos => Some(Nanos(nanos)),
    }
}

/// The value of an option as getsockopt(2) returns it: up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionValue {
    bytes: [u8; 16],
    length: usize,
}

impl OptionValue {
    fn int(value: u32) -> Self {
        Self::new(&value.to_ne_bytes())
    }

    fn pair(first: i64, second: i64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&second.to_ne_bytes());
        Self { bytes, length: 16 }
    }

    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..value.len()].copy_from_slice(value);
        Self { bytes, length: value.len() }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Socket {
    /// The value of option `name` at level SOL_SOCKET. Reading SO_ERROR clears it.
    ///
    /// # Errors
    /// `ENOPROTOOPT`; `ENOTCONN` for the credentials of a peer that there never was is *not* among them: Linux
    /// reports ids that nobody has.
    pub fn option(&self, name: u32) -> Result<OptionValue> {
        if let Some(index) = SWITCHES.iter().position(|&switch| switch == name) {
            return Ok(OptionValue::int(self.options.switch(1 << index)));
        }
        let value = match name {
            abi::SO_TYPE => self.kind.number(),
            abi::SO_DOMAIN => abi::AF_UNIX,
            abi::SO_PROTOCOL => 0,
            abi::SO_ERROR => self.take_error().map_or(0, |error| u32::from(error.number())),
            abi::SO_ACCEPTCONN => u32::from(self.state.lock().phase == Phase::Listening),
            abi::SO_SNDBUF => self.send.limit() as u32,
            abi::SO_RCVBUF => self.options.receive_buffer.load(Ordering::Relaxed) as u32,
            abi::SO_RCVLOWAT => self.options.receive_low_water.load(Ordering::Relaxed),
            abi::SO_SNDLOWAT => 1,
            abi::SO_PRIORITY => self.options.priority.load(Ordering::Relaxed),
            abi::SO_LINGER => {
                let linger = self.options.linger.load(Ordering::Relaxed);
                return Ok(OptionValue::new(&linger.to_ne_bytes()));
            }
            abi::SO_PEERCRED => return Ok(self.peer_credentials()),
            abi::SO_RCVTIMEO_OLD | abi::SO_RCVTIMEO_NEW => {
                return Ok(timeval(self.options.receive_timeout()));
            }
            abi::SO_SNDTIMEO_OLD | abi::SO_SNDTIMEO_NEW => {
                return Ok(timeval(self.options.send_timeout()));
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(OptionValue::int(value))
    }

    /// Sets option `name` at level SOL_SOCKET to what `bytes` hold.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EINVAL` if there are too few bytes, `EDOM` for a time that is none.
    pub fn set_option(&self, name: u32, bytes: &[u8]) -> Result<()> {
        let options = &self.options;
        match name {
            abi::SO_RCVTIMEO_OLD | abi::SO_RCVTIMEO_NEW => {
                options.receive_timeout.store(parse_timeval(bytes)?, Ordering::Relaxed);
                return Ok(());
            }
            abi::SO_SNDTIMEO_OLD | abi::SO_SNDTIMEO_NEW => {
                options.send_timeout.store(parse_timeval(bytes)?, Ordering::Relaxed);
                return Ok(());
            }
            abi::SO_LINGER => {
                let linger = bytes.first_chunk().ok_or(Errno::EINVAL)?;
                options.linger.store(u64::from_ne_bytes(*linger), Ordering::Relaxed);
                return Ok(());
            }
            _ => {}
        }
        let value = i32::from_ne_bytes(*bytes.first_chunk().ok_or(Errno::EINVAL)?);
        if let Some(index) = SWITCHES.iter().position(|&switch| switch == name) {
            options.set_switch(1 << index, value);
            return Ok(());
        }
        match name {
            abi::SO_SNDBUF | abi::SO_SNDBUFFORCE => {
                self.send.set_limit(buffer_size(value, SEND_BUFFER_MIN));
            }
            abi::SO_RCVBUF | abi::SO_RCVBUFFORCE => {
                let size = buffer_size(value, RECEIVE_BUFFER_MIN);
                options.receive_buffer.store(size, Ordering::Relaxed);
            }
            abi::SO_RCVLOWAT => {
                let bytes = if value < 0 { i32::MAX } else { value.max(1) };
                options.receive_low_water.store(bytes as u32, Ordering::Relaxed);
            }
            abi::SO_PRIORITY => options.priority.store(value as u32, Ordering::Relaxed),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// SO_PEERCRED.
    fn peer_credentials(&self) -> OptionValue {
        let credentials = self.state.lock().peer_credentials;
        credentials.map_or_else(
            || {
                let mut nobody = [0xff; 12];
                nobody[..4].fill(0);
                OptionValue::new(&nobody)
            },
            |credentials| OptionValue::new(&credentials.to_bytes()),
        )
    }
}

/// What SO_SNDBUF and SO_RCVBUF set: twice the value, within bounds (socket(7)).
fn buffer_size(value: i32, least: usize) -> usize {
    let value = usize::try_from(value).unwrap_or(BUFFER_DEFAULT).min(BUFFER_DEFAULT);
    (value * 2).max(least)
}

fn timeval(timeout: Option<Nanos>) -> OptionValue {
    let timeout = timeout.unwrap_or(Nanos::ZERO);
    OptionValue::pair(timeout.as_secs() as i64, (timeout.subsec_nanos() / 1000) as i64)
}

/// The nanoseconds in a `timeval`; zero for no timeout, also where it is negative.
fn parse_timeval(bytes: &[u8]) -> Result<u64> {
    let (seconds, rest) = bytes.split_first_chunk().ok_or(Errno::EINVAL)?;
    let micros = i64::from_ne_bytes(*rest.first_chunk().ok_or(Errno::EINVAL)?);
    let seconds = i64::from_ne_bytes(*seconds);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(0) };
    Ok(Nanos::from_secs(seconds).saturating_add(Nanos::from_micros(micros as u64)).0)
}

#[cfg(test)]
mod tests {
    use super::super::unix::Kind;
    use super::*;

    fn int(socket: &Socket, name: u32) -> u32 {
        let value = socket.option(name).expect("known");
        u32::from_ne_bytes(value.as_bytes().try_into().expect("an int"))
    }

    #[test]
    fn buffer_sizes_are_doubled_and_bounded() {
        let socket = Socket::new(Kind::Stream);
        assert_eq!(int(&socket, abi::SO_SNDBUF), 212_992);
        socket.set_option(abi::SO_SNDBUF, &10_000_i32.to_ne_bytes()).expect("set");
        assert_eq!(int(&socket, abi::SO_SNDBUF), 20_000);
        socket.set_option(abi::SO_SNDBUF, &1_i32.to_ne_bytes()).expect("set");
        assert_eq!(int(&socket, abi::SO_SNDBUF), 4608);
        socket.set_option(abi::SO_SNDBUF, &i32::MAX.to_ne_bytes()).expect("set");
        assert_eq!(int(&socket, abi::SO_SNDBUF), 425_984);
    }

    #[test]
    fn switches_are_kept_and_timeouts_read_back() {
        let socket = Socket::new(Kind::Datagram);
        assert!(!socket.options.passes_credentials());
        socket.set_option(abi::SO_PASSCRED, &7_i32.to_ne_bytes()).expect("set");
        assert!(socket.options.passes_credentials());
        assert_eq!(int(&socket, abi::SO_PASSCRED), 1);
        let timeval: Vec<u8> =
            [2_i64, 500_000].iter().flat_map(|part| part.to_ne_bytes()).collect();
        socket.set_option(abi::SO_RCVTIMEO_OLD, &timeval).expect("set");
        assert_eq!(socket.options.receive_timeout(), Some(Nanos::from_millis(2500)));
        assert_eq!(socket.option(abi::SO_RCVTIMEO_OLD).expect("known").as_bytes(), timeval);
    }

    #[test]
    fn wrong_options_are_refused() {
        let socket = Socket::new(Kind::Stream);
        assert_eq!(socket.set_option(9999, &[0; 4]), Err(Errno::ENOPROTOOPT));
        assert_eq!(socket.set_option(abi::SO_SNDBUF, &[0; 3]), Err(Errno::EINVAL));
        assert_eq!(socket.option(9999), Err(Errno::ENOPROTOOPT));
    }
}
