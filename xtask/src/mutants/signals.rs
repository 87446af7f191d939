//! The mutants of the signal protocol: what is taken out of the crate `signals`, and the loom model that must notice.

use super::{Killer, Kind, Mutant};

const fn killer(program: &'static str, test: &'static str) -> Killer {
    Killer { package: "signals", kind: Kind::Model, program, test }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "signals: a sender wakes without setting the attention",
        file: "kernel/signals/src/taker.rs",
        text: "    thread.attention().set(Attention::Signal);\n",
        instead: "    let _ = Attention::Signal;\n",
        killer: killer("loom_sleep", "a_signal_ends_a_sleep_that_begins"),
    },
    Mutant {
        name: "signals: a sender sets the attention and does not wake",
        file: "kernel/signals/src/taker.rs",
        text: "    thread.wake(WakeMask::SIGNAL);\n",
        instead: "    let _ = WakeMask::SIGNAL;\n",
        killer: killer("loom_sleep", "a_signal_ends_a_sleep_that_begins"),
    },
    Mutant {
        name: "signals: what a sleeper looks at is not ordered behind its announcement",
        file: "sched/src/park.rs",
        text: "        // Pairs with the fence in `wake`: announce, then look; there: make true, then look for sleepers.\n        fence(Ordering::SeqCst);\n",
        instead: "",
        killer: killer("loom_sleep", "a_signal_ends_a_sleep_that_begins"),
    },
    Mutant {
        name: "signals: what a thread looks at is not ordered behind its getting on a CPU",
        file: "sched/src/park.rs",
        text: "        // Pairs with the fence in `wake`: get on the CPU, then look; there: make true, then look for the CPU.\n        fence(Ordering::SeqCst);\n",
        instead: "",
        killer: killer(
            "loom_sleep",
            "a_signal_is_noticed_by_a_thread_that_just_got_on_a_processor",
        ),
    },
    Mutant {
        name: "signals: a signal that is awaited wakes nobody who blocks it",
        file: "kernel/signals/src/crew.rs",
        text: "self.blocked().difference(self.awaited())",
        instead: "self.blocked()",
        killer: killer("loom_sleep", "a_signal_that_is_awaited_is_noticed_although_it_is_blocked"),
    },
    Mutant {
        name: "signals: an ending thread hands nothing on",
        file: "kernel/signals/src/taker.rs",
        text: "        retarget(crew, thread, taken);\n",
        instead: "        let _ = taken;\n",
        killer: killer("loom_exit", "what_an_ending_thread_would_have_taken_goes_to_another"),
    },
    Mutant {
        name: "signals: an ending thread is still chosen",
        file: "kernel/signals/src/crew.rs",
        text: "!self.is_exiting() && !self.held()",
        instead: "!self.held()",
        killer: killer("loom_exit", "what_an_ending_thread_would_have_taken_goes_to_another"),
    },
    Mutant {
        name: "signals: what is handed on wakes nobody",
        file: "kernel/signals/src/taker.rs",
        text: "        if !other.attention().is_set() {\n            alert(other);\n        }\n",
        instead: "",
        killer: killer("loom_exit", "what_a_thread_begins_to_block_goes_to_another"),
    },
    Mutant {
        name: "signals: a stop begins though SIGCONT came since its signal was taken",
        file: "kernel/signals/src/stop.rs",
        text: "    if !crew.stop().may_begin || crew.exit().is_some() {\n",
        instead: "    if crew.exit().is_some() {\n",
        killer: killer("loom_stop", "sigcont_takes_a_stop_back_at_every_stage"),
    },
    Mutant {
        name: "signals: SIGCONT wakes nobody",
        file: "kernel/signals/src/stop.rs",
        text: "        thread.wake(WakeMask::CONTINUE);\n",
        instead: "        let _ = WakeMask::CONTINUE;\n",
        killer: killer("loom_stop", "sigcont_takes_a_stop_back_at_every_stage"),
    },
    Mutant {
        name: "signals: a thread sleeps on in the next stop without having arrived",
        file: "kernel/signals/src/stop.rs",
        text: " || crew.part(thread).owes_stop()\n",
        instead: "\n",
        killer: killer("loom_stop", "a_second_stop_stops_who_had_not_seen_sigcont"),
    },
    Mutant {
        name: "signals: SIGKILL does not wake the stopped",
        file: "sched/src/park.rs",
        text: "        ParkMode::Interruptible,\n        ParkMode::Stopped,\n        ParkMode::Traced,\n    ]);",
        instead: "        ParkMode::Interruptible,\n        ParkMode::Traced,\n    ]);",
        killer: killer("loom_stop", "sigkill_ends_a_stop_at_every_stage"),
    },
    Mutant {
        name: "signals: every thread that arrives completes the stop",
        file: "kernel/signals/src/stop.rs",
        text: "    if owed > 1 {\n",
        instead: "    if owed > 2 {\n",
        killer: killer("loom_stop", "two_threads_stop_and_the_parent_hears_once"),
    },
];
