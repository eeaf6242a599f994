//! What encryption costs: nanoseconds for one packet of 172 octets (20 ms of G.711), each suite, each way.
//!
//! `cargo bench --bench srtp` prints the best of several rounds, in which other load on the machine shows least.

use std::hint::black_box;
use std::time::Instant;

use dialplane_media::srtp::{Inbound, Keys, Outbound, Suite, MAX_TRAILER};

const PACKET: usize = 172;
const PACKETS: usize = 30_000;
const ROUNDS: usize = 9;

fn rtp(sequence: u16) -> [u8; PACKET + MAX_TRAILER] {
    let mut packet = [0xD5; PACKET + MAX_TRAILER];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet
}

/// The least time for one packet, of the times for `work` on all of them.
fn best(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_nanos() as f64 / PACKETS as f64
    });
    rounds.fold(f64::MAX, f64::min)
}

fn main() {
    println!(
        "{:<26}{:>12}{:>12}{:>14}",
        "suite, ns a packet", "protect", "unprotect", "wrong tag"
    );
    for suite in Suite::ALL {
        let master = vec![7; suite.key_len() + suite.salt_len()];
        let Ok(keys) = Keys::new(suite, &master) else {
            continue;
        };
        let plain: Vec<_> = (0..PACKETS).map(|sequence| rtp(sequence as u16)).collect();
        let mut packets = plain.clone();
        let copy = best(|| packets.copy_from_slice(black_box(&plain)));
        let mut length = 0;
        let protect = best(|| {
            packets.copy_from_slice(&plain);
            let mut outbound = Outbound::new(&keys);
            for packet in &mut packets {
                length = outbound.protect(packet, PACKET).unwrap_or(0);
            }
        });
        let protected = packets.clone();
        let unprotect = best(|| {
            packets.copy_from_slice(&protected);
            let mut inbound = Inbound::new(&keys);
            for packet in &mut packets {
                assert_eq!(inbound.unprotect(&mut packet[..length], 0), Ok(PACKET));
            }
        });
        let wrong = best(|| {
            packets.copy_from_slice(&protected);
            let mut inbound = Inbound::new(&keys);
            let _ = inbound.unprotect(&mut packets[0][..length], 0);
            for packet in &mut packets[1..] {
                packet[length - 1] ^= 1;
                assert!(inbound.unprotect(&mut packet[..length], 0).is_err());
            }
        });
        println!(
            "{:<26}{:>12.0}{:>12.0}{:>14.0}",
            suite.name(),
            protect - copy,
            unprotect - copy,
            wrong - copy
        );
    }
}
