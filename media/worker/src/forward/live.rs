//! Real packets through the prepared program, in network namespaces of their own: on the loopback, and between the two ends of
//! a cable, where neighbours have to be found. Wants root and `ip`.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::Duration;

use super::command::{self, Preparation};
use super::keeper::Keeper;
use super::{Forwarder, Rule};
use crate::clock::Clock;
use crate::rtp;
use crate::sys::bpf::{self, monotonic_ns};

const SECOND: u64 = 1_000_000_000;
const SSRC: u32 = 77;

/// Do this in a thread that has a network and mounts of its own; not done, and said, where that is not allowed.
fn apart(run: impl FnOnce() + Send + 'static) {
    if Command::new("ip").arg("-V").output().is_err() {
        return eprintln!("skipped: there is no `ip`");
    }
    let thread = std::thread::spawn(|| match bpf::leave(true) {
        Ok(_) => run(),
        Err(error) => eprintln!("skipped: a network namespace wants root ({error})"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split_whitespace()).status().expect("ip");
    assert!(status.success(), "ip {line}");
}

/// `test`: the directory is seen by all, only what is mounted there is not.
/// None, and said, where the kernel is too old or does not let us.
fn prepare(interface: &str, test: &str) -> Option<PathBuf> {
    let place = std::env::temp_dir().join(format!("dp-forward-{test}-{}", std::process::id()));
    let wish = wish(interface, &place);
    if let Err(error) = command::run(&wish) {
        assert!(error.contains("6.6") || error.contains("not permitted"), "{error}");
        eprintln!("skipped: {error}");
        return None;
    }
    // A second time is as good.
    command::run(&wish).expect("prepared");
    Some(place)
}

fn wish(interface: &str, place: &std::path::Path) -> Preparation {
    Preparation {
        interfaces: vec![interface.to_owned()],
        directory: place.to_owned(),
        user: None,
        remove: false,
    }
}

fn remove(place: &std::path::Path) {
    let wish = Preparation {
        interfaces: Vec::new(),
        remove: true,
        ..wish("", place)
    };
    command::run(&wish).expect("removed");
    assert!(!place.exists());
}

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("an address");
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    socket
}

fn address(socket: &UdpSocket) -> SocketAddrV4 {
    match socket.local_addr().expect("bound") {
        std::net::SocketAddr::V4(address) => address,
        std::net::SocketAddr::V6(_) => unreachable!("bound to IPv4"),
    }
}

fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x55; rtp::HEADER + 160];
    let stamp = rtp::Stamp {
        marker: false,
        payload_type: 0,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: SSRC,
    };
    rtp::write(packet.first_chunk_mut().expect("long enough"), stamp);
    packet
}

/// What came: from whom, and its sequence number and SSRC.
fn heard(socket: &UdpSocket) -> io::Result<(String, u16, u32)> {
    let mut buffer = [0; 400];
    let (length, from) = socket.recv_from(&mut buffer)?;
    let packet = rtp::parse(&buffer[..length]).expect("RTP");
    Ok((from.to_string(), packet.sequence, packet.ssrc))
}

/// A packet that has not left the machine has no checksum yet: in its place stands the sum of what the device that makes the
/// checksum does not know, addresses and length. It must be that of the addresses by which the packet goes on.
fn expect_sum_of_addresses(raw: &UdpSocket, to: SocketAddrV4) {
    let mut packet = [0; 400];
    loop {
        let (length, _) = raw.recv_from(&mut packet).expect("a forwarded packet");
        if packet[22..24] != to.port().to_be_bytes() {
            continue;
        }
        let words = packet[12..20]
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum = words.sum::<u32>() + 17 + length as u32 - 20;
        let sum = (sum & 0xFFFF) + (sum >> 16);
        assert_eq!(u32::from(packet[26]) << 8 | u32::from(packet[27]), sum);
        return;
    }
}

fn rule(peer: SocketAddrV4, local: &UdpSocket, out_local: &UdpSocket, out_peer: SocketAddrV4) -> Rule {
    Rule {
        peer,
        local: address(local),
        out_local: address(out_local),
        out_peer,
        ssrc_in: SSRC,
        payload_type_in: 0,
        ssrc_out: 88,
        payload_type_out: 0,
        sequence_offset: 1000,
        timestamp_offset: 5,
        clock_rate_hz: 8000,
        highest_sequence: 0,
        timestamp: 0,
        jitter: 0,
        packets_per_second: 1000,
        max_octets: 240,
        dscp: 46,
    }
}

