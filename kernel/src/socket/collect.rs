//! Finding sockets that nobody can reach any more because they are in flight in each other's queues (Linux: `unix_gc`).
//!
//! A socket that travels as a file is kept open by the message that it is in. Send two to each other, close the
//! descriptors, and both stay open for ever, with everything else in their queues. So when a socket is closed while others are in
//! flight, [`collect`] marks and sweeps over the sockets in flight:
//!
//! 1. *Candidates* are sockets whose open file is referred to by messages alone, by no descriptor and no running call.
//! 2. A candidate to which some message refers that is not in a candidate's queue is live, and so is everything that
//!    lies in the queues of the live. The rest is garbage ([`mark`]).
//! 3. What garbage has in its queues is dropped, which closes it.
//!
//! The counts are read one after the other while other threads go on. What makes the result right all the same: garbage
//! can be reached through garbage only, so once it is garbage it stays so; and a file cannot get from one message into
//! another, or out of one, without a message being made, copied from (MSG_PEEK) or dropped, which [`rights`] counts. If that count
//! has moved between the first look and the last, nothing is concluded.
//!
//! Locks: none is held from one look to the next. One thread collects at a time; who finds another at it asks for one more round. A
//! thread makes [`ROUNDS`] at most, however many others ask; what is asked for then is done by the next that closes a socket or sends one.
//!
//! Memory is taken fallibly: a thread that ends closes its sockets when there may be none left.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::sync::atomic::{AtomicBool, Ordering};

use super::message::{Queued, ReceiveQueue};
use super::rights::{self, Moment};
use super::unix::Socket;
use crate::fs::{File, Special};

/// Somebody collects.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Somebody wanted to meanwhile.
static AGAIN: AtomicBool = AtomicBool::new(false);
/// Attempts against others that send and receive all the while. The next close tries again.
const ATTEMPTS: usize = 3;
/// How often one thread collects: once for itself, and once for those who came meanwhile.
const ROUNDS: usize = 2;

/// Closes sockets in flight that nobody can reach. Does nothing while none is in flight. Hold no locks.
pub(super) fn collect() {
    if !rights::any_socket_in_flight() {
        return;
    }
    AGAIN.store(true, Ordering::SeqCst);
    finish();
}

/// Collects if somebody has asked for it and nobody is at it. Hold no locks.
pub(super) fn finish() {
    for _ in 0..ROUNDS {
        if !AGAIN.load(Ordering::SeqCst) || RUNNING.swap(true, Ordering::SeqCst) {
            return;
        }
        AGAIN.store(false, Ordering::SeqCst);
        let garbage = (0..ATTEMPTS).find_map(|_| find_garbage());
        // Dropping what is in the queues closes nothing that is in `garbage` while that lives, so nothing recurses.
        garbage.iter().flatten().for_each(|file| empty(file));
        drop(garbage);
        RUNNING.store(false, Ordering::SeqCst);
    }
}

/// The unreachable sockets; `None` if messages came or went meanwhile, or without memory.
fn find_garbage() -> Option<Vec<Arc<File>>> {
    let moment = Moment::now();
    let flying = rights::sockets_in_flight()?;
    // One reference is the list's own.
    let is_candidate =
        |(file, messages): &(Arc<File>, usize)| Arc::strong_count(file) == messages + 1;
    let mut candidates = flying;
    candidates.retain(is_candidate);
    if candidates.is_empty() {
        return Some(Vec::new());
    }
    // The list came in this order; the search below depends on it.
    debug_assert!(candidates.is_sorted_by_key(|(file, _)| address(file)));
    let mut graph = Vec::new();
    graph.try_reserve_exact(candidates.len()).ok()?;
    for (file, messages) in &candidates {
        let mut carries = Vec::new();
        let socket = socket_of(file)?;
        each_in_queue(socket, &mut |file| {
            let number =
                candidates.binary_search_by_key(&address(file), |(file, _)| address(file)).ok();
            let room = number.is_none() || carries.try_reserve(1).is_ok();
            carries.extend(number.filter(|_| room));
            room.then_some(())
        })?;
        graph.push(Node { messages: *messages, carries });
    }
    let live = mark(&graph)?;
    if moment.has_passed() {
        return None;
    }
    let mut number = 0;
    candidates.retain(|_| {
        number += 1;
        !live[number - 1]
    });
    Some(candidates.into_iter().map(|(file, _)| file).collect())
}

