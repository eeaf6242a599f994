//! The program as the kernel runs it (BPF_PROG_TEST_RUN), on frames that are made here. Loading it wants root.

use std::io;
use std::os::fd::OwnedFd;

use super::{layout, program, Counters, Rule};
use crate::random::Random;
use crate::rtp;
use crate::sys::bpf::{self, monotonic_ns, Map};

/// What the program gives.
const UP: i32 = -1;
const DROPPED: i32 = 2;
const SENT: i32 = 7;

/// Frames without a device of their own came in at the loopback.
const LO: u32 = 1;
const IP: usize = 14;
const UDP: usize = IP + 20;
const RTP: usize = UDP + 8;
const PAYLOAD: usize = RTP + rtp::HEADER;

fn rule() -> Rule {
    Rule {
        peer: "127.0.0.2:4000".parse().expect("an address"),
        local: "127.0.0.1:16384".parse().expect("an address"),
        out_local: "127.0.0.1:16386".parse().expect("an address"),
        out_peer: "127.0.0.3:5000".parse().expect("an address"),
        ssrc_in: 0x0102_0304,
        payload_type_in: 0,
        ssrc_out: 0x0A0B_0C0D,
        payload_type_out: 96,
        sequence_offset: 65_000,
        timestamp_offset: 0xFFFF_0000,
        clock_rate_hz: 8000,
        highest_sequence: 999,
        timestamp: 159_840,
        jitter: 0,
        packets_per_second: 1000,
        max_octets: 240,
        dscp: 46,
    }
}

/// The program with maps of its own.
struct Rig {
    program: OwnedFd,
    flows: Map,
    ways: Map,
    lease: Map,
    rule: Rule,
}

impl Rig {
    /// With one flow, and all that it needs. None, and said, where the kernel does not let us.
    fn new(rule: Rule) -> Option<Self> {
        let made = || -> io::Result<Self> {
            let [flows, ways, lease] = layout::MAPS.map(|(name, kind)| Map::create(name, kind));
            let (flows, ways, lease) = (flows?, ways?, lease?);
            let program = program::load(&[("flows", &flows), ("ways", &ways), ("lease", &lease)])?;
            Ok(Self {
                program,
                flows,
                ways,
                lease,
                rule,
            })
        };
        match made() {
            Ok(rig) => {
                let value = layout::value(&rig.rule);
                for way in layout::ways(&value) {
                    rig.lead(way, LO);
                }
                rig.flows.update(&rig.rule.flow().key(), &value, true).expect("given");
                rig.stand_until(u64::MAX);
                Some(rig)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: loading a program into the kernel wants root ({error})");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn lead(&self, way: [u8; layout::WAY], interface: u32) {
        self.ways
            .update(&way, &interface.to_ne_bytes(), false)
            .expect("written");
    }

    fn stand_until(&self, until: u64) {
        self.lease
            .update(&[0; 4], &until.to_ne_bytes(), false)
            .expect("written");
    }

    fn run(&self, frame: &[u8]) -> (i32, Vec<u8>) {
        bpf::run(&self.program, frame, &[]).expect("run")
    }

    /// It is left to the worker as it came.
    fn expect_up(&self, frame: &[u8], why: &str) {
        let (verdict, after) = self.run(frame);
        assert_eq!((verdict, after == frame), (UP, true), "{why}");
    }

    fn expect_sent(&self, frame: &[u8]) -> Vec<u8> {
        let (verdict, after) = self.run(frame);
        assert_eq!(verdict, SENT);
        after
    }

    fn counters(&self) -> Counters {
        let mut value = [0; layout::FLOW];
        self.flows.lookup(&self.rule.flow().key(), &mut value).expect("a flow");
        layout::counters(&value)
    }
}

fn sum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

/// Of a UDP datagram with the pseudo-header; 0xFFFF when its checksum is right.
fn udp_sum(frame: &[u8]) -> u16 {
    let pseudo = [
        &frame[IP + 12..IP + 20],
        &[0, 17],
        &frame[UDP + 4..UDP + 6],
        &frame[UDP..],
    ]
    .concat();
    sum(&pseudo)
}

/// Make the checksums right.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[IP + 10..IP + 12].fill(0);
    let header = !sum(&frame[IP..UDP]);
    frame[IP + 10..IP + 12].copy_from_slice(&header.to_be_bytes());
    frame[UDP + 6..UDP + 8].fill(0);
    let body = !udp_sum(&frame);
    frame[UDP + 6..UDP + 8].copy_from_slice(&body.to_be_bytes());
    frame
}

/// A frame as the peer of `rule()` sends it.
fn frame(sequence: u16, octets: usize) -> Vec<u8> {
    let rule = rule();
    let length = (8 + rtp::HEADER + octets) as u16;
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0x12, 0x34, 0, 0, 57, 17, 0, 0]);
    frame.extend(rule.peer.ip().octets());
    frame.extend(rule.local.ip().octets());
    for number in [rule.peer.port(), rule.local.port(), length, 0] {
        frame.extend(number.to_be_bytes());
    }
    let mut header = [0; rtp::HEADER];
    rtp::write(
        &mut header,
        rtp::Stamp {
            marker: false,
            payload_type: rule.payload_type_in,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: rule.ssrc_in,
        },
    );
    frame.extend(header);
    frame.extend((0..octets).map(|at| at as u8 ^ 0x55));
    sealed(frame)
}

