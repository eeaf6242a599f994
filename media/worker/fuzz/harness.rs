//! What must hold for any octets, one function each. libFuzzer drives them (`fuzz_targets`), and so does a test that needs
//! nothing but a stable compiler (`tests/fuzz_smoke.rs`). A panic is a find.

use dialplane_media::audio::hearing::{Hearing, Lane, MAX_TICK_MS};
use dialplane_media::audio::jitter::Limits;
use dialplane_media::audio::wav;
use dialplane_media::clock::{Nanos, MILLISECOND};
use dialplane_media::codec::audio::{Coding, Decoder, MAX_SAMPLES};
use dialplane_media::codec::cn::Noise;
use dialplane_media::codec::Format;
use dialplane_media::dtmf::events::{EventAt, Receiver};
use dialplane_media::dtmf::listener::ToneListener;
use dialplane_media::dtmf::sender::{Sender, Step, STEP_MS};
use dialplane_media::dtmf::{event_of, Heard};
use dialplane_media::protocol::{decode_command, encode, Codec, FrameReader, MAX_FRAME};
use dialplane_media::quality::losses::Watch;
use dialplane_media::quality::xr::read_voip_metrics;
use dialplane_media::rtp::event::Body;
use dialplane_media::rtp::reception::Reception;
use dialplane_media::rtp::rtcp::{self, Item};
use dialplane_media::rtp::sending::{Feed, Sending};
use dialplane_media::rtp::{self, Packet, HEADER};
use dialplane_media::srtp::{Inbound, Keys, Outbound, Refused, Suite, MAX_TRAILER};

type Harness = fn(&[u8]);

/// All of them by name: the names of the targets and of the folders of the corpus.
pub const ALL: [(&str, Harness); 8] = [
    ("rtp", rtp),
    ("rtcp", rtcp),
    ("srtp", srtp),
    ("dtmf", dtmf),
    ("frames", frames),
    ("wav", wav),
    ("codecs", codecs),
    ("hearing", hearing),
];

/// Cut the input into pieces, each behind an octet that tells its length.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = data.split_first()?;
        let (piece, rest) = rest.split_at(usize::from(length).min(rest.len()));
        data = rest;
        Some(piece)
    })
}

/// Any datagrams in a row are packets that lie within themselves, or none; what counts and renumbers them keeps its counts.
pub fn rtp(data: &[u8]) {
    let (mut reception, mut sending, mut watch) = (Reception::default(), Sending::new(1, 2, 3), Watch::default());
    let mut heard = 0;
    for (index, datagram) in pieces(data).enumerate() {
        let now = index as Nanos * 20 * MILLISECOND;
        rtp::is_rtcp(datagram);
        let Some(packet) = rtp::parse(datagram) else {
            continue;
        };
        let Packet { payload, .. } = &packet;
        assert!(HEADER <= payload.start && payload.start <= payload.end && payload.end <= datagram.len());
        heard += 1;
        watch.note(packet.sequence);
        reception.note(&packet, now, 8000);
        if index % 5 == 4 {
            reception.report();
        }
        let feed = Feed::Bridged {
            stream: 0,
            ssrc: packet.ssrc,
        };
        let body = Body::parse(&datagram[packet.payload.clone()]).filter(|body| body.event < 16);
        let stamp = match body {
            Some(body) => sending.relay_event(feed, &packet, body, 101, now, 8000),
            None => sending.relay(feed, &packet, 8, now, 8000),
        };
        if let Some(stamp) = stamp {
            let mut head = [0; HEADER];
            rtp::write(&mut head, stamp);
            let read = rtp::parse(&head).expect("what we write can be read");
            assert_eq!((read.sequence, read.ssrc), (stamp.sequence, 1));
        }
    }
    assert!(sending.packets <= heard);
    let losses = watch.take();
    assert!(losses.gaps <= losses.lost && losses.lost <= losses.expected);
    assert!(reception.jitter_ms().is_finite());
}

