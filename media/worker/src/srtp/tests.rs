//! Both directions against each other, and against packets that others made.

mod rekeying;

use super::test_support::hex;
use super::{Inbound, Keys, Outbound, Refused, Suite, MAX_TRAILER, OLD_KEY};
use crate::random::Random;

const SSRC: u32 = 0xCAFE_BABE;

fn keys(suite: Suite, seed: u64) -> Keys {
    let mut random = Random::new(seed);
    let master: Vec<u8> = (0..suite.key_len() + suite.salt_len())
        .map(|_| random.next() as u8)
        .collect();
    Keys::new(suite, &master).expect("keys")
}

fn both(suite: Suite) -> (Outbound, Inbound) {
    (Outbound::new(&keys(suite, 1)), Inbound::new(&keys(suite, 1)))
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    [
        &[0x80, 0][..],
        &sequence.to_be_bytes(),
        &timestamp.to_be_bytes(),
        &ssrc.to_be_bytes(),
        payload,
    ]
    .concat()
}

fn rtcp(ssrc: u32, words: usize) -> Vec<u8> {
    let length = (words + 1) as u16;
    [
        &[0x80, 201][..],
        &length.to_be_bytes(),
        &ssrc.to_be_bytes(),
        &vec![0x5A; 4 * words],
    ]
    .concat()
}

fn protect(outbound: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = [packet, &[0xEE; MAX_TRAILER]].concat();
    let length = outbound.protect(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

fn protect_rtcp(outbound: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = [packet, &[0xEE; MAX_TRAILER]].concat();
    let length = outbound.protect_rtcp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

fn unprotect_at(inbound: &mut Inbound, datagram: &[u8], now: u64) -> Result<Vec<u8>, Refused> {
    let mut buffer = datagram.to_vec();
    match inbound.unprotect(&mut buffer, now) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(refused) => {
            assert_eq!(buffer, datagram, "a refused datagram is left alone");
            Err(refused)
        }
    }
}

fn unprotect(inbound: &mut Inbound, datagram: &[u8]) -> Result<Vec<u8>, Refused> {
    unprotect_at(inbound, datagram, 0)
}

fn unprotect_rtcp(inbound: &mut Inbound, datagram: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = datagram.to_vec();
    match inbound.unprotect_rtcp(&mut buffer, 0) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(refused) => {
            assert_eq!(buffer, datagram, "a refused datagram is left alone");
            Err(refused)
        }
    }
}

/// The packets that libsrtp's own test programs hold as reference.
#[test]
fn packets_that_libsrtp_made() {
    let plain = hex("800f1234 decafbad cafebabe abababababababababababababababab");
    let cases = [
        (
            Suite::AesCm128HmacSha1_80,
            "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
            "800f1234 decafbad cafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
        ),
        (
            Suite::AesCm256HmacSha1_80,
            "f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
            "800f1234 decafbad cafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b",
        ),
    ];
    for (suite, master, expected) in cases {
        let keys = Keys::new(suite, &hex(master)).expect("keys");
        assert_eq!(protect(&mut Outbound::new(&keys), &plain), Ok(hex(expected)));
        assert_eq!(unprotect(&mut Inbound::new(&keys), &hex(expected)), Ok(plain.clone()));
    }
}

#[test]
fn what_was_protected_comes_back() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        for (sequence, length) in [0, 1, 15, 16, 17, 160, 1400].into_iter().enumerate() {
            let packet = rtp(SSRC, sequence as u16, &vec![0xA5; length]);
            let protected = protect(&mut outbound, &packet).expect("protected");
            assert_eq!(protected.len(), packet.len() + suite.tag_len());
            assert_eq!(protected[..12], packet[..12], "the header stays readable");
            assert!(length < 15 || protected[12..12 + length] != packet[12..]);
            assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
            let report = rtcp(SSRC, sequence);
            let protected = protect_rtcp(&mut outbound, &report).expect("protected");
            assert_eq!(protected.len(), report.len() + 4 + suite.control_tag_len());
            assert_eq!(unprotect_rtcp(&mut inbound, &protected), Ok(report));
        }
    }
}

