//! An uneven network and a drifting clock: how the delay follows them, and when it leaves off changing.

use super::*;

/// When the last change was made to keep pace while packets came, in milliseconds from the first one, how far the delay was
/// then from its aim, and the samples made up.
fn settled(coding: Coding, packets: Vec<Sent>) -> (u64, i64, u64) {
    let mut hearing = hearing(coding, 16_000, Limits::default());
    let (mut before, mut at, mut off) = (0, 0, 0);
    let last = packets.iter().map(|sent| sent.at).max().unwrap_or(0);
    let mut made_up = 0;
    watch(&mut hearing, packets, 20, |now, hearing| {
        if now > last {
            return;
        }
        let changes = hearing.repairs.lengthened + hearing.repairs.shortened;
        if changes != before {
            (before, at) = (changes, now);
        }
        made_up = hearing.repairs.concealed;
        let excess = hearing.jitter.excess().unwrap_or(0);
        off = excess * 1000 / i64::from(coding.clock_hz());
    });
    (at.saturating_sub(SECOND) / MILLISECOND, off, made_up)
}

#[test]
fn jitter_is_taken_out_and_little_is_made_up() {
    for (most_us, most_ms) in [(5000, 30), (30_000, 60), (80_000, 110)] {
        let mut random = Random::new(4);
        let said = voice(4, 8000, 8000 * 60);
        let mut packets = send(PCMU, 96, &said, 8000, 20);
        packets
            .iter_mut()
            .for_each(|sent| sent.at += random.below(most_us) * 1000);
        let mut hearing = hearing(PCMU, 8000, Limits::default());
        listen(&mut hearing, packets, 20);
        let target_ms = hearing.target() / MILLISECOND;
        let part = hearing.repairs.concealed as f64 / hearing.repairs.heard as f64;
        println!(
            "up to {most_us} us: target {target_ms} ms, {:.2} % made up, {:?}",
            part * 100.0,
            hearing.counts()
        );
        assert!(
            part < 0.015 && target_ms <= most_ms,
            "{most_us} us: {:.2} %, {target_ms} ms",
            part * 100.0
        );
    }
}

#[test]
fn drifting_clocks_are_followed_without_a_gap() {
    for drift_ppm in [-200_i64, 200] {
        let said = voice(5, 8000, 8000 * 30);
        let mut packets: Vec<Sent> = Vec::new();
        // Ten minutes: the same half minute twenty times.
        for round in 0..20_u64 {
            packets.extend(
                send(PCMU, 96, &said, 8000, 20)
                    .into_iter()
                    .enumerate()
                    .map(|(index, mut sent)| {
                        let number = round * 1500 + index as u64;
                        sent.packet = packet(96, number as usize, (number * 160) as u32);
                        let span = number as i64 * 20_000_000 * (1_000_000 - drift_ppm) / 1_000_000;
                        sent.at = SECOND + span as u64;
                        sent
                    }),
            );
        }
        let mut hearing = hearing(PCMU, 8000, Limits::default());
        listen(&mut hearing, packets, 20);
        let Repairs {
            concealed,
            lengthened,
            shortened,
            ..
        } = hearing.repairs;
        let moved = shortened as i64 - lengthened as i64;
        println!("{drift_ppm} ppm: {:?} {:?}", hearing.repairs, hearing.counts());
        // 120 ms in ten minutes, and the way from the first delay of 40 ms to the least that it can do with.
        let expected = drift_ppm * 600 * 8 / 1000;
        assert!(
            (moved - expected).abs() < 8 * 60,
            "{drift_ppm} ppm: {moved} samples instead of {expected}"
        );
        // The end of the last packet is made up until it is clear that nothing more comes.
        assert!(concealed <= 8 * 220 + 160, "{drift_ppm} ppm: {concealed}");
        assert_eq!((hearing.counts().late, hearing.counts().skipped), (0, 0));
    }
}

/// Sounds of ten seconds: nobody speaks, somebody does, and one that never repeats.
fn sounds(rate_hz: u32) -> [(&'static str, Vec<i16>, u64); 3] {
    let count = rate_hz as usize * 10;
    // With each, how long after the start, or after a burst is forgotten, the delay may still be changed: the longest in speech.
    [
        ("a pause", vec![0; count], 150),
        ("a voice", voice(11, rate_hz, count), 1000),
        ("a chirp", chirp(300.0, 3300.0, rate_hz, count, 8000.0), 1600),
    ]
}

#[test]
fn on_an_even_network_the_delay_settles_once_and_nothing_is_changed_after() {
    for (coding, rate_hz) in [(PCMU, 8000), (Coding::G722, 16_000)] {
        for (name, said, within_ms) in sounds(rate_hz) {
            let (at_ms, off_ms, made_up) = settled(coding, send(coding, 96, &said, rate_hz, 20));
            println!("{coding:?}, {name}: {at_ms} ms, {off_ms} ms off");
            // For the first 100 packets the buffer stays where it began.
            assert!(at_ms <= 2000 + within_ms, "{coding:?}, {name}: {at_ms} ms");
            assert!((TOO_SHORT_MS..=TOO_LONG_MS).contains(&off_ms) && made_up == 0);
        }
    }
}

#[test]
fn a_network_that_held_the_beginning_back_is_forgotten_within_three_seconds() {
    for (from, held) in [(0, 8), (5, 8), (0, 16), (5, 16)] {
        for (name, said, within_ms) in sounds(8000) {
            let mut packets = send(PCMU, 96, &said, 8000, 20);
            let until = packets[from + held].at;
            packets[from..from + held].iter_mut().for_each(|sent| sent.at = until);
            let (at_ms, off_ms, _) = settled(PCMU, packets);
            println!("{held} packets held from {from}, {name}: {at_ms} ms, {off_ms} ms off");
            assert!(at_ms <= 3000 + within_ms, "{held} from {from}, {name}: {at_ms} ms");
            assert!(
                (TOO_SHORT_MS..=TOO_LONG_MS).contains(&off_ms),
                "{held} from {from}, {name}: {off_ms} ms"
            );
        }
    }
}
