//! What the audio modules cost: `cargo run --release --example audio_cost`. Prints microseconds of one core for 20 ms of
//! audio, and how many of the kind one core could carry in real time.

use std::hint::black_box;

use dialplane_media::audio::hearing::{Hearing, Lane};
use dialplane_media::audio::jitter::Limits;
use dialplane_media::audio::mix::{Mix, Mixer};
use dialplane_media::audio::plc::Concealer;
use dialplane_media::audio::resample::Resampler;
use dialplane_media::clock::MILLISECOND;
use dialplane_media::codec::audio::{Coding, Decoder, Encoder, MAX_SAMPLES};
use dialplane_media::codec::g711::Law;
use dialplane_media::codec::{cn, opus, Format};
use dialplane_media::dtmf::listener::ToneListener;
use dialplane_media::dtmf::tones::Detector;
use dialplane_media::protocol::Codec;
use dialplane_media::record::{Heard, TimeLine};
use dialplane_media::rtp::Packet;

const TICKS: usize = 2000;
const PCMU: Coding = Coding::G711(Law::Mu);

/// Something with harmonics, syllables and pauses, so that codecs work as hard as for speech.
fn speech(rate_hz: u32, tick: usize, out: &mut [i16]) {
    let first = tick * out.len();
    for (index, place) in out.iter_mut().enumerate() {
        let at = (first + index) as f32 / rate_hz as f32;
        let pitch = 120.0 + 20.0 * (at * 3.0).sin();
        let voice: f32 = (1..20)
            .map(|order| (at * pitch * std::f32::consts::TAU * order as f32).sin() / order as f32)
            .sum();
        *place = (voice * 4000.0 * (at * 9.0).sin().max(0.0)) as i16;
    }
}

/// Time that this thread was on a processor, in microseconds: others on the machine do not count.
fn spent_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1000.0
}

/// Print what a tick costs; `each` is told the number of the tick.
fn measure(name: &str, mut each: impl FnMut(usize)) {
    // The kernel brings its account up to date every few milliseconds, so short work is done for long enough.
    const LEAST_US: f64 = 300_000.0;
    let mut ticks = 0..;
    ticks.by_ref().take(TICKS).for_each(&mut each);
    let (begin, mut done) = (spent_us(), 0);
    while spent_us() - begin < LEAST_US {
        ticks.by_ref().take(TICKS / 10).for_each(&mut each);
        done += TICKS / 10;
    }
    let us = (spent_us() - begin) / done as f64;
    println!("{name:<52} {us:9.2} us {:9.0} per core", 20_000.0 / us);
}

fn all_speech(rate_hz: u32) -> Vec<Vec<i16>> {
    let mut frame = vec![0; rate_hz as usize / 50];
    let make = |tick| {
        speech(rate_hz, tick, &mut frame);
        frame.clone()
    };
    (0..TICKS).map(make).collect()
}

fn codecs() -> Option<()> {
    let opus = Coding::Opus(opus::Wishes {
        fec: true,
        ..opus::Wishes::default()
    });
    for (name, coding, rate_hz) in [
        ("PCMU", PCMU, 8000),
        ("G.722", Coding::G722, 16_000),
        (
            "L16 at 16 kHz",
            Coding::L16 {
                rate_hz: 16_000,
                channels: 1,
            },
            16_000,
        ),
        ("Opus at 8 kHz", opus, 8000),
        ("Opus at 16 kHz", opus, 16_000),
        ("Opus at 48 kHz", opus, 48_000),
    ] {
        let frames = all_speech(rate_hz);
        let (mut encoder, mut octets) = (Encoder::new(coding, rate_hz)?, [0; 1920]);
        let mut packets = Vec::new();
        measure(&format!("{name}: encode"), |tick| {
            let length = encoder.encode(&frames[tick % TICKS], &mut octets);
            if packets.len() < TICKS {
                packets.push(octets[..length].to_vec());
            }
        });
        let (mut decoder, mut samples) = (Decoder::new(coding, rate_hz)?, [0; MAX_SAMPLES]);
        measure(&format!("{name}: decode"), |tick| {
            black_box(decoder.decode(&packets[tick % TICKS], &mut samples));
        });
    }
    Some(())
}

