//! What is heard of each codec, of losses, pauses and changes; how the delay is kept is in `pace`.

mod pace;

use super::*;
use crate::clock::SECOND;
use crate::codec::audio::Encoder;
use crate::codec::g711::Law;
use crate::codec::opus;
use crate::random::Random;
use crate::testing::{chirp, decibels, fit, noise, rms, sine, voice};

const PCMU: Coding = Coding::G711(Law::Mu);
const PCMA: Coding = Coding::G711(Law::A);

/// Nothing is adapted: for tests that look at each sample.
const FIXED: Limits = Limits {
    least: 40 * MILLISECOND,
    start: 40 * MILLISECOND,
    most: 40 * MILLISECOND,
};

fn opus_coding() -> Coding {
    Coding::Opus(opus::Wishes {
        fec: true,
        ..opus::Wishes::default()
    })
}

struct Sent {
    at: Nanos,
    packet: Packet,
    payload: Vec<u8>,
}

/// `said` (at the encoder's rate) as packets, sent at their pace.
fn send(coding: Coding, payload_type: u8, said: &[i16], rate_hz: u32, ptime_ms: u32) -> Vec<Sent> {
    let mut encoder = Encoder::new(coding, rate_hz).expect("an encoder");
    assert_eq!(encoder.rate_hz(), rate_hz);
    encoder.expect_loss(10);
    let count = (rate_hz / 1000 * ptime_ms) as usize + rate_hz as usize % 1000 * ptime_ms as usize / 1000;
    let mut packets = Vec::new();
    for (index, frame) in said.chunks_exact(count).enumerate() {
        let mut octets = vec![0; 8000];
        let length = encoder.encode(frame, &mut octets);
        octets.truncate(length);
        packets.push(Sent {
            at: SECOND + index as u64 * u64::from(ptime_ms) * MILLISECOND,
            packet: packet(payload_type, index, index as u32 * encoder.units(count)),
            payload: octets,
        });
    }
    packets
}

fn packet(payload_type: u8, index: usize, timestamp: u32) -> Packet {
    Packet {
        marker: index == 0,
        payload_type,
        sequence: (65_000 + index) as u16,
        timestamp: timestamp.wrapping_sub(1_000_000),
        ssrc: 1,
        payload: 0..0,
    }
}

/// Brings packets to a listener as they arrive, and pulls a tick at a time until all was heard.
fn listen(hearing: &mut Hearing, packets: Vec<Sent>, tick_ms: u32) -> Vec<i16> {
    watch(hearing, packets, tick_ms, |_, _| ())
}

/// The same, and looks at the listener after every tick.
fn watch(
    hearing: &mut Hearing,
    mut packets: Vec<Sent>,
    tick_ms: u32,
    mut look: impl FnMut(Nanos, &Hearing),
) -> Vec<i16> {
    packets.sort_by_key(|sent| sent.at);
    let count = (hearing.out_hz() as u64 * u64::from(tick_ms) / 1000) as usize;
    let until = packets.last().map_or(0, |sent| sent.at) + 200 * MILLISECOND;
    let mut now = packets.first().map_or(0, |sent| sent.at) + 3 * MILLISECOND;
    let (mut heard, mut rest) = (Vec::new(), packets.iter().peekable());
    while now < until {
        while let Some(sent) = rest.next_if(|sent| sent.at <= now) {
            hearing.insert(&sent.packet, &sent.payload, sent.at);
        }
        let at = heard.len();
        heard.resize(at + count, 1);
        hearing.pull(now, &mut heard[at..]);
        look(now, hearing);
        now += u64::from(tick_ms) * MILLISECOND;
    }
    heard
}

fn hearing(coding: Coding, out_hz: u32, limits: Limits) -> Hearing {
    let lanes = vec![(96, Lane::Audio(coding)), (13, Lane::ComfortNoise), (101, Lane::Other)];
    Hearing::new(lanes, out_hz, limits, 1).expect("a listener")
}

