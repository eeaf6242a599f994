//! Both back ends keep the same promises. Where the kernel forbids io_uring there is only one.

use std::collections::HashMap;
use std::net::UdpSocket;

use super::{choose, Arrival, Io, Net};
use crate::sys;

fn each(test: impl Fn(Io)) {
    test(Io::Epoll);
    if choose(None) == Ok(Io::Uring) {
        test(Io::Uring);
    }
}

fn net(io: Io) -> Net {
    let mut net = Net::new(io).expect("a net");
    net.start().expect("this thread");
    net
}

/// A peer, and our socket that is connected to it.
fn pair() -> (UdpSocket, UdpSocket) {
    let peer = UdpSocket::bind("127.0.0.2:0").expect("a port");
    peer.set_read_timeout(Some(std::time::Duration::from_secs(2)))
        .expect("a timeout");
    let first = sys::udp_exclusive("127.0.0.1:0".parse().expect("an address"), 0).expect("a port");
    let ours = sys::udp_beside(&first, 0).expect("a companion");
    ours.connect(peer.local_addr().expect("bound")).expect("connected");
    peer.connect(ours.local_addr().expect("bound")).expect("connected");
    (peer, ours)
}

fn heard(peer: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let length = peer.recv(&mut buffer).expect("a datagram");
    buffer[..length].to_vec()
}

/// Datagrams of `sockets` by their place there, until `count` are in or nothing comes any more.
fn collect(net: &mut Net, sockets: &[&UdpSocket], count: usize) -> Vec<(u64, Vec<u8>)> {
    let mut buffer = [0; 2048];
    let mut all = Vec::new();
    let mut idle = 0;
    while idle < 3 {
        net.wait(if all.len() < count { 200 } else { 10 });
        idle += 1;
        while let Some(arrival) = net.take() {
            idle = 0;
            if let Arrival::Waiting { token } = arrival {
                if let Some(length) = net.receive(sockets[token as usize], &mut buffer) {
                    all.push((token, buffer[..length].to_vec()));
                }
            }
        }
    }
    all
}

#[test]
fn datagrams_come_in_order_and_under_their_token() {
    each(|io| {
        let mut net = net(io);
        let (peer, ours) = pair();
        net.watch_datagrams(&ours, 0).expect("watched");
        for word in [&b"one"[..], b"two", b"three"] {
            peer.send(word).expect("sent");
        }
        let words = [&b"one"[..], b"two", b"three"].map(|word| (0, word.to_vec()));
        assert_eq!(collect(&mut net, &[&ours], 3), words, "{io:?}");
    });
}

#[test]
fn what_was_sent_before_a_socket_closes_leaves_through_it_and_not_through_its_successor() {
    each(|io| {
        let mut net = net(io);
        let (before, ours) = pair();
        net.watch_datagrams(&ours, 0).expect("watched");
        assert!(net.send(&ours, b"to the first"));
        net.forget(&ours);
        drop(ours);
        let (after, successor) = pair(); // the numbers of the descriptors are given out again
        net.watch_datagrams(&successor, 0).expect("watched");
        assert!(net.send(&successor, b"to the second"));
        net.wait(0);
        assert_eq!(
            (heard(&before), heard(&after)),
            (b"to the first".to_vec(), b"to the second".to_vec()),
            "{io:?}"
        );
    });
}

#[test]
fn an_answer_port_unreachable_costs_no_packet_once_the_peer_is_back() {
    each(|io| {
        let mut net = net(io);
        let (peer, ours) = pair();
        let at = peer.local_addr().expect("bound");
        drop(peer);
        // Not watched: so the next to be sent is told of the answer.
        assert!(net.send(&ours, b"lost"));
        net.wait(0);
        let peer = UdpSocket::bind(at).expect("its port again");
        peer.set_read_timeout(Some(std::time::Duration::from_secs(2)))
            .expect("a timeout");
        assert!(net.send(&ours, b"back"));
        net.wait(0);
        assert_eq!(heard(&peer), b"back", "{io:?}");
    });
}

#[test]
fn a_socket_that_hears_port_unreachable_goes_on_hearing() {
    each(|io| {
        let mut net = net(io);
        let (peer, ours) = pair();
        let at = peer.local_addr().expect("bound");
        net.watch_datagrams(&ours, 0).expect("watched");
        drop(peer);
        for _ in 0..5 {
            net.send(&ours, b"lost");
            collect(&mut net, &[&ours], 0);
        }
        let peer = UdpSocket::bind(at).expect("its port again");
        peer.send_to(b"here I am", ours.local_addr().expect("bound"))
            .expect("sent");
        assert_eq!(collect(&mut net, &[&ours], 1), [(0, b"here I am".to_vec())], "{io:?}");
    });
}

#[test]
fn a_socket_moves_to_another_net_with_all_that_it_has_not_told() {
    each(|io| {
        let (mut first, mut second) = (net(io), net(io));
        let (peer, ours) = pair();
        first.watch_datagrams(&ours, 0).expect("watched");
        peer.send(b"before").expect("sent");
        assert_eq!(collect(&mut first, &[&ours], 1).len(), 1);
        first.forget(&ours);
        peer.send(b"between").expect("sent");
        assert_eq!(collect(&mut first, &[&ours], 0), [], "{io:?}");
        second.watch_datagrams(&ours, 0).expect("watched");
        peer.send(b"after").expect("sent");
        let told = collect(&mut second, &[&ours], 2);
        assert_eq!(told, [(0, b"between".to_vec()), (0, b"after".to_vec())], "{io:?}");
    });
}