#[test]
fn csrcs_and_extensions_stay_readable__rfc3711_3_1() {
    let (mut outbound, mut inbound) = both(Suite::AeadAes128Gcm);
    let mut packet = rtp(SSRC, 7, b"CCCCccccpayload");
    packet[0] = 0x82;
    let mut extended = rtp(SSRC, 8, b"\xBE\xDE\x00\x02EEEEeeeepayload\x03");
    extended[0] = 0xB0; // with padding, which is encrypted
    for (packet, readable) in [(packet, 20), (extended, 24)] {
        let protected = protect(&mut outbound, &packet).expect("protected");
        assert_eq!(protected[..readable], packet[..readable]);
        assert_ne!(protected[readable..packet.len()], packet[readable..]);
        assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
    }
}

#[test]
fn other_keys_open_nothing() {
    for suite in Suite::ALL {
        let (mut outbound, _) = both(suite);
        let mut inbound = Inbound::new(&keys(suite, 2));
        let protected = protect(&mut outbound, &rtp(SSRC, 1, &[0; 160])).expect("protected");
        assert_eq!(unprotect(&mut inbound, &protected), Err(Refused::Unauthentic));
        let protected = protect_rtcp(&mut outbound, &rtcp(SSRC, 6)).expect("protected");
        assert_eq!(unprotect_rtcp(&mut inbound, &protected), Err(Refused::Unauthentic));
    }
}

#[test]
fn any_changed_bit_is_noticed_and_changes_nothing() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        let packet = rtp(SSRC, 1, &[0x33; 20]);
        let report = rtcp(SSRC, 3);
        let protected = protect(&mut outbound, &packet).expect("protected");
        let sealed = protect_rtcp(&mut outbound, &report).expect("protected");
        for bit in 0..8 * protected.len() {
            let mut changed = protected.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut inbound, &changed).is_err(), "{suite:?}, bit {bit}");
        }
        for bit in 0..8 * sealed.len() {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                unprotect_rtcp(&mut inbound, &changed).is_err(),
                "{suite:?}, bit {bit} of RTCP"
            );
        }
        assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        assert_eq!(unprotect_rtcp(&mut inbound, &sealed), Ok(report));
    }
}

#[test]
fn cut_and_random_octets_are_refused() {
    let mut random = Random::new(5);
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        let protected = protect(&mut outbound, &rtp(SSRC, 1, &[0x33; 20])).expect("protected");
        let sealed = protect_rtcp(&mut outbound, &rtcp(SSRC, 3)).expect("protected");
        for length in 0..protected.len() {
            assert!(unprotect(&mut inbound, &protected[..length]).is_err());
        }
        for length in 0..sealed.len() {
            assert!(unprotect_rtcp(&mut inbound, &sealed[..length]).is_err());
        }
        for _ in 0..5_000 {
            let mut octets: Vec<u8> = (0..random.below(120)).map(|_| random.next() as u8).collect();
            if let Some(first) = octets.first_mut() {
                *first = *first & 0x3F | 0x80;
            }
            assert!(unprotect(&mut inbound, &octets).is_err());
            if let Some(second) = octets.get_mut(1) {
                *second = 192 | *second & 31;
            }
            assert!(unprotect_rtcp(&mut inbound, &octets).is_err());
            // What cannot be a packet is not sent either.
            let length = octets.len();
            octets.resize(length + random.below(24) as usize, 0);
            let _ = outbound.protect(&mut octets, length);
            let _ = outbound.protect_rtcp(&mut octets, length);
        }
        assert_eq!(outbound.protect(&mut [0x80; 20], 21), Err(Refused::Malformed));
    }
}

#[test]
fn nothing_is_written_where_there_is_no_room() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        let packet = rtp(SSRC, 1, &[0; 160]);
        let mut buffer = [&packet[..], &vec![0; suite.tag_len() - 1]].concat();
        assert_eq!(outbound.protect(&mut buffer, packet.len()), Err(Refused::NoRoom));
        assert_eq!(buffer[..packet.len()], packet);
        buffer.push(0);
        let length = outbound.protect(&mut buffer, packet.len()).expect("now there is");
        assert_eq!(unprotect(&mut inbound, &buffer[..length]), Ok(packet));
    }
}