/// A candidate.
#[derive(Debug)]
struct Node {
    /// Messages that refer to it.
    messages: usize,
    /// The candidates in its queue, each as often as it is there.
    carries: Vec<usize>,
}

/// Which candidates can be reached; `None` without memory to find out.
fn mark(graph: &[Node]) -> Option<Vec<bool>> {
    let mut inside = try_filled(0_usize, graph.len())?;
    graph.iter().flat_map(|node| &node.carries).for_each(|number| inside[*number] += 1);
    let mut live = try_filled(false, graph.len())?;
    // Each is entered once, when it is found to be live.
    let mut work = try_filled(0_usize, graph.len())?;
    work.clear();
    for (number, node) in graph.iter().enumerate() {
        if node.messages > inside[number] {
            live[number] = true;
            work.push(number);
        }
    }
    while let Some(number) = work.pop() {
        for reached in &graph[number].carries {
            if !core::mem::replace(&mut live[*reached], true) {
                work.push(*reached);
            }
        }
    }
    Some(live)
}

fn try_filled<T: Clone>(value: T, count: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).ok()?;
    list.resize(count, value);
    Some(list)
}

/// Names an open file for as long as somebody holds it.
fn address(file: &Arc<File>) -> usize {
    Arc::as_ptr(file).addr()
}

fn socket_of(file: &File) -> Option<&Arc<Socket>> {
    match file.operations().special() {
        Special::Socket(socket) => Some(socket),
        _ => None,
    }
}

/// Calls `visit` for the files that wait in the queue of `socket` and in those of connections that it has not accepted,
/// which have no file of their own. `visit` is called with a socket's lock held.
fn each_in_queue(
    socket: &Arc<Socket>,
    visit: &mut impl FnMut(&Arc<File>) -> Option<()>,
) -> Option<()> {
    let mut index = 0;
    loop {
        let waiting = {
            let state = socket.state.lock();
            if index == 0 {
                each_file(&state.queue, visit)?;
            }
            state.backlog.get(index).cloned()
        };
        let Some(waiting) = waiting else { return Some(()) };
        each_file(&waiting.state.lock().queue, visit)?;
        index += 1;
    }
}

fn each_file(queue: &ReceiveQueue, visit: &mut impl FnMut(&Arc<File>) -> Option<()>) -> Option<()> {
    let rights = queue.iter().filter_map(|queued| queued.rights.as_ref());
    rights.flat_map(|rights| rights.files()).try_for_each(visit)
}

/// Drops what waits in the queues of a socket that nobody can receive from.
fn empty(file: &File) {
    let Some(socket) = socket_of(file) else { return };
    drop_messages(socket);
    let mut index = 0;
    loop {
        let waiting = socket.state.lock().backlog.get(index).cloned();
        let Some(waiting) = waiting else { return };
        drop_messages(&waiting);
        index += 1;
    }
}

/// One by one, without the lock.
fn drop_messages(socket: &Socket) {
    loop {
        let message: Option<Queued> = socket.state.lock().queue.pop();
        if message.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(messages: usize, carries: &[usize]) -> Node {
        Node { messages, carries: carries.to_vec() }
    }

    #[test]
    fn two_in_each_others_queues_are_garbage() {
        assert_eq!(mark(&[node(1, &[1]), node(1, &[0])]), Some(vec![false, false]));
        assert_eq!(mark(&[node(1, &[0])]), Some(vec![false]));
    }

    #[test]
    fn what_somebody_else_refers_to_is_live_with_all_it_carries() {
        // 0 is in a queue outside and carries 1, which carries 2; 3 carries itself.
        let graph = [node(1, &[1]), node(1, &[2, 2]), node(2, &[]), node(1, &[3])];
        assert_eq!(mark(&graph), Some(vec![true, true, true, false]));
    }

    proptest! {
        #[test]
        fn garbage_is_what_cannot_be_reached(
            edges in prop::collection::vec((0usize..8, 0usize..8), 0..24),
            outside in prop::collection::vec(0usize..2, 8),
        ) {
            let mut graph: Vec<Node> = outside.iter().map(|count| node(*count, &[])).collect();
            for (from, to) in &edges {
                graph[*from].carries.push(*to);
                graph[*to].messages += 1;
            }
            let mut reached: Vec<bool> = outside.iter().map(|count| *count > 0).collect();
            for _ in 0..8 {
                for (from, to) in &edges {
                    reached[*to] |= reached[*from];
                }
            }
            prop_assert_eq!(mark(&graph), Some(reached));
        }
    }
}
