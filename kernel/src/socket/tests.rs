//! Sockets that talk to each other on the host, without waiting.

use alloc::sync::Arc;

use proptest::prelude::*;

use super::address::Address;
use super::control::SenderCredentials;
use super::receive::{Received, Reception, Taking};
use super::transmit::Transmission;
use super::unix::{Kind, Shutdown, Socket};
use super::wait::Patience;
use crate::errno::{Errno, Result};
use crate::fs::{Sink, Source};

const ANN: SenderCredentials = SenderCredentials { process: 10, user: 1, group: 1 };
const BOB: SenderCredentials = SenderCredentials { process: 20, user: 2, group: 2 };

fn pair(kind: Kind) -> (Arc<Socket>, Arc<Socket>) {
    let (first, second) = (Socket::new(kind), Socket::new(kind));
    first.connect_to(second.clone(), BOB);
    second.connect_to(first.clone(), ANN);
    (first, second)
}

fn send_as(socket: &Arc<Socket>, bytes: &[u8], credentials: SenderCredentials) -> Result {
    let transmission =
        Transmission { patience: Patience::None, destination: None, rights: None, credentials };
    socket.transmit(&mut Source::kernel(bytes), transmission)
}

fn send(socket: &Arc<Socket>, bytes: &[u8]) -> Result {
    send_as(socket, bytes, ANN)
}

fn receive_by(socket: &Socket, size: usize, taking: Taking) -> Result<(Vec<u8>, Received)> {
    let mut buffer = vec![0; size];
    let reception = Reception { patience: Patience::None, taking, least: 1 };
    let received = socket.receive(&mut Sink::kernel(&mut buffer), reception)?;
    buffer.truncate(received.count);
    Ok((buffer, received))
}

fn receive(socket: &Socket, size: usize) -> Result<Vec<u8>> {
    receive_by(socket, size, Taking::Remove).map(|(bytes, _)| bytes)
}

#[test]
fn a_stream_has_no_boundaries() {
    let (a, b) = pair(Kind::Stream);
    assert_eq!(send(&a, b"hello "), Ok(6));
    assert_eq!(send(&a, b"world"), Ok(5));
    assert_eq!(receive(&b, 8), Ok(b"hello wo".to_vec()));
    assert_eq!(receive(&b, 8), Ok(b"rld".to_vec()));
    assert_eq!(receive(&b, 8), Err(Errno::EAGAIN));
}

#[test]
fn datagrams_and_packets_keep_theirs_and_lose_what_does_not_fit() {
    for kind in [Kind::Datagram, Kind::SequencedPacket] {
        let (a, b) = pair(kind);
        assert_eq!(send(&a, b"first"), Ok(5));
        assert_eq!(send(&a, b""), Ok(0));
        assert_eq!(send(&a, b"third"), Ok(5));
        let (bytes, received) = receive_by(&b, 2, Taking::Remove).expect("queued");
        assert_eq!((bytes.as_slice(), received.length), (&b"fi"[..], 5));
        assert_eq!(receive(&b, 8), Ok(vec![]));
        assert_eq!(receive(&b, 8), Ok(b"third".to_vec()));
    }
}

#[test]
fn peeking_leaves_everything_where_it_is() {
    let (a, b) = pair(Kind::Stream);
    assert_eq!(send(&a, b"ab"), Ok(2));
    assert_eq!(send(&a, b"cd"), Ok(2));
    let (peeked, _) = receive_by(&b, 3, Taking::Peek).expect("queued");
    assert_eq!(peeked, b"abc");
    assert_eq!(receive(&b, 10), Ok(b"abcd".to_vec()));
}

#[test]
fn with_passcred_bytes_of_two_senders_are_not_glued() {
    let (a, b) = pair(Kind::Stream);
    let on = 1_i32.to_ne_bytes();
    b.set_option(linux_raw_sys::net::SO_PASSCRED, &on).expect("known");
    assert_eq!(send_as(&a, b"ann", ANN), Ok(3));
    assert_eq!(send_as(&a, b"bob", BOB), Ok(3));
    let (bytes, received) = receive_by(&b, 10, Taking::Remove).expect("queued");
    assert_eq!((bytes.as_slice(), received.credentials), (&b"ann"[..], Some(ANN)));
    let (bytes, received) = receive_by(&b, 10, Taking::Remove).expect("queued");
    assert_eq!((bytes.as_slice(), received.credentials), (&b"bob"[..], Some(BOB)));
}