#[test]
fn every_codec_packet_length_tick_and_rate_is_heard_as_it_was_said() {
    let l16 = |rate_hz| Coding::L16 { rate_hz, channels: 1 };
    // (codec, rate at which it was said, least SNR in dB)
    let cases = [
        (PCMU, 8000, 37.0),
        (PCMA, 8000, 37.0),
        (Coding::G722, 16_000, 44.0),
        (l16(44_100), 44_100, 60.0),
        (l16(48_000), 48_000, 60.0),
    ];
    for (coding, rate_hz, least) in cases {
        for (ptime_ms, tick_ms, out_hz) in [(20, 20, rate_hz), (10, 20, 16_000), (30, 10, 8000), (60, 20, 48_000)] {
            let ptime_ms = ptime_ms.min(coding.packet_ms(ptime_ms));
            // Two packets to a tick are tried with whole samples only: a period more shifts what is resampled by parts of one.
            let tick_ms = if out_hz % rate_hz == 0 {
                tick_ms
            } else {
                tick_ms.min(ptime_ms)
            };
            let said = chirp(100.0, 3300.0, rate_hz, rate_hz as usize * 2, 8000.0);
            let mut hearing = hearing(coding, out_hz, FIXED);
            let heard = listen(&mut hearing, send(coding, 96, &said, rate_hz, ptime_ms), tick_ms);
            let (mut expected, mut to) = (
                vec![0; out_hz as usize * 2],
                Resampler::new(rate_hz, out_hz).expect("rates"),
            );
            to.process(&said, &mut expected);
            let (snr, shift) = fit(&expected, &heard, out_hz as usize / 10);
            let delay_ms = shift as u32 * 1000 / out_hz;
            println!("{coding:?} {ptime_ms} ms, tick {tick_ms}, {out_hz} Hz: {snr:.1} dB after {delay_ms} ms");
            assert!(
                snr > least,
                "{coding:?} {ptime_ms} ms, tick {tick_ms}, {out_hz} Hz: {snr:.1} dB"
            );
            assert!((40..=61).contains(&delay_ms));
            // Of two packets in a tick, the second one must have been waited for too.
            assert!((hearing.repairs.lengthened == 0 || ptime_ms < tick_ms) && hearing.repairs.shortened == 0);
            assert_eq!(hearing.counts(), Counts::default());
        }
    }
}

/// What comes out of `to` when `said` (at `from`'s rate) is sent as `from` and transcoded.
fn transcode(from: Coding, to: Coding, said: &[i16], rate_hz: u32) -> (Vec<i16>, u32) {
    let mut encoder = Encoder::new(to, rate_hz).expect("an encoder");
    let out_hz = encoder.rate_hz();
    let heard = listen(&mut hearing(from, out_hz, FIXED), send(from, 96, said, rate_hz, 20), 20);
    let mut decoder = Decoder::new(to, out_hz).expect("a decoder");
    let mut again = Vec::new();
    let (mut octets, mut samples) = ([0; 2000], [0; MAX_SAMPLES]);
    for frame in heard.chunks_exact(out_hz as usize / 50) {
        let length = encoder.encode(frame, &mut octets);
        let count = decoder.decode(&octets[..length], &mut samples).expect("a packet");
        again.extend_from_slice(&samples[..count]);
    }
    (again, out_hz)
}

#[test]
fn every_pair_of_codecs_adds_up_to_the_noise_of_both() {
    let l16 = |rate_hz| Coding::L16 { rate_hz, channels: 1 };
    // (codec, rate, SNR in dB of a chirp through it alone: `codec::audio` tests it)
    let codecs = [
        (PCMU, 8000, 39.4),
        (PCMA, 8000, 39.0),
        (Coding::G722, 16_000, 47.9),
        (l16(8000), 8000, 90.0),
        (l16(16_000), 16_000, 90.0),
    ];
    for (from, rate_hz, from_db) in codecs {
        let said = chirp(100.0, 3300.0, rate_hz, rate_hz as usize * 2, 8000.0);
        for (to, _, to_db) in codecs {
            let (heard, out_hz) = transcode(from, to, &said, rate_hz);
            let (mut expected, mut resampler) = (
                vec![0; out_hz as usize * 2],
                Resampler::new(rate_hz, out_hz).expect("rates"),
            );
            resampler.process(&said, &mut expected);
            let (snr, _) = fit(&expected, &heard, out_hz as usize / 10);
            let noise = |snr_db: f64| 10_f64.powf(-snr_db / 10.0);
            let best = -10.0 * (noise(from_db) + noise(to_db) + noise(80.0)).log10();
            println!("{from:?} to {to:?}: {snr:.1} dB of {best:.1}");
            assert!(snr > best - 1.5, "{from:?} to {to:?}: {snr:.1} dB of {best:.1}");
        }
    }
}

#[test]
fn a_voice_is_as_good_through_opus_and_another_codec_as_through_opus_alone() {
    for (from, to, rate_hz) in [
        (PCMU, opus_coding(), 8000),
        (opus_coding(), PCMU, 8000),
        (Coding::G722, opus_coding(), 16_000),
        (opus_coding(), Coding::G722, 16_000),
    ] {
        let said = voice(8, rate_hz, rate_hz as usize * 5);
        let alone = listen(
            &mut hearing(opus_coding(), rate_hz, FIXED),
            send(opus_coding(), 96, &said, rate_hz, 20),
            20,
        );
        let (best, _) = fit(&said, &alone, rate_hz as usize / 10);
        let (heard, out_hz) = transcode(from, to, &said, rate_hz);
        assert_eq!(out_hz, rate_hz);
        let (snr, _) = fit(&said, &heard, rate_hz as usize / 10);
        println!("{from:?} to {to:?}: {snr:.1} dB of {best:.1}");
        assert!(snr > best - 1.0, "{from:?} to {to:?}: {snr:.1} dB of {best:.1}");
    }
}

