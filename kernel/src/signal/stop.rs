//! Group stop: a thread stops at the edge of user mode. [`signals::stop`] decides who and when, and tells how it goes together.
//!
//! SIGCONT ends the sleep by [`signals::stop::cancel_opposites`], SIGKILL by [`signals::duty::end_all`].

use signals::stop::{arrive, is_over};

use crate::scheduling::{ParkMode, block_current};
use crate::task::{Thread, family, notify};

/// Stops the calling thread until SIGCONT or the end of the process.
pub(super) fn park(thread: &Thread) {
    let news = {
        let mut state = thread.process().signals();
        let news = arrive(&mut *state, thread);
        // Signals that arrive meanwhile wait; only the end of the stop or of the process counts.
        state.refresh(thread);
        news
    };
    if let Some(news) = news {
        notify::stopped_or_continued(thread.process(), news, &family::lock());
    }
    // It ends early when the process is to end; the signal loop, to which this returns, sees that.
    let is_over = || is_over(&*thread.process().signals(), thread);
    let _ended = block_current(ParkMode::Stopped, None, is_over);
}
