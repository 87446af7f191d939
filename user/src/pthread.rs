//! A second thread, made by the C library alone.
//!
//! Rust's own threads take locks of Rust's runtime when they start and end. When a process with such threads forks, the child
//! gets these locks as they are just then, and one that another thread held stays locked for ever. The C library puts its
//! own locks in order when it forks, so its threads can be made in such a child.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;

/// Runs `second` on a thread of its own while this one runs `own`, and waits for both.
///
/// # Errors
/// As pthread_create(3); nothing has run then.
pub fn beside<F: FnOnce() + Send, R>(second: F, own: impl FnOnce() -> R) -> Result<R, Errno> {
    let mut second = Some(second);
    let mut thread = MaybeUninit::uninit();
    let argument = (&raw mut second).cast();
    // SAFETY: `second` outlives the thread, which `Joined` waits for, and nothing else touches it meanwhile.
    let error =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), enter::<F>, argument) };
    if error != 0 {
        return Err(Errno::from_raw(error));
    }
    // SAFETY: without an error it is initialised.
    let _joined = Joined(unsafe { thread.assume_init() });
    Ok(own())
}

/// What the thread does.
extern "C" fn enter<F: FnOnce()>(body: *mut c_void) -> *mut c_void {
    // SAFETY: `beside` passes its own, and leaves it to this thread.
    let body = unsafe { &mut *body.cast::<Option<F>>() };
    if let Some(body) = body.take() {
        body();
    }
    ptr::null_mut()
}

/// Waits for a thread when dropped.
struct Joined(libc::pthread_t);

impl Drop for Joined {
    fn drop(&mut self) {
        // SAFETY: the thread was made joinable, and is joined once.
        let _always_zero = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn both_have_run() {
        let ran = AtomicU32::new(0);
        let second = || {
            ran.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(beside(second, || 7), Ok(7));
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    }
}
