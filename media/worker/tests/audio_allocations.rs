//! Audio takes no memory packet by packet: not to be heard, made up, mixed, resampled, sent or recorded.

use allocation_counter::measure;
use dialplane_media::audio::hearing::{Hearing, Lane};
use dialplane_media::audio::jitter::Limits;
use dialplane_media::audio::mix::Mixer;
use dialplane_media::clock::MILLISECOND;
use dialplane_media::codec::audio::{Coding, Encoder};
use dialplane_media::codec::g711::Law;
use dialplane_media::codec::{opus, Format};
use dialplane_media::dtmf::listener::ToneListener;
use dialplane_media::dtmf::tones::{fill_tones, Detector};
use dialplane_media::protocol::Codec;
use dialplane_media::record::{Heard, TimeLine};
use dialplane_media::rtp::Packet;

const PCMU: Coding = Coding::G711(Law::Mu);

#[test]
fn a_call_is_transcoded_and_mixed_without_an_allocation() {
    let opus = Coding::Opus(opus::Wishes::default());
    for coding in [
        PCMU,
        Coding::G722,
        opus,
        Coding::L16 {
            rate_hz: 44_100,
            channels: 1,
        },
    ] {
        let rate_hz = coding.rate_hz(16_000);
        let mut said = Encoder::new(coding, rate_hz).expect("an encoder");
        let frame: Vec<i16> = (0..rate_hz as usize / 50)
            .map(|at| (at as i16 % 80 - 40) * 200)
            .collect();
        let units = said.units(frame.len());
        let mut octets = [0; 2000];
        let length = said.encode(&frame, &mut octets);
        let payload = octets[..length].to_vec();

        let mut hearing =
            Hearing::new(vec![(96, Lane::Audio(coding))], 16_000, Limits::default(), 1).expect("a listener");
        let mut encoder = Encoder::new(opus, 16_000).expect("an encoder");
        let mut detector = Detector::new(16_000).expect("a detector");
        let mut mixer = Mixer::new(20);
        let seats = [16_000, 8000].map(|rate_hz| mixer.join(rate_hz).expect("a seat"));
        let (mut heard, mut narrow, mut sent) = ([0; 320], [0; 160], [0; 1400]);
        let mut tick = |number: u32| {
            let now = u64::from(number) * 20 * MILLISECOND;
            // One packet of eleven is lost, one of seven comes a packet's time late.
            let late = u32::from(number % 7 == 3);
            for of in [number.wrapping_sub(1), number] {
                let comes_now = (of == number && late == 0) || (of != number && of % 7 == 3);
                if comes_now && of % 11 != 5 {
                    let packet = Packet {
                        marker: false,
                        payload_type: 96,
                        sequence: of as u16,
                        timestamp: of.wrapping_mul(units),
                        ssrc: 1,
                        payload: 0..0,
                    };
                    hearing.insert(&packet, &payload, now);
                }
            }
            hearing.pull(now, &mut heard);
            detector.hear(&heard, |_| ());
            mixer.begin();
            mixer.say(seats[0], &heard);
            mixer.finish();
            mixer.hear(seats[1], &mut narrow);
            encoder.encode(&heard, &mut sent)
        };
        (1..200).for_each(|number| _ = tick(number)); // buffers find their size
        let taken = measure(|| (200..600).for_each(|number| _ = tick(number)));
        assert_eq!(taken.count_total, 0, "{coding:?}");
    }
}

#[test]
fn a_call_is_recorded_without_an_allocation() {
    let opus = Coding::Opus(opus::Wishes::default());
    let l16 = Coding::L16 {
        rate_hz: 44_100,
        channels: 1,
    };
    for coding in [PCMU, Coding::G722, opus, l16] {
        let mut said = Encoder::new(coding, 16_000).expect("an encoder");
        let count = (said.rate_hz() * coding.packet_ms(20) / 1000) as usize;
        let frame: Vec<i16> = (0..count).map(|at| (at as i16 % 80 - 40) * 200).collect();
        let (units, length_ms) = (said.units(count), u64::from(coding.packet_ms(20)));
        let mut octets = [0; 2000];
        let length = said.encode(&frame, &mut octets);
        let mut line = TimeLine::new(false, 60_000);
        line.begin(0);
        let mut out = Vec::with_capacity(1 << 17);
        let mut packet = |number: u32| {
            // One packet of eleven is lost, and every seventh comes late.
            let late = u64::from(number % 7 == 3) * 70;
            let now = (u64::from(number) * length_ms + late) * MILLISECOND;
            for track in 0..2 {
                let heard = Heard {
                    ssrc: 1,
                    timestamp: number.wrapping_mul(units),
                    coding,
                    payload: &octets[..length],
                };
                if number % 11 != 5 {
                    line.put(track, heard, now);
                }
            }
            if number.is_multiple_of(25) {
                out.clear();
                line.take(now, &mut out);
            }
        };
        (1..200).for_each(&mut packet); // buffers find their size
        let taken = measure(|| (200..600).for_each(&mut packet));
        assert_eq!(taken.count_total, 0, "{coding:?}");
    }
}

#[test]
fn digits_are_listened_for_without_an_allocation() {
    for (name, clock_rate_hz, channels) in [
        ("PCMA", 8000, 1),
        ("G722", 8000, 1),
        ("opus", 48_000, 2),
        ("L16", 44_100, 1),
    ] {
        let format = Format::new(&Codec {
            payload_type: 96,
            name: name.into(),
            clock_rate_hz,
            channels,
            fmtp: String::new(),
        });
        let coding = format.coding.expect("a codec");
        let mut encoder = Encoder::new(coding, 8000).expect("an encoder");
        let rate_hz = encoder.rate_hz();
        let mut listener = ToneListener::new(&[format]).expect("a listener");
        let (mut octets, mut frame, mut told) = ([0; 2000], vec![0; rate_hz as usize / 50], 0);
        let mut tick = |number: u32| {
            // A digit of 100 ms every 200 ms.
            let from = number % 10 * frame.len() as u32;
            fill_tones(5, from, rate_hz / 10, rate_hz, &mut frame);
            let length = encoder.encode(&frame, &mut octets);
            let packet = Packet {
                marker: false,
                payload_type: 96,
                sequence: number as u16,
                timestamp: number * (clock_rate_hz / 50),
                ssrc: 1,
                payload: 0..0,
            };
            listener.hear(&packet, &octets[..length], 0, |_| told += 1);
        };
        tick(0); // the first packet makes the decoder
        let taken = measure(|| (1..101).for_each(&mut tick));
        assert_eq!(taken.count_total, 0, "{name}");
        assert!((18..=20).contains(&told), "{name}: ten digits down and up, {told}");
    }
}
