//! The harnesses of `fuzz/` on a stable compiler: every input of their corpora, then changed ones for a while.
//!
//! `FUZZ_SECONDS` for each harness (default 1); `FUZZ_SEED` for other changes. A find prints the octets that led to it.

// Helpers of tests may expect, as tests may; and the harnesses say what they mean in plain arithmetic.
#![allow(clippy::expect_used, clippy::manual_is_multiple_of)]

#[path = "../fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/harness.rs"]
mod harness;

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use dialplane_media::random::Random;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// What was written by hand, then what was found.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let (mut inputs, found) = (
        corpus::named(name).expect("inputs with names"),
        corpus::found(name).expect("inputs that were found"),
    );
    inputs.extend(found);
    inputs
}

/// One to four small changes, of the kinds that break parsers.
fn change(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, 0x90, 0xC8, 4];
    let mut octets = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(octets.len() as u64 + 1) as usize;
        match (random.below(7), octets.get_mut(at)) {
            (0, Some(octet)) => *octet ^= 1 << random.below(8),
            (1, Some(octet)) => *octet = TELLING[random.below(8) as usize],
            (2, Some(octet)) => *octet = octet.wrapping_add(random.below(5) as u8).wrapping_sub(2),
            (3, _) => octets.truncate(at),
            (4, _) => octets.insert(at, random.next() as u8),
            (5, Some(_)) => {
                octets.remove(at);
            }
            (6, _) => {
                let from = random.below(other.len() as u64 + 1) as usize;
                octets.truncate(at);
                octets.extend_from_slice(&other[from..]);
            }
            _ => octets.push(random.next() as u8),
        }
    }
    octets.truncate(corpus::LONGEST);
    octets
}

fn run(name: &str, harness: fn(&[u8]), octets: &[u8]) {
    if catch_unwind(|| harness(octets)).is_err() {
        let shown: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        panic!("{name} fails for {shown}");
    }
}

fn drive(name: &str) {
    let (_, harness) = harness::ALL
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a harness");
    let mut seeds = inputs(name);
    assert!(seeds.len() >= 3, "{name} has no corpus");
    for seed in &seeds {
        run(name, harness, seed);
    }
    seeds.push(Vec::new());
    let mut random = Random::new(number("FUZZ_SEED", 1));
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", 1));
    let mut count = 0;
    while Instant::now() < until {
        for _ in 0..50 {
            let pick = |random: &mut Random| random.below(seeds.len() as u64) as usize;
            let (seed, other) = (pick(&mut random), pick(&mut random));
            run(name, harness, &change(&seeds[seed], &seeds[other], &mut random));
            count += 1;
        }
    }
    println!("{name}: {} inputs, {count} changed ones", seeds.len() - 1);
}

#[test]
fn any_datagrams_are_packets_within_themselves_or_none() {
    drive("rtp");
}

#[test]
fn any_reports_are_items_that_fit_or_none() {
    drive("rtcp");
}

#[test]
fn what_was_protected_comes_back_once_and_unchanged_or_not_at_all() {
    drive("srtp");
}

#[test]
fn any_event_packets_are_presses_of_keys_that_exist() {
    drive("dtmf");
}

#[test]
fn any_octets_of_a_controller_are_commands_or_refused() {
    drive("frames");
}

#[test]
fn any_file_is_samples_or_refused() {
    drive("wav");
}

#[test]
fn any_payloads_are_audio_that_fits_or_damaged() {
    drive("codecs");
}

#[test]
fn any_packets_at_any_time_give_samples_at_every_tick() {
    drive("hearing");
}

#[test]
fn every_harness_has_its_target_and_its_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, _) in harness::ALL {
        assert!(
            folder.join("fuzz_targets").join(name).with_extension("rs").is_file(),
            "{name}"
        );
        assert!(corpus::inputs(name).is_dir(), "{name}");
    }
}

#[test]
fn what_was_found_is_packed_in_one_order_and_none_twice() {
    for (name, _) in harness::ALL {
        let found = corpus::found(name).expect("inputs that were found");
        let packed = corpus::text(&found);
        let lines = packed.lines().count();
        assert_eq!(lines, found.len(), "{name}: one is twice, empty or too long");
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(
            sorted, found,
            "{name}: pack it with `cargo run --example corpus pack {name}`"
        );
    }
}