/// Any datagram is told as items that fit into it; what its blocks say of a round trip is sane.
pub fn rtcp(data: &[u8]) {
    let mut items = 0;
    let whole = rtcp::parse(data, |item| {
        items += 1;
        if let Item::Block(block) = item {
            if let Some(trip) = rtcp::round_trip_ms(&block, 0x8000_0000) {
                assert!((0.0..60_000.0).contains(&trip));
            }
        }
    });
    assert!(items <= data.len() / 4 && (items == 0 || data.len() >= 8));
    assert!(!whole || data.len() % 4 == 0);
    read_voip_metrics(data, |metrics| assert!((0.0..1.0).contains(&metrics.loss)));
}

fn keys(suite: Suite, first: u8) -> Keys {
    let master: Vec<u8> = (0..suite.key_len() + suite.salt_len())
        .map(|index| first.wrapping_add(index as u8))
        .collect();
    Keys::new(suite, &master).expect("keys of the right length")
}

/// What was protected comes back once; what was not, or was changed on its way, is refused and left alone.
///
/// The first octet chooses the suite. Of each piece the first octet tells what to do with the rest, the second what to change.
pub fn srtp(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
    let mut ours = keys(suite, 1);
    if choice & 0x80 != 0 {
        ours = ours.with_identifier(&[choice]).expect("a short identifier");
    }
    let (mut outbound, mut inbound) = (Outbound::new(&ours), Inbound::new(&ours));
    for piece in pieces(data) {
        let [act, change, packet @ ..] = piece else {
            continue;
        };
        let report = act & 1 != 0;
        let mut buffer = packet.to_vec();
        if act & 2 != 0 {
            // As it came: nobody who lacks the key can make a packet.
            let refused = if report {
                inbound.unprotect_rtcp(&mut buffer, 0)
            } else {
                inbound.unprotect(&mut buffer, 0)
            };
            assert!(refused.is_err());
            assert_eq!(buffer, packet);
            continue;
        }
        if act & 4 != 0 {
            ours = keys(suite, *change);
            outbound.rekey(&ours);
            inbound.rekey(&ours, 0);
        }
        buffer.resize(packet.len() + MAX_TRAILER, 0);
        let protected = if report {
            outbound.protect_rtcp(&mut buffer, packet.len())
        } else {
            outbound.protect(&mut buffer, packet.len())
        };
        let Ok(length) = protected else {
            assert_eq!(&buffer[..packet.len()], packet);
            continue;
        };
        buffer.truncate(length);
        if act & 8 != 0 {
            let mut changed = buffer.clone();
            let place = usize::from(*change) % length;
            changed[place] ^= 1 << (act >> 5);
            let wrong = changed.clone();
            let opened = if report {
                inbound.unprotect_rtcp(&mut changed, 0)
            } else {
                inbound.unprotect(&mut changed, 0)
            };
            assert!(opened.is_err());
            assert_eq!(changed, wrong);
        }
        let sent = buffer.clone();
        let opened = if report {
            inbound.unprotect_rtcp(&mut buffer, 0)
        } else {
            inbound.unprotect(&mut buffer, 0)
        };
        match opened {
            Ok(plain) => {
                assert_eq!(&buffer[..plain], packet);
                let mut again = sent;
                let repeated = if report {
                    inbound.unprotect_rtcp(&mut again, 0)
                } else {
                    inbound.unprotect(&mut again, 0)
                };
                assert!(repeated.is_err());
            }
            // A first packet far into the sequence, behind a roll-over that was not seen.
            Err(refused) => assert!(matches!(
                refused,
                Refused::Unauthentic | Refused::Late | Refused::Replayed
            )),
        }
    }
}