#[test]
fn opus_is_heard_at_any_rate() {
    for out_hz in [8000, 16_000, 48_000, 44_100] {
        let said = voice(3, 48_000, 48_000 * 3);
        let mut hearing = hearing(opus_coding(), out_hz, FIXED);
        let heard = listen(&mut hearing, send(opus_coding(), 96, &said, 48_000, 20), 20);
        let (mut expected, mut to) = (
            vec![0; out_hz as usize * 3],
            Resampler::new(48_000, out_hz).expect("rates"),
        );
        to.process(&said, &mut expected);
        let (snr, _) = fit(&expected, &heard, out_hz as usize / 10);
        println!("{out_hz} Hz: {snr:.1} dB");
        assert!(snr > 7.0, "{out_hz} Hz: {snr:.1} dB");
    }
}

#[test]
fn lost_packets_are_made_up_for() {
    // (codec, rate, least SNR in dB of the whole with every twentieth packet lost)
    for (coding, rate_hz, least) in [(PCMU, 8000, 11.0), (Coding::G722, 16_000, 11.0)] {
        let said = voice(6, rate_hz, rate_hz as usize * 10);
        let mut packets = send(coding, 96, &said, rate_hz, 20);
        packets.retain(|sent| sent.packet.sequence % 20 != 7);
        let mut hearing = hearing(coding, rate_hz, FIXED);
        let heard = listen(&mut hearing, packets, 20);
        let (snr, _) = fit(&said, &heard, rate_hz as usize / 10);
        println!("{coding:?}: {snr:.1} dB, {:?}", hearing.counts());
        assert!(snr > least, "{coding:?}: {snr:.1} dB");
        assert_eq!(hearing.counts().lost, 25);
    }
}

#[test]
fn lost_packets_of_opus_are_repaired_from_the_next_one() {
    let said = voice(7, 16_000, 160_000);
    let whole = listen(
        &mut hearing(opus_coding(), 16_000, FIXED),
        send(opus_coding(), 96, &said, 16_000, 20),
        20,
    );
    let mut packets = send(opus_coding(), 96, &said, 16_000, 20);
    packets.retain(|sent| sent.packet.sequence % 20 != 7);
    let mut hearing = hearing(opus_coding(), 16_000, FIXED);
    let heard = listen(&mut hearing, packets, 20);
    let snr = crate::testing::snr(&whole, &heard);
    println!("{snr:.1} dB");
    assert!(snr > 15.0, "{snr:.1} dB");
}

#[test]
fn the_noise_of_a_pause_is_heard_as_told() {
    let mut packets = send(PCMU, 96, &sine(440.0, 8000, 8000, 8000.0), 8000, 20);
    let told = packets.len();
    packets.push(Sent {
        at: SECOND + told as u64 * 20 * MILLISECOND,
        packet: packet(13, told, told as u32 * 160),
        payload: vec![45],
    });
    // Speech again two seconds later, the next sequence number.
    for (index, mut sent) in send(PCMU, 96, &sine(440.0, 8000, 8000, 8000.0), 8000, 20)
        .into_iter()
        .enumerate()
    {
        sent.packet = packet(96, told + 1 + index, (told as u32 + 100 + index as u32) * 160);
        sent.at += 3 * SECOND;
        packets.push(sent);
    }
    let mut hearing = hearing(PCMU, 8000, FIXED);
    let heard = listen(&mut hearing, packets, 20);
    let pause = decibels(rms(&heard[8000 + 2000..8000 + 14_000]) / 32_124.0);
    assert!((pause + 45.0).abs() < 1.0, "{pause:.1}");
    assert!(rms(&heard[26_000..31_000]) > 5000.0);
    assert_eq!(hearing.counts(), Counts::default());
}

#[test]
fn a_peer_may_change_its_codec_at_any_packet() {
    let lanes = vec![
        (0, Lane::Audio(PCMU)),
        (8, Lane::Audio(PCMA)),
        (9, Lane::Audio(Coding::G722)),
        (96, Lane::Audio(opus_coding())),
    ];
    let mut hearing = Hearing::new(lanes, 16_000, FIXED, 1).expect("a listener");
    let mut packets = Vec::new();
    for (turn, (payload_type, coding, rate_hz)) in [
        (0, PCMU, 8000),
        (8, PCMA, 8000),
        (9, Coding::G722, 16_000),
        (0, PCMU, 8000),
        (96, opus_coding(), 16_000),
    ]
    .into_iter()
    .enumerate()
    {
        let said = sine(440.0, rate_hz, rate_hz as usize, 8000.0);
        for (index, mut sent) in send(coding, payload_type, &said, rate_hz, 20).into_iter().enumerate() {
            let units = coding.clock_hz() / 50;
            sent.packet = packet(payload_type, turn * 50 + index, (turn * 50 + index) as u32 * units);
            sent.at += turn as u64 * SECOND;
            packets.push(sent);
        }
    }
    let heard = listen(&mut hearing, packets, 20);
    for turn in 0..5 {
        let level = rms(&heard[turn * 16_000 + 5000..turn * 16_000 + 15_000]);
        assert!((5000.0..6300.0).contains(&level), "{turn}: {level:.0}");
    }
}