#[test]
fn what_had_come_from_a_socket_that_moves_and_was_not_taken_is_not_lost() {
    each(|io| {
        let (mut first, mut second) = (net(io), net(io));
        let (peer, ours) = pair();
        first.watch_datagrams(&ours, 0).expect("watched");
        for word in [b"one", b"two"] {
            peer.send(word).expect("sent");
        }
        first.wait(500);
        peer.send(b"three").expect("sent");
        first.forget(&ours);
        let mut room = [0; 64];
        let mut told = Vec::new();
        while let Some(length) = first.left(&ours, &mut room) {
            told.push((0, room[..length].to_vec()));
        }
        if io == Io::Uring {
            assert_eq!(first.take(), None);
        }
        second.watch_datagrams(&ours, 0).expect("watched");
        peer.send(b"four").expect("sent");
        let rest = 4 - told.len();
        told.extend(collect(&mut second, &[&ours], rest));
        let words = [&b"one"[..], b"two", b"three", b"four"].map(|word| (0, word.to_vec()));
        assert_eq!(told, words, "{io:?}");
    });
}

#[test]
fn more_than_there_are_buffers_for_is_late_and_not_lost() {
    each(|io| {
        let mut net = net(io);
        let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
        for (place, (_, ours)) in pairs.iter().enumerate() {
            net.watch_datagrams(ours, place as u64).expect("watched");
        }
        for number in 0..100_u8 {
            for (peer, _) in &pairs {
                peer.send(&[number]).expect("sent");
            }
        }
        let sockets: Vec<&UdpSocket> = pairs.iter().map(|(_, ours)| ours).collect();
        let mut by_socket: HashMap<u64, Vec<u8>> = HashMap::new();
        for (token, datagram) in collect(&mut net, &sockets, 2000) {
            by_socket.entry(token).or_default().extend(datagram);
        }
        for place in 0..20 {
            assert_eq!(by_socket[&place], (0..100).collect::<Vec<u8>>(), "{io:?} {place}");
        }
    });
}

#[test]
fn more_than_there_is_room_to_queue_is_sent_all_the_same() {
    each(|io| {
        let mut net = net(io);
        let pairs: Vec<_> = (0..10).map(|_| pair()).collect();
        for number in 0..60_u8 {
            for (_, ours) in &pairs {
                assert!(net.send(ours, &[number; 1400]), "{io:?}");
            }
        }
        net.wait(0);
        for (peer, _) in &pairs {
            for number in 0..60_u8 {
                assert_eq!(heard(peer)[..2], [number; 2], "{io:?}");
            }
        }
    });
}

#[test]
fn a_flooded_socket_does_not_keep_the_others_waiting() {
    each(|io| {
        let mut net = net(io);
        let (flooder, flooded) = pair();
        let (quiet_peer, quiet) = pair();
        net.watch_datagrams(&flooded, 0).expect("watched");
        net.watch_datagrams(&quiet, 1).expect("watched");
        for _ in 0..200 {
            flooder.send(b"flood").expect("sent");
        }
        quiet_peer.send(b"hello").expect("sent");
        let mut buffer = [0; 64];
        let mut turns = 0;
        let mut told = false;
        while !told && turns < 10 {
            turns += 1;
            flooder.send(b"flood").expect("sent");
            net.wait(500);
            while let Some(Arrival::Waiting { token }) = net.take() {
                net.receive([&flooded, &quiet][token as usize], &mut buffer);
                told |= token == 1;
            }
        }
        assert!(told && turns <= 2, "{io:?}: {turns} turns");
    });
}

#[test]
fn an_empty_datagram_is_one_of_many() {
    each(|io| {
        let mut net = net(io);
        let (peer, ours) = pair();
        net.watch_datagrams(&ours, 0).expect("watched");
        for word in [&b""[..], b"one", b"", b"two"] {
            peer.send(word).expect("sent");
        }
        let mut told = collect(&mut net, &[&ours], 4);
        told.retain(|(_, word)| !word.is_empty());
        assert_eq!(told, [(0, b"one".to_vec()), (0, b"two".to_vec())], "{io:?}");
    });
}

#[test]
fn a_watched_descriptor_is_told_until_it_is_read() {
    each(|io| {
        let mut net = net(io);
        let (peer, ours) = pair();
        net.watch(&ours, 7).expect("watched");
        peer.send(b"one").expect("sent");
        peer.send(b"two").expect("sent");
        let mut buffer = [0; 64];
        for _ in 0..3 {
            net.wait(500);
            assert_eq!(net.take(), Some(Arrival::Waiting { token: 7 }), "{io:?}");
            assert_eq!(net.take(), None, "{io:?}");
        }
        for word in [&b"one"[..], b"two"] {
            net.wait(500);
            assert_eq!(net.take(), Some(Arrival::Waiting { token: 7 }), "{io:?}");
            let length = ours.recv(&mut buffer).expect("a datagram");
            assert_eq!(&buffer[..length], word, "{io:?}");
        }
        net.wait(0);
        while net.take().is_some() {}
        net.wait(0);
        assert_eq!(net.take(), None, "{io:?}");
    });
}

#[test]
fn the_wait_ends_with_its_time() {
    each(|io| {
        let mut net = net(io);
        let began = std::time::Instant::now();
        net.wait(30);
        let passed = began.elapsed().as_millis();
        assert!((25..500).contains(&passed), "{io:?}: {passed} ms");
        assert_eq!(net.take(), None);
    });
}