#[test]
fn a_packet_counts_once__rfc3711_3_3_2() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        let all: Vec<Vec<u8>> = (0..200)
            .map(|sequence| protect(&mut outbound, &rtp(SSRC, sequence, &[1; 20])).expect("protected"))
            .collect();
        for index in [5, 3, 4, 150] {
            assert!(unprotect(&mut inbound, &all[index]).is_ok());
            assert_eq!(unprotect(&mut inbound, &all[index]), Err(Refused::Replayed));
        }
        assert_eq!(unprotect(&mut inbound, &all[22]), Err(Refused::Late));
        assert!(unprotect(&mut inbound, &all[23]).is_ok());
    }
}

#[test]
fn a_report_counts_once() {
    let (mut outbound, mut inbound) = both(Suite::AesCm128HmacSha1_32);
    let all: Vec<Vec<u8>> = (0..3)
        .map(|_| protect_rtcp(&mut outbound, &rtcp(SSRC, 1)).expect("protected"))
        .collect();
    for index in [0, 2, 1] {
        assert!(unprotect_rtcp(&mut inbound, &all[index]).is_ok());
        assert_eq!(unprotect_rtcp(&mut inbound, &all[index]), Err(Refused::Replayed));
    }
}

#[test]
fn a_report_must_be_encrypted() {
    let (mut outbound, mut inbound) = both(Suite::AesCm128HmacSha1_80);
    let mut report = protect_rtcp(&mut outbound, &rtcp(SSRC, 1)).expect("protected");
    report[12] &= 0x7F;
    assert_eq!(unprotect_rtcp(&mut inbound, &report), Err(Refused::Malformed));
}

#[test]
fn an_index_is_never_used_twice_by_the_sender() {
    let (mut outbound, _) = both(Suite::AeadAes256Gcm);
    for sequence in [10, 12, 11] {
        assert!(protect(&mut outbound, &rtp(SSRC, sequence, &[1; 20])).is_ok());
        assert_eq!(
            protect(&mut outbound, &rtp(SSRC, sequence, &[2; 20])),
            Err(Refused::Replayed)
        );
    }
    assert!(protect(&mut outbound, &rtp(SSRC, 300, &[1; 20])).is_ok());
    assert_eq!(protect(&mut outbound, &rtp(SSRC, 100, &[1; 20])), Err(Refused::Late));
    assert_eq!(
        protect(&mut outbound, &rtp(SSRC, 65_000, &[1; 20])),
        Err(Refused::Late),
        "before the first"
    );
}

#[test]
fn both_sides_roll_over_together__rfc3711_3_3_1() {
    let (mut outbound, mut inbound) = both(Suite::AesCm128HmacSha1_80);
    let mut random = Random::new(11);
    for block in 0..4_000_u32 {
        // 50 packets, a tenth of them lost, the others in any order.
        let mut packets: Vec<(u64, Vec<u8>, Vec<u8>)> = (0..50)
            .map(|step| {
                let sequence = (60_000 + 50 * block + step) as u16;
                let packet = rtp(SSRC, sequence, &block.to_be_bytes());
                let protected = protect(&mut outbound, &packet).expect("protected");
                (random.next(), packet, protected)
            })
            .collect();
        packets.sort();
        for (_, packet, protected) in packets.drain(5..) {
            assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        }
    }
}

#[test]
fn a_long_loss_over_a_roll_over_is_bridged() {
    let (mut outbound, mut inbound) = both(Suite::AeadAes128Gcm);
    for (sequence, lost) in [
        (40_000, false),
        (65_535, true),
        (0, true),
        (7_000, false),
        (39_000, false),
        (3, false),
    ] {
        let packet = rtp(SSRC, sequence, &[1; 20]);
        let protected = protect(&mut outbound, &packet);
        match protected {
            Ok(protected) if !lost => assert_eq!(unprotect(&mut inbound, &protected), Ok(packet), "{sequence}"),
            Ok(_) => assert!(lost),
            Err(refused) => assert_eq!((sequence, refused), (3, Refused::Late)),
        }
    }
}