/// The frame with other octets at a place, its checksums made right.
fn with(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = frame(1000, 160);
    frame[at..at + octets.len()].copy_from_slice(octets);
    sealed(frame)
}

#[test]
fn a_plain_packet_leaves_as_the_worker_would_send_it() {
    let Some(rig) = Rig::new(rule()) else { return };
    let before = with(RTP + 1, &[0x80]);
    let after = rig.expect_sent(&before);
    let packet = rtp::parse(&after[RTP..]).expect("RTP");
    assert_eq!((packet.marker, packet.payload_type), (true, 96));
    assert_eq!(packet.sequence, 1000_u16.wrapping_add(65_000));
    assert_eq!(packet.timestamp, 160_000_u32.wrapping_add(0xFFFF_0000));
    assert_eq!(packet.ssrc, 0x0A0B_0C0D);
    assert_eq!(after[PAYLOAD..], before[PAYLOAD..]);
    assert_eq!(after[IP + 12..IP + 20], [127, 0, 0, 1, 127, 0, 0, 3]);
    assert_eq!(after[UDP..UDP + 4], [0x40, 0x02, 0x13, 0x88]);
    // Expedited, never in fragments, and with a life of its own.
    assert_eq!(
        (after[IP + 1], &after[IP + 4..IP + 9]),
        (46 << 2, &[0, 0, 0x40, 0, 64][..])
    );
    assert_eq!((sum(&after[IP..UDP]), udp_sum(&after)), (0xFFFF, 0xFFFF));
}

#[test]
fn a_checksum_that_was_wrong_or_absent_stays_so() {
    let Some(rig) = Rig::new(rule()) else { return };
    let mut damaged = frame(1000, 160);
    damaged[PAYLOAD + 7] ^= 0x10;
    assert_ne!(udp_sum(&rig.expect_sent(&damaged)), 0xFFFF);
    let mut without = frame(1001, 160);
    without[UDP + 6..UDP + 8].fill(0);
    assert_eq!(rig.expect_sent(&without)[UDP + 6..UDP + 8], [0, 0]);
}