/// Any packets, at any times, are presses of digits that exist, and what went down comes up. Any string is spelt out in steps
/// that end, or refused, whatever is held and let go meanwhile.
pub fn dtmf(data: &[u8]) {
    let (mut receiver, mut now, mut timestamp) = (Receiver::default(), 0, 0_u32);
    let mut held = 0;
    let mut take = |heard: Heard| match heard {
        Heard::Down(digit) => {
            assert!(event_of(digit).is_some() && held == 0);
            held += 1;
        }
        Heard::Up(press) => {
            assert!(event_of(press.digit).is_some() && held == 1);
            held -= 1;
        }
    };
    for packet in data.chunks(8) {
        let Some(body) = Body::parse(packet) else {
            break;
        };
        let [.., a, b, c, d] = *packet else {
            break;
        };
        now += Nanos::from(a) * 5 * MILLISECOND;
        timestamp = timestamp.wrapping_add(u32::from_be_bytes([b, 0, c, d]));
        let rate_hz = if c & 1 == 0 { 8000 } else { 48_000 };
        let at = EventAt {
            ssrc: u32::from(b >> 6),
            sequence: u16::from_be_bytes([a, c]),
            timestamp,
            rate_hz,
            now,
        };
        receiver.note(body, at).into_iter().flatten().for_each(&mut take);
        if d & 1 == 0 {
            receiver.expire(now).into_iter().for_each(&mut take);
        }
    }
    hear_digits(data);
    let mut sender = Sender::default();
    let text = String::from_utf8_lossy(&data[..data.len().min(32)]);
    let tone_ms = data.first().map_or(100, |&octet| 20 * u32::from(octet));
    if sender.push(&text, tone_ms, tone_ms).is_ok() {
        let mut steps = 0;
        while let Some(step) = sender.step(STEP_MS) {
            if let Step::Press(moment) = step {
                moment.body(if steps & 1 == 0 { 8000 } else { 48_000 });
            }
            match data.get(steps) {
                Some(&octet) if octet & 1 == 0 => sender.hold(octet >> 4),
                Some(&octet) => sender.release(octet >> 4, u32::from(octet) * 40),
                None => {}
            }
            steps += 1;
            assert!(steps < 300_000, "a string that never ends");
        }
        assert!(sender.is_idle());
    }
}

/// The same of tones, in packets of several codecs: of each digit that is told, down and up are told in turn.
fn hear_digits(data: &[u8]) {
    let formats = [
        ("PCMU", 8000, 1),
        ("G722", 8000, 1),
        ("opus", 48_000, 2),
        ("L16", 44_100, 2),
    ]
    .into_iter()
    .zip(0..)
    .map(|((name, clock_rate_hz, channels), payload_type)| {
        Format::new(&Codec {
            payload_type,
            name: name.into(),
            clock_rate_hz,
            channels,
            fmtp: String::new(),
        })
    });
    let mut listener = ToneListener::new(&formats.collect::<Vec<_>>()).expect("codecs that we have");
    let (mut now, mut held) = (0, None);
    let mut take = |heard: Heard| match heard {
        Heard::Down(digit) => assert_eq!(held.replace(digit), None),
        Heard::Up(press) => assert_eq!(held.take(), Some(press.digit)),
    };
    for piece in pieces(data) {
        let [a, b, c, payload @ ..] = piece else {
            continue;
        };
        now += Nanos::from(*a) * 3 * MILLISECOND;
        let packet = Packet {
            marker: false,
            payload_type: a % 5,
            sequence: u16::from(*b) << 2,
            timestamp: u32::from(*c) << 5,
            ssrc: u32::from(b >> 7),
            payload: 0..0,
        };
        listener.hear(&packet, payload, now, &mut take);
        if c & 1 == 0 {
            listener.expire(now, &mut take);
        }
    }
}

/// Any octets on the controller's socket are frames, however they are cut; what a frame says is said again the same.
pub fn frames(data: &[u8]) {
    let mut reader = FrameReader::default();
    for piece in pieces(data) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(body)) => command(body),
                Ok(None) => break,
                Err(oversize) => {
                    assert!(oversize.0 > MAX_FRAME);
                    return;
                }
            }
        }
    }
    command(data);
}

fn command(body: &[u8]) {
    match decode_command(body) {
        Ok(command) => {
            let frame = encode(&command);
            assert_eq!(decode_command(&frame[4..]).as_ref(), Ok(&command));
            let _ = command.op_and_subject();
        }
        Err(failed) => assert!(failed.code == "frame" && failed.op.len() <= 64),
    }
}