#[test]
fn a_roll_over_before_the_first_packet_that_arrives_is_found_out() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = both(suite);
        protect(&mut outbound, &rtp(SSRC, 65_535, &[1; 20])).expect("lost on its way");
        for sequence in [2, 0, 3] {
            let packet = rtp(SSRC, sequence, &[1; 20]);
            let protected = protect(&mut outbound, &packet).expect("protected");
            // 0 comes late at the sender already: its index is behind, and new.
            assert_eq!(unprotect(&mut inbound, &protected), Ok(packet), "{sequence}");
            assert_eq!(unprotect(&mut inbound, &protected), Err(Refused::Replayed));
        }
    }
}

#[test]
fn sources_do_not_disturb_each_other() {
    let (mut outbound, mut inbound) = both(Suite::AesCm256HmacSha1_32);
    for sequence in 0..10 {
        for ssrc in 1..=40 {
            let packet = rtp(ssrc, sequence * 7_000, &[1; 20]);
            let protected = protect(&mut outbound, &packet).expect("protected");
            assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        }
    }
}

#[test]
fn strangers_without_the_key_take_no_place() {
    let (mut outbound, mut inbound) = both(Suite::AesCm128HmacSha1_80);
    let first = protect(&mut outbound, &rtp(SSRC, 1, &[1; 20])).expect("protected");
    assert!(unprotect(&mut inbound, &first).is_ok());
    let mut other = Outbound::new(&keys(Suite::AesCm128HmacSha1_80, 9));
    for ssrc in 0..64 {
        let forged = protect(&mut other, &rtp(ssrc, 1, &[1; 20])).expect("protected");
        assert_eq!(unprotect(&mut inbound, &forged), Err(Refused::Unauthentic));
    }
    assert_eq!(unprotect(&mut inbound, &first), Err(Refused::Replayed));
}

#[test]
fn more_sources_than_are_kept_apart_are_not_sent() {
    let (mut outbound, _) = both(Suite::AeadAes128Gcm);
    for ssrc in 0..64 {
        assert!(protect(&mut outbound, &rtp(ssrc, 1, &[1; 20])).is_ok());
    }
    assert_eq!(protect(&mut outbound, &rtp(64, 1, &[1; 20])), Err(Refused::Sources));
    assert_eq!(protect_rtcp(&mut outbound, &rtcp(64, 1)), Err(Refused::Sources));
    assert!(protect(&mut outbound, &rtp(63, 2, &[1; 20])).is_ok());
}

#[test]
fn an_identifier_travels_with_the_packets__rfc3711_3_1() {
    for suite in Suite::ALL {
        let with = |identifier: &[u8]| keys(suite, 1).with_identifier(identifier).expect("keys");
        let mut outbound = Outbound::new(&with(&[1]));
        let mut inbound = Inbound::new(&with(&[1]));
        let packet = rtp(SSRC, 1, &[1; 20]);
        let protected = protect(&mut outbound, &packet).expect("protected");
        assert_eq!(protected.len(), packet.len() + 1 + suite.tag_len());
        let place = if suite.tag_len() == 16 {
            protected.len() - 1
        } else {
            packet.len()
        };
        assert_eq!(protected[place], 1);
        for wrong in [
            Inbound::new(&with(&[2])),
            Inbound::new(&with(&[0, 1])),
            Inbound::new(&with(&[])),
        ] {
            let mut wrong = wrong;
            assert_eq!(unprotect(&mut wrong, &protected), Err(Refused::Unauthentic));
        }
        assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        let report = rtcp(SSRC, 2);
        let protected = protect_rtcp(&mut outbound, &report).expect("protected");
        assert_eq!(unprotect_rtcp(&mut inbound, &protected), Ok(report));
    }
}