// Of one piece: one flow from its beginning to its end, each step on what the one before left.
#[test]
fn on_the_loopback_a_flow_goes_by_the_kernel_while_it_is_given() {
    apart(|| {
        ip("link set lo up");
        let Some(place) = prepare("lo", "given") else { return };
        let forwarder = Forwarder::new(&place, Clock::new()).expect("a socket");
        let mut keeper = Keeper::default();
        keeper.turn(&forwarder, monotonic_ns(), false);
        assert!(forwarder.is_open());
        let (caller, called) = (socket("127.0.0.2:0"), socket("127.0.0.3:0"));
        let (first, second) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let to = address(&first);
        let rule = rule(address(&caller), &first, &second, address(&called));
        let send = |sequence: u16| caller.send_to(&packet(sequence), to).expect("sent");

        send(1);
        assert_eq!(heard(&first).expect("up").1, 1);
        let raw = bpf::listen_raw().expect("a socket");
        raw.set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a timeout");
        let flow = forwarder.give(&rule).expect("given");
        let twice = forwarder.give(&rule).expect_err("twice");
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
        let before = forwarder.read(flow).expect("a flow");
        assert_eq!((before.packets, before.last_at), (0, 0));
        for sequence in 2..12 {
            send(sequence);
            let expected = (address(&second).to_string(), sequence + 1000, 88);
            assert_eq!(heard(&called).expect("forwarded"), expected);
        }
        expect_sum_of_addresses(&raw, address(&called));
        let stranger = socket("127.0.0.2:0");
        stranger.send_to(&packet(12), to).expect("sent");
        assert_eq!(heard(&first).expect("up").0, address(&stranger).to_string());
        let counters = forwarder.take(flow).expect("a flow");
        assert_eq!(
            (counters.packets, counters.octets, counters.highest_sequence),
            (10, 1600, 11)
        );
        let now = Clock::new().now();
        assert!(
            counters.last_at > 0 && now < SECOND,
            "by the clock of the worker, which has just begun"
        );
        assert!(counters.last_at < 10 * SECOND, "{}", counters.last_at);
        assert_eq!((forwarder.take(flow), forwarder.read(flow)), (None, None));
        send(12);
        assert_eq!(heard(&first).expect("up").1, 12);

        // Nobody renews the lease: within a second all is as if there were no flow.
        let flow = forwarder.give(&rule).expect("given");
        send(13);
        heard(&called).expect("forwarded");
        std::thread::sleep(Duration::from_millis(1100));
        send(14);
        assert_eq!(heard(&first).expect("up").1, 14);
        assert_eq!(forwarder.read(flow).map(|counters| counters.passed_up), Some(1));
        keeper.turn(&forwarder, monotonic_ns(), false);
        send(15);
        heard(&called).expect("forwarded again");

        // One worker at a time, and the next one finds nothing of the one before.
        let other = Forwarder::new(&place, Clock::new()).expect("a socket");
        Keeper::default().turn(&other, monotonic_ns(), false);
        assert!(!other.is_open());
        drop(forwarder);
        send(16);
        assert_eq!(heard(&first).expect("up, without waiting for the lease").1, 16);
        Keeper::default().turn(&other, monotonic_ns(), false);
        assert!(other.is_open() && other.read(flow).is_none());
        remove(&place);
    });
}