#[test]
fn what_is_not_of_the_flow_is_not_even_counted() {
    let Some(rig) = Rig::new(rule()) else { return };
    let mut cut = frame(1000, 160);
    cut.truncate(PAYLOAD);
    let cases: [(&str, Vec<u8>); 11] = [
        ("another address", with(IP + 12, &[127, 0, 0, 4])),
        ("another port", with(UDP, &[0x0F, 0xA1])),
        ("to another address", with(IP + 16, &[127, 0, 0, 9])),
        ("to another port", with(UDP + 2, &[0x40, 0x01])),
        ("for another host", {
            let mut frame = frame(1000, 160);
            frame[0..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            frame
        }),
        ("IPv6", with(12, &[0x86, 0xDD])),
        ("TCP", with(IP + 9, &[6])),
        ("with options", with(IP, &[0x46])),
        ("a first fragment", with(IP + 6, &[0x20, 0])),
        ("a later fragment", with(IP + 6, &[0, 1])),
        ("cut off", cut),
    ];
    for (why, frame) in cases {
        rig.expect_up(&frame, why);
    }
    assert_eq!(rig.counters().passed_up, 0);
}

#[test]
fn whatever_is_unusual_about_a_packet_leaves_it_to_the_worker() {
    let Some(rig) = Rig::new(rule()) else { return };
    let mut unsound = frame(1000, 160);
    unsound[IP + 8] ^= 1;
    let mut longer = frame(1000, 160);
    longer.push(0);
    let cases: [(&str, Vec<u8>); 18] = [
        ("version 1", with(RTP, &[0x40])),
        ("padding", with(RTP, &[0xA0])),
        ("extension", with(RTP, &[0x90])),
        ("CSRC", with(RTP, &[0x81])),
        ("a key", with(RTP + 1, &[101])),
        ("RTCP", with(RTP + 1, &[200])),
        ("another source", with(RTP + 8, &[9, 9, 9, 9])),
        ("not newer than the last", with(RTP + 2, &999_u16.to_be_bytes())),
        ("far ahead", with(RTP + 2, &(999_u16 + 3000).to_be_bytes())),
        ("far behind", with(RTP + 2, &(999_u16 - 100).to_be_bytes())),
        (
            "later by half a minute",
            with(RTP + 4, &(159_840_u32 + 240_001).to_be_bytes()),
        ),
        (
            "earlier by half a minute",
            with(RTP + 4, &0xFFFE_0000_u32.to_be_bytes()),
        ),
        ("longer than the other side takes", frame(1000, 241)),
        ("without payload, in UDP's own words", with(UDP + 4, &[0, 20])),
        ("longer in IP's words", with(IP + 2, &[0, 201])),
        ("shorter in IP's words", with(IP + 2, &[0, 199])),
        ("a damaged header", unsound),
        ("octets behind it", longer),
    ];
    let count = cases.len() as u64;
    for (why, frame) in cases {
        rig.expect_up(&frame, why);
    }
    let counters = rig.counters();
    assert_eq!((counters.passed_up, counters.packets), (count, 0));
    rig.expect_sent(&frame(1000, 240));
}

#[test]
fn without_a_lease_nothing_is_forwarded() {
    let Some(rig) = Rig::new(rule()) else { return };
    rig.stand_until(monotonic_ns() - 1);
    rig.expect_up(&frame(1000, 160), "over");
    rig.stand_until(0);
    rig.expect_up(&frame(1000, 160), "given back");
    rig.stand_until(monotonic_ns() + 60_000_000_000);
    rig.expect_sent(&frame(1000, 160));
}

#[test]
fn a_packet_must_come_from_where_its_answer_would_leave_and_go_where_a_way_is_known() {
    let Some(rig) = Rig::new(rule()) else { return };
    let [back, out] = layout::ways(&layout::value(&rig.rule));
    let absent = 0x7FFF_FFF0;
    for (way, interface, why) in [
        (back, 0, "no way back"),
        (back, absent, "by another interface"),
        (out, 0, "no way out"),
        (out, absent, "an interface that is gone"),
    ] {
        rig.lead(way, interface);
        rig.expect_up(&frame(1000, 160), why);
        rig.lead(way, LO);
    }
    rig.ways.delete(&out).expect("deleted");
    rig.expect_up(&frame(1000, 160), "nothing is known");
    assert_eq!(rig.counters().passed_up, 5);
}

#[test]
fn several_datagrams_in_one_are_left_to_the_worker() {
    const SK_BUFF: usize = 184;
    const GSO_SIZE: usize = 176;
    let Some(rig) = Rig::new(rule()) else { return };
    let mut context = [0; SK_BUFF];
    context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&100_u32.to_ne_bytes());
    let (verdict, _) = bpf::run(&rig.program, &frame(1000, 160), &context).expect("run");
    assert_eq!(verdict, UP);
}

#[test]
fn beyond_the_limit_packets_are_dropped_and_counted() {
    let Some(rig) = Rig::new(Rule {
        packets_per_second: 10,
        ..rule()
    }) else {
        return;
    };
    let verdicts: Vec<i32> = (1000..1025).map(|sequence| rig.run(&frame(sequence, 160)).0).collect();
    assert_eq!(verdicts[..10], [SENT; 10]);
    assert_eq!(verdicts[12..], [DROPPED; 13]);
    let counters = rig.counters();
    assert_eq!(counters.packets + counters.flooded, 25);
    // What was dropped was not heard of.
    assert_eq!(u64::from(counters.highest_sequence), 999 + counters.packets);
}

#[test]
fn numbers_that_wrap_are_counted_in_cycles_and_late_packets_pass() {
    let Some(rig) = Rig::new(Rule {
        highest_sequence: 65_530,
        timestamp: 65_530 * 160,
        ..rule()
    }) else {
        return;
    };
    let stamped = |sequence: u16, timestamp: u32| {
        let mut frame = frame(sequence, 160);
        frame[RTP + 4..RTP + 8].copy_from_slice(&timestamp.to_be_bytes());
        sealed(frame)
    };
    for (step, sequence) in [65_532_u16, 65_535, 65_534, 2, 1, 2].into_iter().enumerate() {
        rig.expect_sent(&stamped(sequence, 65_530 * 160 + step as u32));
    }
    let counters = rig.counters();
    assert_eq!((counters.highest_sequence, counters.cycles), (2, 1));
    // Of the first packet with the highest number, not of the last.
    assert_eq!(counters.timestamp, 65_530 * 160 + 3);
    assert_eq!((counters.packets, counters.octets), (6, 960));
    assert!(counters.last_at <= monotonic_ns() && counters.last_at + 10_000_000_000 > monotonic_ns());
    // From before the cycle, but not newer than when the flow was given.
    rig.expect_up(&stamped(65_530, 65_530 * 160), "not newer");
}