fn resampling() -> Option<()> {
    for (from_hz, to_hz) in [
        (8000, 16_000),
        (16_000, 8000),
        (48_000, 8000),
        (8000, 48_000),
        (44_100, 8000),
    ] {
        let frame = vec![1000; from_hz as usize / 50];
        let (mut resampler, mut out) = (Resampler::new(from_hz, to_hz)?, vec![0; to_hz as usize / 50]);
        measure(&format!("resample {from_hz} to {to_hz}"), |_| {
            black_box(resampler.process(&frame, &mut out));
        });
    }
    Some(())
}

fn packet(payload_type: u8, tick: usize, units: u32) -> Packet {
    Packet {
        marker: false,
        payload_type,
        sequence: tick as u16,
        timestamp: (tick as u32).wrapping_mul(units),
        ssrc: 1,
        payload: 0..0,
    }
}

/// One direction of a transcoded call: hear one codec, speak the other.
fn transcode(name: &str, from: Coding, to: Coding) -> Option<()> {
    let mut encoder = Encoder::new(to, 8000)?;
    let rate_hz = encoder.rate_hz();
    let mut hearing = Hearing::new(vec![(96, Lane::Audio(from))], rate_hz, Limits::default(), 1)?;
    let said_hz = from.rate_hz(rate_hz);
    let mut said = Encoder::new(from, said_hz)?;
    let units = said.units(said_hz as usize / 50);
    let mut octets = [0; 1920];
    let packets: Vec<Vec<u8>> = all_speech(said_hz)
        .iter()
        .map(|frame| {
            let length = said.encode(frame, &mut octets);
            octets[..length].to_vec()
        })
        .collect();
    let mut frame = vec![0; rate_hz as usize / 50];
    measure(name, |tick| {
        let now = tick as u64 * 20 * MILLISECOND;
        hearing.insert(&packet(96, tick, units), &packets[tick % TICKS], now);
        hearing.pull(now, &mut frame);
        black_box(encoder.encode(&frame, &mut octets));
    });
    Some(())
}

/// A conference of `size` members, of whom all but the first `silent` always say something.
fn conference(size: usize, silent: usize) -> Option<()> {
    let mut mixer = Mixer::new(20);
    let seats: Vec<_> = (0..size).map_while(|_| mixer.join(8000)).collect();
    let frames = all_speech(8000);
    let law = Law::Mu;
    let packets: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| frame.iter().map(|&sample| law.encode(sample)).collect())
        .collect();
    let mut members: Vec<Hearing> = (0..size)
        .map_while(|seed| Hearing::new(vec![(0, Lane::Audio(PCMU))], 8000, Limits::default(), seed as u64))
        .collect();
    let mut frame = [0; 160];
    let mut octets = [0; 160];
    measure(
        &format!("conference of {size}, {} of them sending", size - silent),
        |tick| {
            let now = tick as u64 * 20 * MILLISECOND;
            mixer.begin();
            for (index, (hearing, &seat)) in members.iter_mut().zip(&seats).enumerate().skip(silent) {
                hearing.insert(&packet(0, tick, 160), &packets[(tick + index * 7) % packets.len()], now);
                hearing.pull(now, &mut frame);
                mixer.say(seat, &frame);
            }
            mixer.finish();
            let mut common = false;
            for &seat in &seats {
                let mix = mixer.hear(seat, &mut frame);
                if mix == Mix::Own || !std::mem::replace(&mut common, true) {
                    octets
                        .iter_mut()
                        .zip(&frame)
                        .for_each(|(octet, &sample)| *octet = law.encode(sample));
                }
                black_box(&octets);
            }
        },
    );
    Some(())
}

