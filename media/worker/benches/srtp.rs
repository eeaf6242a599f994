//! What encryption costs: nanoseconds for one packet of 172 octets (20 ms of G.711), each suite, each way.
//!
//! `cargo bench --bench srtp` prints the best of several rounds, in which other load on the machine shows least. Packets
//! lie in the cache, as they do right after they were received.

use std::time::{Duration, Instant};

use dialplane_media::srtp::{Inbound, Keys, Outbound, Suite, MAX_TRAILER};

const PACKET: usize = 172;
const BATCH: usize = 64;
const BATCHES: usize = 400;
const ROUNDS: usize = 9;

type Buffers = [[u8; PACKET + MAX_TRAILER]; BATCH];

fn fill(buffers: &mut Buffers, first: usize) {
    for (index, packet) in buffers.iter_mut().enumerate() {
        packet.fill(0xD5);
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&((first + index) as u16).to_be_bytes());
    }
}

fn timed(total: &mut Duration, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    *total += begun.elapsed();
}

/// Protecting, unprotecting, and refusing what was changed.
fn round(keys: &Keys) -> [Duration; 3] {
    let (mut outbound, mut inbound) = (Outbound::new(keys), Inbound::new(keys));
    let mut buffers: Buffers = [[0; PACKET + MAX_TRAILER]; BATCH];
    let [mut protect, mut unprotect, mut wrong] = [Duration::ZERO; 3];
    let mut length = 0;
    for batch in 0..BATCHES {
        fill(&mut buffers, batch * BATCH);
        timed(&mut protect, || {
            for packet in &mut buffers {
                length = outbound.protect(packet, PACKET).unwrap_or(0);
            }
        });
        for packet in &mut buffers {
            packet[length - 1] ^= 1;
        }
        timed(&mut wrong, || {
            for packet in &mut buffers {
                assert!(inbound.unprotect(&mut packet[..length], 0).is_err());
            }
        });
        for packet in &mut buffers {
            packet[length - 1] ^= 1;
        }
        timed(&mut unprotect, || {
            for packet in &mut buffers {
                assert_eq!(inbound.unprotect(&mut packet[..length], 0), Ok(PACKET));
            }
        });
    }
    [protect, unprotect, wrong]
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
        let mut best = [Duration::MAX; 3];
        for _ in 0..ROUNDS {
            let times = round(&keys);
            best = std::array::from_fn(|index| best[index].min(times[index]));
        }
        let [protect, unprotect, wrong] = best.map(|time| time.as_nanos() as f64 / (BATCH * BATCHES) as f64);
        println!("{:<26}{protect:>12.0}{unprotect:>12.0}{wrong:>14.0}", suite.name());
    }
}