#[test]
fn what_comes_much_too_late_is_left_to_the_worker__rfc3550_a_1() {
    let Some(rig) = Rig::new(rule()) else { return };
    rig.expect_sent(&frame(1150, 160));
    rig.expect_sent(&frame(1050, 160));
    rig.expect_up(&frame(1049, 160), "more than a hundred behind");
    assert_eq!(rig.counters().highest_sequence, 1150);
}

#[test]
fn leaps_that_would_use_up_the_cycles_end_at_the_worker() {
    let Some(rig) = Rig::new(rule()) else { return };
    let mut value = layout::value(&rig.rule);
    let newest = u64::from(0xFFFF_FF00_u32) << 32 | u64::from(rig.rule.timestamp);
    value[64..72].copy_from_slice(&newest.to_ne_bytes());
    let key = rig.rule.flow().key();
    rig.flows.update(&key, &value, false).expect("written");
    rig.expect_up(&with(RTP + 2, &0x0100_u16.to_be_bytes()), "wrapped");
}

#[test]
fn jitter_goes_on_from_what_it_was__rfc3550_a_8() {
    let Some(rig) = Rig::new(Rule { jitter: 1600, ..rule() }) else {
        return;
    };
    // The first one tells no difference: what came before it is unknown.
    rig.expect_sent(&frame(1000, 160));
    assert_eq!(rig.counters().jitter, 1600);
    // The second comes at once, though 20 ms of audio lie between the two: 160 units, less the time that passed.
    rig.expect_sent(&frame(1001, 160));
    let jitter = rig.counters().jitter;
    assert!((1600 - 100..=1600 - 100 + 160).contains(&jitter), "{jitter}");
    // A clock that was set is no jitter.
    let mut later = frame(1002, 160);
    later[RTP + 4..RTP + 8].copy_from_slice(&(1001 * 160 + 80_800_u32).to_be_bytes());
    rig.expect_sent(&sealed(later));
    assert_eq!(rig.counters().jitter, jitter);
}

#[test]
fn the_first_packet_of_a_flow_is_compared_with_none() {
    // Its timestamp is 50 ms behind the machine's own clock, which an unset transit time would be compared with.
    let timestamp = (monotonic_ns() / 125_000) as u32 - 400;
    let Some(rig) = Rig::new(Rule { timestamp, ..rule() }) else {
        return;
    };
    rig.expect_sent(&with(RTP + 4, &timestamp.to_be_bytes()));
    assert_eq!(rig.counters().jitter, 0);
}

#[test]
fn any_octets_are_forwarded_only_if_they_are_a_plain_packet_of_the_flow() {
    let Some(rig) = Rig::new(Rule {
        packets_per_second: 1_000_000,
        ..rule()
    }) else {
        return;
    };
    let mut random = Random::new(7);
    let mut sent = 0;
    for _ in 0..60_000 {
        let mut frame = frame(1000, 20 + random.below(230) as usize);
        for _ in 0..random.below(4) {
            let at = random.below(PAYLOAD as u64 + 4) as usize;
            frame[at] = random.next() as u8;
        }
        if random.below(8) == 0 {
            // The kernel does not run it on less than a header of IPv6.
            frame.truncate(54 + random.below(frame.len() as u64 - 54) as usize);
        }
        if random.below(4) != 0 && frame.len() > PAYLOAD {
            frame = sealed(frame);
        }
        let (verdict, after) = rig.run(&frame);
        if verdict == UP {
            assert_eq!(after, frame);
            continue;
        }
        assert_eq!(verdict, SENT);
        sent += 1;
        let rule = &rig.rule;
        let packet = rtp::parse(&frame[RTP..]).expect("RTP");
        assert_eq!(frame[IP], 0x45);
        assert_eq!(sum(&frame[IP..UDP]), 0xFFFF);
        assert_eq!((packet.payload_type, packet.ssrc), (rule.payload_type_in, rule.ssrc_in));
        assert_eq!(packet.payload, rtp::HEADER..frame.len() - RTP);
        assert!(packet.payload.len() <= usize::from(rule.max_octets));
        assert_eq!(frame[IP + 12..IP + 16], rule.peer.ip().octets());
        assert_eq!(frame[IP + 16..IP + 20], rule.local.ip().octets());
        assert_eq!(frame[UDP..UDP + 2], rule.peer.port().to_be_bytes());
        assert_eq!(frame[UDP + 2..UDP + 4], rule.local.port().to_be_bytes());
        assert_eq!(after[IP + 16..IP + 20], rule.out_peer.ip().octets());
        assert_eq!(after[PAYLOAD..], frame[PAYLOAD..]);
        // Its numbers may lead the others astray, which is the peer's own affair: begin anew.
        let value = layout::value(rule);
        rig.flows.update(&rule.flow().key(), &value, false).expect("written");
    }
    assert!(sent > 1000, "{sent}");
}