/// Any file is the samples of a prompt, no more than it has octets for, or refused.
pub fn wav(data: &[u8]) {
    if let Ok(samples) = wav::samples(data) {
        assert!(2 * samples.len() <= data.len());
    }
    let head = wav::header(1, data.len() as u64);
    let ours = [&head[..], data].concat();
    assert_eq!(wav::samples(&ours).map(|samples| samples.len()), Ok(data.len() / 2));
}

/// Any payloads are audio that fits its buffer, or damaged. The first octet chooses the codec.
pub fn codecs(data: &[u8]) {
    const CODECS: [(&str, u32, u8); 6] = [
        ("PCMU", 8000, 1),
        ("PCMA", 8000, 1),
        ("G722", 8000, 1),
        ("opus", 48_000, 2),
        ("L16", 16_000, 2),
        ("L16", 44_100, 1),
    ];
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let (name, clock_rate_hz, channels) = CODECS[usize::from(choice) % CODECS.len()];
    let coding = Coding::find(name, clock_rate_hz, channels, "").expect("a codec that we have");
    let mut decoder = Decoder::new(coding, 8000).expect("memory");
    let mut out = vec![0; MAX_SAMPLES];
    let mut payloads = pieces(data).peekable();
    while let Some(payload) = payloads.next() {
        coding.units(payload);
        match decoder.decode(payload, &mut out) {
            Some(count) => assert!(count <= MAX_SAMPLES),
            None => decoder.conceal(payloads.peek().copied(), &mut out[..160]),
        }
        if let Some(noise) = Noise::parse(payload) {
            assert!(noise.below_overload_db <= 127);
        }
    }
}

/// Any packets at any time give samples at every tick, and no packet is heard twice.
///
/// The first octet chooses the codec and the tick. Each piece is a packet: time since the one before, payload type and
/// marker, steps of the sequence number, of the timestamp and of the source against an even stream, then the payload.
pub fn hearing(data: &[u8]) {
    const CODECS: [(&str, u32, u8, u32); 4] = [
        ("PCMU", 8000, 1, 160),
        ("G722", 8000, 1, 160),
        ("opus", 48_000, 2, 960),
        ("L16", 44_100, 1, 441),
    ];
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let (name, clock_rate_hz, channels, units) = CODECS[usize::from(choice) % CODECS.len()];
    let coding = Coding::find(name, clock_rate_hz, channels, "").expect("a codec that we have");
    let other = Coding::find("PCMA", 8000, 1, "").expect("a codec that we have");
    let lanes = vec![
        (96, Lane::Audio(coding)),
        (8, Lane::Audio(other)),
        (13, Lane::ComfortNoise),
        (101, Lane::Other),
    ];
    let mut hearing = Hearing::new(lanes, 16_000, Limits::default(), 1).expect("memory");
    let tick_ms = 10 * (1 + u32::from(choice >> 4) % (MAX_TICK_MS / 10));
    let mut frame = vec![0; (16 * tick_ms) as usize];
    let (mut now, mut tick) = (0, 0);
    for (index, piece) in pieces(data).enumerate() {
        let [passed, kind, sequence, timestamp, ssrc, payload @ ..] = piece else {
            continue;
        };
        now += Nanos::from(*passed) * MILLISECOND;
        while tick < now {
            frame.fill(1);
            hearing.pull(tick, &mut frame);
            tick += Nanos::from(tick_ms) * MILLISECOND;
        }
        // Small steps back and forth near zero, large ones far from it.
        let step = |octet: u8| i64::from(octet as i8).pow(3) / 64;
        let packet = Packet {
            marker: kind & 0x80 != 0,
            payload_type: [96, 96, 96, 96, 8, 13, 101, 0][usize::from(kind & 7)],
            sequence: (index as i64 + step(*sequence)) as u16,
            timestamp: (index as i64 * i64::from(units) + step(*timestamp) * i64::from(units / 4)) as u32,
            ssrc: u32::from(ssrc & 1),
            payload: 0..payload.len(),
        };
        hearing.insert(&packet, payload, now);
    }
    let counts = hearing.counts();
    assert!(counts.late + counts.duplicates + counts.skipped <= data.len() as u64);
}
