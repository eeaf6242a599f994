//! The latch in a whole call, in virtual time: strays, NATs that give another port, sessions that are agreed anew; and what it
//! means for the kernel.

use std::net::UdpSocket;

use super::call::Call;
use crate::clock::{MILLISECOND, SECOND};
use crate::protocol::{Connect, Event};
use crate::rtp::latch::{LEARNING, PROBATION};

fn socket(host: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).expect("a port");
    socket.set_nonblocking(true).expect("a mode");
    socket
}

/// The SDP of a phone behind NAT: an address that nobody sends from.
fn private(connect: &mut Connect) {
    connect.remote_address = "127.0.0.77".into();
    connect.remote_port = 4000;
}

/// A call whose phone 0 is behind NAT, and was not heard yet.
fn behind_nat(forwards: bool) -> Call {
    let mut call = Call::new(forwards);
    call.connect(0, private);
    call
}

/// The NAT gives phone 0 another port.
fn rebind(call: &mut Call) {
    let host = call.phones[0].socket.local_addr().expect("bound").ip();
    call.phones[0].socket = socket(&host.to_string());
}

/// Both talk for a second; gives how many packets of the other each hears of 50.
fn heard(call: &mut Call) -> [usize; 2] {
    let before = [0, 1].map(|index| call.phones[index].heard.len());
    call.talk(SECOND);
    [0, 1].map(|index| call.phones[index].heard.len() - before[index])
}

fn latched(call: &Call) -> Vec<u16> {
    let port = |event: &Event| match event {
        Event::Latched { port, .. } => Some(*port),
        _ => None,
    };
    call.events.iter().filter_map(port).collect()
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("bound").port()
}

fn stray(call: &mut Call, from: &UdpSocket) {
    let to = call
        .stream(0)
        .map(|stream| stream.sockets.any.local_addr().expect("bound"))
        .expect("a stream");
    let mut datagram = vec![0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9];
    datagram.extend([0xFF; 160]);
    from.send_to(&datagram, to).expect("sent");
    call.pass(5 * MILLISECOND);
}

#[test]
fn a_stray_packet_before_the_caller_s_first_costs_a_moment_both_ways() {
    let (mut call, mallory) = (behind_nat(false), socket("127.0.0.9"));
    stray(&mut call, &mallory);
    let [by_caller, by_callee] = heard(&mut call);
    let most = (PROBATION / (20 * MILLISECOND)) as usize + 2;
    assert!(
        by_caller >= 50 - most && by_callee >= 50 - most,
        "{by_caller}, {by_callee}"
    );
    let own = port(&call.phones[0].socket);
    assert_eq!(latched(&call), [port(&mallory), own]);
    assert_eq!(heard(&mut call), [50, 50]);
    stray(&mut call, &mallory);
    call.talk(LEARNING);
    let tells = |event: &&Event| matches!(event, Event::Stranger { port: told, .. } if *told == port(&mallory));
    assert_eq!(
        call.events.iter().filter(tells).count(),
        1,
        "who was taken for the peer is told as a stranger"
    );
}

#[test]
fn a_stray_packet_after_the_caller_s_first_costs_nothing() {
    let (mut call, mallory) = (behind_nat(false), socket("127.0.0.9"));
    call.talk(20 * MILLISECOND);
    stray(&mut call, &mallory);
    assert_eq!(heard(&mut call), [50, 50]);
    assert_eq!(latched(&call), [port(&call.phones[0].socket)]);
}

#[test]
fn reports_of_whoever_was_taken_for_the_peer_are_forgotten() {
    let (mut call, mallory) = (behind_nat(false), socket("127.0.0.9"));
    stray(&mut call, &mallory);
    let to = call.stream(0).expect("a").sockets.rtcp.local_addr().expect("bound");
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    mallory.send_to(&report, to).expect("sent");
    call.pass(5 * MILLISECOND);
    call.talk(SECOND);
    let host = call.phones[0].socket.local_addr().expect("bound").ip();
    let reports = socket(&host.to_string());
    reports.send_to(&report, to).expect("sent");
    call.talk(15 * SECOND);
    let mut room = [0; 1500];
    assert!(reports.recv(&mut room).is_ok(), "the caller is sent reports");
    let mut to_mallory = std::iter::from_fn(|| mallory.recv(&mut room).ok());
    assert_eq!(to_mallory.find(|&length| length != 172), None, "the other is sent none");
}