#[test]
fn what_was_sent_is_read_before_the_end_and_then_writes_fail() {
    let (a, b) = pair(Kind::Stream);
    assert_eq!(send(&a, b"last words"), Ok(10));
    a.close();
    assert_eq!(receive(&b, 20), Ok(b"last words".to_vec()));
    assert_eq!(receive(&b, 20), Ok(vec![]));
    assert_eq!(send(&b, b"anybody?"), Err(Errno::EPIPE));
}

#[test]
fn closing_with_unread_data_resets_the_connection() {
    let (a, b) = pair(Kind::Stream);
    assert_eq!(send(&b, b"unread"), Ok(6));
    a.close();
    assert_eq!(receive(&b, 20), Err(Errno::ECONNRESET));
    assert_eq!(receive(&b, 20), Ok(vec![]));
}

#[test]
fn one_direction_can_be_shut_down() {
    let (a, b) = pair(Kind::Stream);
    a.shut_down(Shutdown::WRITE);
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&b, 1), Ok(vec![]));
    assert_eq!(send(&b, b"still"), Ok(5));
    assert_eq!(receive(&a, 5), Ok(b"still".to_vec()));
}

#[test]
fn unconnected_sockets_say_so() {
    let stream = Socket::new(Kind::Stream);
    assert_eq!(send(&stream, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(receive(&stream, 1), Err(Errno::EINVAL));
    let packets = Socket::new(Kind::SequencedPacket);
    assert_eq!(send(&packets, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(receive(&packets, 1), Err(Errno::ENOTCONN));
    let datagram = Socket::new(Kind::Datagram);
    assert_eq!(send(&datagram, b"x"), Err(Errno::ENOTCONN));
    assert_eq!(receive(&datagram, 1), Err(Errno::EAGAIN));
}

#[test]
fn datagrams_go_to_names_and_tell_where_they_come_from() {
    let (server, client) = (Socket::new(Kind::Datagram), Socket::new(Kind::Datagram));
    server.bind(Address::Abstract(b"tests-server".to_vec())).expect("free");
    client.bind(Address::Unnamed).expect("a name is found");
    let transmission = |name: &[u8]| Transmission {
        patience: Patience::None,
        destination: Some(Address::Abstract(name.to_vec())),
        rights: None,
        credentials: ANN,
    };
    let send = |name| client.transmit(&mut Source::kernel(b"hi"), transmission(name));
    assert_eq!(send(b"tests-server"), Ok(2));
    assert_eq!(send(b"tests-nobody"), Err(Errno::ECONNREFUSED));
    let (_, received) = receive_by(&server, 10, Taking::Remove).expect("queued");
    assert_eq!(received.sender, Some(client.address()));
    server.close();
    assert_eq!(
        client.transmit(&mut Source::kernel(b"hi"), transmission(b"tests-server")),
        Err(Errno::ECONNREFUSED)
    );
}

#[test]
fn a_sender_runs_into_the_bound_of_its_buffer() {
    let (a, b) = pair(Kind::Stream);
    let mut sent = 0;
    let error = loop {
        match send(&a, &[7; 5000]) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::EAGAIN);
    let mut received = 0;
    while let Ok(bytes) = receive(&b, 4096) {
        received += bytes.len();
    }
    assert_eq!(received, sent);
    assert_eq!(send(&a, b"again"), Ok(5));
}

#[test]
fn a_datagram_larger_than_the_buffer_is_refused() {
    let (a, _b) = pair(Kind::Datagram);
    assert_eq!(send(&a, &vec![0; 300_000]), Err(Errno::EMSGSIZE));
}

proptest! {
    #[test]
    fn a_stream_is_a_queue_of_bytes(steps in prop::collection::vec((any::<bool>(), 1usize..9000), 0..60)) {
        let (a, b) = pair(Kind::Stream);
        let (mut written, mut seen) = (0u8, 0u8);
        for (is_send, count) in steps {
            if is_send {
                let bytes: Vec<u8> = (0..count).map(|i| written.wrapping_add(i as u8)).collect();
                if let Ok(sent) = send(&a, &bytes) {
                    written = written.wrapping_add(sent as u8);
                }
            } else if let Ok(bytes) = receive(&b, count) {
                for byte in bytes {
                    prop_assert_eq!(byte, seen);
                    seen = seen.wrapping_add(1);
                }
            }
        }
    }
}