#[test]
fn what_was_prepared_anew_is_opened_anew() {
    apart(|| {
        ip("link set lo up");
        let Some(place) = prepare("lo", "anew") else { return };
        let forwarder = Forwarder::new(&place, Clock::new()).expect("a socket");
        let mut keeper = Keeper::default();
        let mut now = monotonic_ns();
        keeper.turn(&forwarder, now, false);
        let (caller, called) = (socket("127.0.0.2:0"), socket("127.0.0.3:0"));
        let (first, second) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let rule = rule(address(&caller), &first, &second, address(&called));
        let flow = forwarder.give(&rule).expect("given");
        command::run(&wish("lo", &place)).expect("prepared");
        now += SECOND;
        keeper.turn(&forwarder, now, false);
        assert!(forwarder.is_open());
        assert_eq!(forwarder.take(flow), None);
        forwarder.give(&rule).expect("given anew");
        caller.send_to(&packet(1), address(&first)).expect("sent");
        heard(&called).expect("forwarded");
        // Gone is gone, from the next packet on.
        remove(&place);
        caller.send_to(&packet(2), address(&first)).expect("sent");
        assert_eq!(heard(&first).expect("up").1, 2);
        now += SECOND;
        keeper.turn(&forwarder, now, false);
        assert!(!forwarder.is_open());
        let refused = forwarder.give(&rule).expect_err("closed");
        assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn nothing_is_hidden_by_what_is_mounted() {
    apart(|| {
        ip("link set lo up");
        let place = std::env::temp_dir().join(format!("dp-forward-full-{}", std::process::id()));
        let file = place.join("of-somebody");
        std::fs::create_dir_all(&place).expect("made");
        std::fs::write(&file, "").expect("written");
        let refused = command::run(&wish("lo", &place));
        let there = file.exists();
        std::fs::remove_dir_all(&place).expect("removed");
        match refused {
            Err(error) if error.contains("6.6") || error.contains("not permitted") => eprintln!("skipped: {error}"),
            refused => assert!(there && refused.is_err_and(|error| error.contains("empty"))),
        }
    });
}

/// The other end of the cable: two phones that tell what they hear.
fn phones(
    ready: &Sender<i32>,
    cabled: &Receiver<()>,
    say: &Receiver<u16>,
    told: &Sender<io::Result<(String, u16, u32)>>,
) {
    let thread = bpf::leave(false).expect("a namespace");
    ready.send(thread).expect("sent");
    cabled.recv().expect("told");
    ip("address add 10.9.0.2/24 dev phones");
    ip("address add 10.9.0.3/24 dev phones");
    ip("link set phones up");
    let (caller, called) = (socket("10.9.0.2:4000"), socket("10.9.0.3:5000"));
    ready.send(0).expect("sent");
    while let Ok(sequence) = say.recv() {
        caller.send_to(&packet(sequence), "10.9.0.1:16384").expect("sent");
        told.send(heard(&called)).expect("told");
    }
}

#[test]
fn over_a_cable_the_neighbour_is_found_and_routes_are_followed() {
    apart(|| {
        let (ready, is_ready) = channel();
        let (cabled, is_cabled) = channel();
        let (say, said) = channel();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || phones(&ready, &is_cabled, &said, &tell));
        let other = is_ready.recv().expect("a namespace");
        ip(&format!("link add relay type veth peer name phones netns {other}"));
        ip("address add 10.9.0.1/24 dev relay");
        ip("link set relay up");
        cabled.send(()).expect("told");
        is_ready.recv().expect("ready");
        let Some(place) = prepare("relay", "cable") else { return };
        let forwarder = Forwarder::new(&place, Clock::new()).expect("a socket");
        let mut keeper = Keeper::default();
        keeper.turn(&forwarder, monotonic_ns(), false);
        let (first, second) = (socket("10.9.0.1:16384"), socket("10.9.0.1:16386"));
        let phone = |text: &str| text.parse().expect("an address");
        let rule = rule(phone("10.9.0.2:4000"), &first, &second, phone("10.9.0.3:5000"));
        let flow = forwarder.give(&rule).expect("given");
        // Nobody has spoken to the called one yet: its hardware address is unknown.
        for sequence in 1..6 {
            say.send(sequence).expect("sent");
            let expected = ("10.9.0.1:16386".to_owned(), sequence + 1000, 88);
            assert_eq!(told.recv().expect("told").expect("forwarded"), expected);
        }
        // The way to the called one is gone, by what the routes say; the packets come up.
        ip("route add prohibit 10.9.0.3/32");
        keeper.turn(&forwarder, monotonic_ns() + SECOND, true);
        say.send(6).expect("sent");
        assert!(told.recv().expect("told").is_err());
        assert_eq!(heard(&first).expect("up").1, 6);
        ip("route del prohibit 10.9.0.3/32");
        keeper.turn(&forwarder, monotonic_ns() + 2 * SECOND, true);
        say.send(7).expect("sent");
        told.recv().expect("told").expect("forwarded");
        let counters = forwarder.take(flow).expect("a flow");
        assert_eq!((counters.packets, counters.passed_up), (6, 1));
        remove(&place);
        drop(say);
        thread.join().expect("ended");
    });
}
