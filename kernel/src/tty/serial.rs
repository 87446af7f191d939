//! The console: the first serial port behind a terminal.
//!
//! The port's interrupt ([`interrupt`]) moves bytes between the port and two buffers, no more. A kernel thread brings
//! received bytes to the line discipline, which may signal processes, and output from the terminal to the
//! transmitter. Log lines go straight to the transmitter ([`write_log`]); a line for which there is no room, and
//! everything before [`initialize`], is written by polling. Panics poll too, past everything here.
//!
//! Lock: `PORT`, rank `LOG`, interrupts off; innermost.

use alloc::boxed::Box;
use alloc::sync::Arc;

use arch::sync::atomic::{AtomicBool, Ordering};
use arch::sync::{Irq, Rank, SpinLock};
use spin::Once;

use super::terminal::{Driver, Terminal};
use super::transmitter::Transmitter;
use crate::byte_ring::ByteRing;
use crate::errno::{Errno, Result};
use crate::fs::DeviceNumber;
use crate::scheduling::{self, WaitQueue};
use crate::task;

/// Received bytes that the thread has not taken. What comes beyond that is lost, as on any UART.
const RECEIVE_CAPACITY: usize = 4096;
/// Bytes that the thread takes at a time.
const CHUNK: usize = 256;
/// /dev/ttyS0.
pub const NUMBER: DeviceNumber = DeviceNumber::new(4, 64);

/// The buffers on both sides of the port.
struct Port {
    transmitter: Transmitter,
    received: ByteRing,
    /// A byte that the port did not take.
    refused: Option<u8>,
    /// The transmit interrupt is on: the port will ask for more.
    transmitting: bool,
}

static PORT: SpinLock<Port, Irq> = SpinLock::new(
    Rank::LOG,
    Port {
        transmitter: Transmitter::unbuffered(),
        received: ByteRing::empty(),
        refused: None,
        transmitting: false,
    },
);
/// There is work for the thread. Set with release before `WORK` is woken, taken with acquire.
static HAS_WORK: AtomicBool = AtomicBool::new(false);
static WORK: WaitQueue = WaitQueue::new();
/// The thread holds input for which the terminal has no room.
static INPUT_WAITS: AtomicBool = AtomicBool::new(false);
static CONSOLE: Once<Arc<Terminal>> = Once::new();

impl Port {
    fn next_byte(&mut self) -> Option<u8> {
        self.refused.take().or_else(|| self.transmitter.next_byte())
    }

    /// Gives the port as much as it takes, and asks for an interrupt when it wants more.
    fn transmit(&mut self) {
        while let Some(byte) = self.next_byte() {
            if !arch::serial::try_write(byte) {
                self.refused = Some(byte);
                break;
            }
        }
        let transmitting = self.refused.is_some();
        if transmitting != self.transmitting {
            self.transmitting = transmitting;
            arch::serial::set_interrupts(true, transmitting);
        }
    }

    /// Writes everything queued, by polling.
    fn drain(&mut self) {
        while let Some(byte) = self.next_byte() {
            arch::serial::write_polled(&[byte]);
        }
    }
}

/// The console's terminal.
///
/// # Errors
/// `ENXIO` before [`initialize`].
pub fn console() -> Result<Arc<Terminal>> {
    CONSOLE.get().cloned().ok_or(Errno::ENXIO)
}

/// Sets up the console: buffers, terminal, interrupts, and the thread between them.
///
/// # Errors
/// `ENOMEM`.
pub fn initialize() -> Result<()> {
    let transmitter = Transmitter::allocate().map_err(|_| Errno::ENOMEM)?;
    let received = ByteRing::with_capacity(RECEIVE_CAPACITY).map_err(|_| Errno::ENOMEM)?;
    let terminal = Terminal::serial(NUMBER, Box::new(SerialDriver))?;
    {
        let mut port = PORT.lock();
        port.transmitter = transmitter;
        port.received = received;
        arch::serial::set_interrupts(true, false);
    }
    CONSOLE.call_once(|| terminal.clone());
    crate::log::set_console(write_log);
    scheduling::spawn_kernel_thread("console", move || carry(&terminal))?;
    Ok(())
}

/// The port's interrupt handler.
pub fn interrupt() {
    let mut port = PORT.lock();
    let mut has_work = false;
    while let Some(byte) = arch::serial::try_read() {
        // A byte that does not fit is lost: the line has no way to hold it.
        let _overrun = !port.received.push(byte);
        has_work = true;
    }
    port.transmit();
    has_work |= port.transmitter.is_hungry();
    drop(port);
    if has_work {
        wake_thread();
    }
}

/// Writes a line of the log, which ends with a newline, to the console.
pub fn write_log(line: &[u8]) {
    let mut port = PORT.lock();
    if !port.transmitter.push_log(line) {
        port.drain();
        arch::serial::write_polled(line);
        return;
    }
    port.transmit();
}

/// Tells the thread that there is work.
fn wake_thread() {
    HAS_WORK.store(true, Ordering::Release);
    WORK.wake_all();
}

/// The thread between the port and the terminal.
fn carry(terminal: &Terminal) {
    let mut held = Held { bytes: [0; CHUNK], start: 0, end: 0 };
    loop {
        WORK.wait_uninterruptible(|| HAS_WORK.swap(false, Ordering::Acquire).then_some(()));
        terminal.continue_output();
        held.bring_to(terminal);
        crate::fs::asynchronous::deliver(&task::current());
    }
}

/// Input on its way from the port to the terminal.
struct Held {
    bytes: [u8; CHUNK],
    start: usize,
    end: usize,
}

impl Held {
    /// Brings input until there is none, or the terminal takes no more: then a reader calls again.
    fn bring_to(&mut self, terminal: &Terminal) {
        loop {
            if self.start == self.end {
                self.start = 0;
                self.end = PORT.lock().received.pop_slice(&mut self.bytes);
                if self.end == 0 {
                    return;
                }
            }
            // Before the attempt, so that a reader in between is not missed.
            INPUT_WAITS.store(true, Ordering::Release);
            self.start += terminal.receive(&self.bytes[self.start..self.end]);
            if self.start < self.end {
                return;
            }
            INPUT_WAITS.store(false, Ordering::Release);
        }
    }
}

/// The port as a terminal's driver.
struct SerialDriver;

impl Driver for SerialDriver {
    fn transmit(&self, queue: &mut ByteRing) {
        let mut port = PORT.lock();
        loop {
            while port.transmitter.terminal().room() > 0 {
                let Some(byte) = queue.pop() else { break };
                let _fits = port.transmitter.terminal().push(byte);
            }
            port.transmit();
            if queue.is_empty() || port.transmitter.terminal().room() == 0 {
                break;
            }
        }
    }

    fn discard_output(&self) {
        PORT.lock().transmitter.terminal().clear();
    }

    fn unsent(&self) -> usize {
        let port = PORT.lock();
        port.transmitter.unsent() + usize::from(port.refused.is_some())
    }

    fn transmit_urgent(&self, byte: u8) {
        let mut port = PORT.lock();
        port.transmitter.push_urgent(byte);
        port.transmit();
    }

    fn input_drained(&self) {
        if INPUT_WAITS.load(Ordering::Acquire) {
            wake_thread();
        }
    }
}