/// A packet of either side of a bridge into its recording, and now and then samples for the disk. As many recordings in turn
/// as a core has, so that none of them is in its cache.
fn record(name: &str, coding: Coding) -> Option<()> {
    const LINES: usize = 500;
    const PACKETS: usize = 50;
    let said_hz = coding.rate_hz(8000);
    let mut said = Encoder::new(coding, said_hz)?;
    let units = said.units(said_hz as usize / 50);
    let mut octets = [0; 1920];
    let packets: Vec<Vec<u8>> = all_speech(said_hz)
        .iter()
        .map(|frame| {
            let length = said.encode(frame, &mut octets);
            octets[..length].to_vec()
        })
        .collect();
    let mut lines: Vec<TimeLine> = (0..LINES).map(|_| TimeLine::new(false, 0)).collect();
    lines.iter_mut().for_each(|line| line.begin(0));
    let mut out = Vec::new();
    measure(name, |tick| {
        let (line, number) = (&mut lines[tick % LINES], tick / LINES);
        let now = number as u64 * 20 * MILLISECOND;
        for track in 0..2 {
            let heard = Heard {
                ssrc: 1,
                timestamp: (number as u32).wrapping_mul(units),
                coding,
                payload: &packets[(tick + track * 7) % PACKETS],
            };
            line.put(track, heard, now);
        }
        if number % 25 == 0 {
            out.clear();
            line.take(now, &mut out);
        }
    });
    Some(())
}

type Sent = (Packet, Vec<u8>);

/// A listener for a codec, and packets of speech in it; their timestamps are their length.
fn listened_to(codec: (&str, u32, u8), frames: &[Vec<i16>]) -> Option<(ToneListener, Vec<Sent>)> {
    let (name, clock_rate_hz, channels) = codec;
    let format = Format::new(&Codec {
        payload_type: 96,
        name: name.to_owned(),
        clock_rate_hz,
        channels,
        fmtp: String::new(),
    });
    let mut encoder = Encoder::new(format.coding?, 8000)?;
    let mut octets = [0; 1920];
    let packets = frames.iter().map(|frame| {
        let length = encoder.encode(frame, &mut octets);
        (packet(96, 0, 0), octets[..length].to_vec())
    });
    let mut packets: Vec<_> = packets.collect();
    packets
        .iter_mut()
        .for_each(|(packet, _)| packet.timestamp = clock_rate_hz / 50);
    Some((ToneListener::new(&[format])?, packets))
}

fn small_parts() -> Option<()> {
    let frames = all_speech(8000);
    let mut detector = Detector::new(8000)?;
    measure("find digits in audio", |tick| {
        detector.hear(&frames[tick % TICKS], |heard| _ = black_box(heard))
    });
    for (name, codec) in [("PCMU", ("PCMU", 8000, 1)), ("Opus", ("opus", 48_000, 2))] {
        let (mut listener, packets) = listened_to(codec, &frames)?;
        measure(&format!("listen for digits in {name}"), |tick| {
            let (packet, payload) = &packets[tick % TICKS];
            let sequence = tick as u16;
            let packet = Packet {
                sequence,
                timestamp: (tick as u32).wrapping_mul(packet.timestamp),
                ..packet.clone()
            };
            listener.hear(&packet, payload, 0, |heard| _ = black_box(heard));
        });
    }
    let mut concealer = Concealer::new(8000);
    let mut made = [0; 160];
    measure("conceal every second packet", |tick| {
        let mut frame = [0; 160];
        frame.copy_from_slice(&frames[tick % TICKS]);
        if tick % 2 == 0 {
            concealer.hear(&mut frame);
        } else {
            concealer.conceal(&mut made);
        }
    });
    let mut noise = cn::Generator::new(1);
    noise.set(cn::Noise::white(50));
    measure("make comfort noise", |_| noise.fill(&mut made));
    Some(())
}

fn main() {
    let opus = Coding::Opus(opus::Wishes {
        fec: true,
        ..opus::Wishes::default()
    });
    let done = codecs()
        .and_then(|()| resampling())
        .and_then(|()| small_parts())
        .and_then(|()| transcode("PCMU heard, PCMU said", PCMU, PCMU))
        .and_then(|()| transcode("PCMU heard, Opus said", PCMU, opus))
        .and_then(|()| transcode("Opus heard, PCMU said", opus, PCMU))
        .and_then(|()| transcode("G.722 heard, PCMU said", Coding::G722, PCMU))
        .and_then(|()| record("record two sides, PCMU", PCMU))
        .and_then(|()| record("record two sides, G.722", Coding::G722))
        .and_then(|()| record("record two sides, Opus", opus))
        .and_then(|()| conference(40, 0))
        .and_then(|()| conference(40, 37))
        .and_then(|()| conference(100, 0));
    if done.is_none() {
        eprintln!("out of memory");
    }
}