/// Send the stream of phone 0 a report.
fn report(call: &mut Call, from: &UdpSocket) {
    let to = call.stream(0).expect("a").sockets.rtcp.local_addr().expect("bound");
    from.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 9], to).expect("sent");
    call.pass(5 * MILLISECOND);
}

#[test]
fn a_nat_that_gives_rtp_another_port_may_give_rtcp_one_as_well() {
    let mut call = behind_nat(false);
    let host = call.phones[0].socket.local_addr().expect("bound").ip().to_string();
    let (before, after) = (socket(&host), socket(&host));
    call.talk(SECOND);
    report(&mut call, &before);
    call.connect(0, private);
    rebind(&mut call);
    call.talk(LEARNING + SECOND);
    assert_eq!(latched(&call).last(), Some(&port(&call.phones[0].socket)));
    report(&mut call, &after);
    let mut room = [0; 1500];
    while before.recv(&mut room).is_ok() {}
    call.talk(15 * SECOND);
    assert!(after.recv(&mut room).is_ok(), "reports go where the newest came from");
    assert!(before.recv(&mut room).is_err(), "and no more to the port of before");
    let tells = |event: &&Event| matches!(event, Event::Stranger { port: told, .. } if *told == port(&after));
    assert_eq!(call.events.iter().filter(tells).count(), 0);
}

#[test]
fn reports_alone_move_nothing() {
    let (mut call, mallory) = (behind_nat(false), socket("127.0.0.9"));
    let stream = call.stream(0).expect("a");
    let ends = [&stream.sockets.rtcp, &stream.sockets.any].map(|socket| socket.local_addr().expect("bound"));
    for to in ends.repeat(20) {
        mallory.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 9], to).expect("sent");
        call.pass(20 * MILLISECOND);
    }
    assert!(latched(&call).is_empty());
    call.talk(20 * MILLISECOND);
    assert_eq!(heard(&mut call), [50, 50]);
}

type Change = fn(&mut Connect);

/// A session refresh, and each way to hold.
const HOLDS: [(&str, Change); 5] = [
    ("refresh", private),
    ("inactive", |it| {
        private(it);
        it.direction = "inactive".into();
    }),
    ("sendonly", |it| {
        private(it);
        it.direction = "sendonly".into();
    }),
    ("recvonly", |it| {
        private(it);
        it.direction = "recvonly".into();
    }),
    ("no address", |it| it.remote_address = "0.0.0.0".into()),
];

#[test]
fn after_a_hold_or_a_refresh_the_phone_is_found_at_another_port_of_its_nat__rfc3264_8() {
    for forwards in [false, true] {
        for (name, hold) in HOLDS {
            let mut call = behind_nat(forwards);
            call.talk(7 * SECOND);
            assert_eq!(call.is_down(), [forwards, forwards], "{name}");
            call.connect(0, hold);
            assert_eq!(call.is_down(), [false, false], "{name}");
            call.pass(2 * SECOND);
            rebind(&mut call);
            call.connect(0, private);
            call.talk(60 * MILLISECOND);
            assert_eq!(latched(&call).last(), Some(&port(&call.phones[0].socket)), "{name}");
            assert_eq!(heard(&mut call), [50, 50], "{name}");
            assert_eq!(
                call.is_down(),
                [false, false],
                "{name}: who the peer is may still change"
            );
            call.talk(5 * SECOND);
            assert_eq!(call.is_down(), [forwards, forwards], "{name}: it is settled");
            assert_eq!(heard(&mut call), [50, 50], "{name}");
        }
    }
}

#[test]
fn without_an_exchange_nobody_takes_the_place_of_a_peer_that_the_kernel_forwards() {
    let mut call = behind_nat(true);
    call.talk(7 * SECOND);
    let before = latched(&call);
    let heard = call.phones[1].heard.len();
    rebind(&mut call);
    for _ in 0..50 {
        call.say(0, 0);
        call.pass(20 * MILLISECOND);
    }
    assert_eq!(call.phones[1].heard.len(), heard);
    assert_eq!((call.is_down(), latched(&call)), ([true, true], before));
}

#[test]
fn an_exchange_that_says_the_same_disturbs_no_audio_in_user_space_or_in_the_kernel() {
    for forwards in [false, true] {
        let mut call = behind_nat(forwards);
        call.talk(7 * SECOND);
        for _ in 0..10 {
            call.connect(0, private);
            assert_eq!(call.is_down(), [false, false]);
            assert_eq!(heard(&mut call), [50, 50]);
            call.connect(1, |_| ());
        }
        assert_eq!(latched(&call).len(), 1);
    }
}