#[test]
fn silence_is_given_before_the_first_packet_and_after_the_last() {
    let mut hearing = hearing(PCMU, 8000, FIXED);
    let mut out = [1; 160];
    assert_eq!((hearing.pull(SECOND, &mut out), out), (Sound::Silence, [0; 160]));
    let heard = listen(
        &mut hearing,
        send(PCMU, 96, &sine(440.0, 8000, 1600, 8000.0), 8000, 20),
        20,
    );
    assert!(rms(&heard[400..1500]) > 4000.0);
    let (mut now, mut last) = (2 * SECOND, Sound::Speech);
    for _ in 0..20 {
        now += 20 * MILLISECOND;
        last = hearing.pull(now, &mut out);
    }
    assert_eq!((last, out), (Sound::Silence, [0; 160]));
}

#[test]
fn what_was_not_agreed_is_not_heard() {
    let mut hearing = hearing(PCMU, 8000, FIXED);
    assert_eq!(hearing.insert(&packet(18, 0, 0), &[0; 20], SECOND), None);
    assert_eq!(hearing.insert(&packet(96, 0, 0), &[], SECOND), None);
    assert!(Hearing::new(vec![(101, Lane::Other)], 8000, FIXED, 1).is_none());
    assert!(Hearing::new(vec![(0, Lane::Audio(PCMU))], 11_025, FIXED, 1).is_none());
}

#[test]
fn any_packets_give_samples_at_every_tick() {
    let mut random = Random::new(9);
    for coding in [
        PCMU,
        Coding::G722,
        opus_coding(),
        Coding::L16 {
            rate_hz: 44_100,
            channels: 2,
        },
    ] {
        let lanes = vec![
            (96, Lane::Audio(coding)),
            (0, Lane::Audio(PCMU)),
            (13, Lane::ComfortNoise),
            (101, Lane::Other),
        ];
        let mut hearing = Hearing::new(lanes, 16_000, Limits::default(), 1).expect("a listener");
        let (mut now, mut out) = (SECOND, [0; 16 * MAX_TICK_MS as usize]);
        for step in 0..3000_usize {
            let wild = random.below(20) == 0;
            let payload = noise(random.next(), random.below(1500) as usize, 127);
            let payload: Vec<u8> = payload.iter().map(|&sample| sample as u8).collect();
            let known = [96, 96, 96, 96, 0, 13, 101, 5][random.below(8) as usize];
            let mut packet = packet(
                known,
                step + random.below(4) as usize,
                (step * 320) as u32 + random.below(600) as u32,
            );
            if wild {
                packet.timestamp = random.next() as u32;
                packet.sequence = random.next() as u16;
            }
            hearing.insert(&packet, &payload, now);
            now += random.below(40) * MILLISECOND;
            let count = 160 * (1 + random.below(6) as usize);
            hearing.pull(now, &mut out[..count]);
            assert!(hearing.chain.waiting <= hearing.chain.line.len());
        }
    }
}

#[test]
fn a_peer_that_changes_its_codec_with_every_packet_is_heard_by_one_decoder_for_each() {
    let lanes = vec![
        (0, Lane::Audio(PCMU)),
        (9, Lane::Audio(Coding::G722)),
        (96, Lane::Audio(opus_coding())),
        (97, Lane::Audio(opus_coding())),
    ];
    let mut hearing = Hearing::new(lanes, 16_000, FIXED, 1).expect("a listener");
    let said = voice(3, 16_000, 16_000 * 4);
    let [one, other] = [96, 97].map(|payload_type| send(opus_coding(), payload_type, &said, 16_000, 20));
    let alternating = one.into_iter().zip(other).enumerate();
    let packets = alternating.map(|(index, (one, other))| if index % 2 == 0 { one } else { other });
    let heard = listen(&mut hearing, packets.collect(), 20);
    // Each has heard only every other packet of its sender, which is no pleasure, but a voice.
    assert!(rms(&heard) > rms(&said) * 0.55);
    // What was expected first, and the one of the two that is not at work.
    let shelved: Vec<u8> = hearing.shelf.iter().map(|(payload_type, _)| *payload_type).collect();
    assert!(shelved.len() == 2 && shelved[0] == 0, "{shelved:?}");
}
