//! Many phones in one thread: sends packets every 20 ms from one socket per stream, and counts what comes out.
//!
//!     rtpload SECONDS WARM_SECONDS < MAP
//!
//! Each line of the map is a pair of phones: `LOCAL PEER LOCAL PEER`, each ADDRESS:PORT; PEER is the relay's port for that
//! phone. What the first sends is expected at the second and the other way round. A line of two, `LOCAL PEER`, is a phone
//! that only listens: its packets are counted against 50 a second. A fifth word, SUITE:OURS:THEIRS, keys in base64,
//! encrypts what both phones send and hear. A line of three, `LOCAL PEER pcmu`, is a phone that talks and listens, to whom
//! does not matter: its packets are counted against 50 a second too. So with `opus` (of full band) and `opus-narrow` (what a
//! phone sends that was asked for `maxplaybackrate=8000`).
//!
//! The payload carries a mark, the number of the stream, whether it counts and the time, so what arrives at the wrong
//! phone is seen. The streams are spread over the 20 ms. One line of JSON is printed. Latencies are taken when a packet
//! is read, which is within a millisecond or so: the machine's scheduling of this thread is in them.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dialplane_media::codec::audio::{Coding, Encoder};
use dialplane_media::srtp::{Inbound, Keys, Outbound, MAX_TRAILER};
use dialplane_media::sys::{raise_descriptor_limit, Epoll, Ready};

const MARK: u32 = 0x6470_6c74;
const SLOTS: usize = 20;
const PACKET: usize = 172;

struct Phone {
    socket: UdpSocket,
    /// The stream that is expected here; None when whatever comes is counted.
    mate: Option<usize>,
    says: Says,
    keys: Option<Box<(Outbound, Inbound)>>,
    sequence: u16,
    timestamp: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Pcmu,
    Opus,
    OpusNarrow,
}

/// A second of a voice that rises and falls, in packets of 20 ms.
struct Voice {
    pcmu: Vec<Vec<u8>>,
    opus: Vec<Vec<u8>>,
    opus_narrow: Vec<Vec<u8>>,
}

impl Voice {
    fn new() -> Option<Self> {
        let encode = |coding: Coding, rate_hz: u32| -> Option<Vec<Vec<u8>>> {
            let mut encoder = Encoder::new(coding, rate_hz)?;
            let samples: Vec<i16> = (0..rate_hz)
                .map(|at| {
                    let at_s = at as f32 / rate_hz as f32;
                    let voice: f32 = (1..9)
                        .map(|part| (at_s * 140.0 * part as f32 * std::f32::consts::TAU).sin())
                        .sum();
                    (voice * 1500.0 * (at_s * 4.0 * std::f32::consts::TAU).sin()) as i16
                })
                .collect();
            let packets = samples.chunks(rate_hz as usize / 50).map(|frame| {
                let mut octets = [0; 1500];
                let length = encoder.encode(frame, &mut octets);
                octets[..length].to_vec()
            });
            Some(packets.collect())
        };
        Some(Self {
            pcmu: encode(Coding::find("PCMU", 8000, 1, "")?, 8000)?,
            opus: encode(Coding::find("opus", 48_000, 2, "")?, 48_000)?,
            opus_narrow: encode(Coding::find("opus", 48_000, 2, "maxplaybackrate=8000")?, 48_000)?,
        })
    }
}

#[derive(Default)]
struct Tally {
    sent: u64,
    heard: u64,
    astray: u64,
    listened: u64,
    /// Latencies in microseconds, bucketed by 20.
    latencies: Vec<u64>,
}

impl Tally {
    fn note(&mut self, latency: Duration) {
        let bucket = (latency.as_micros() / 20).min(9_999) as usize;
        if self.latencies.len() <= bucket {
            self.latencies.resize(bucket + 1, 0);
        }
        self.latencies[bucket] += 1;
    }

    fn percentile_us(&self, share: f64) -> u64 {
        let wanted = (self.latencies.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let at = self.latencies.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        at.unwrap_or(0) as u64 * 20
    }
}

fn phone(local: &str, peer: &str, mate: Option<usize>, says: Says) -> Result<Phone, Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind(local.parse::<SocketAddr>()?)?;
    socket.connect(peer.parse::<SocketAddr>()?)?;
    socket.set_nonblocking(true)?;
    Ok(Phone {
        socket,
        mate,
        says,
        keys: None,
        sequence: 0,
        timestamp: 0,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, seconds, warm] = &arguments[..] else {
        return Err("rtpload SECONDS WARM_SECONDS < MAP".into());
    };
    let (seconds, warm): (f64, f64) = (seconds.parse()?, warm.parse()?);
    raise_descriptor_limit();
    let mut map = String::new();
    std::io::stdin().read_to_string(&mut map)?;
    let mut phones = Vec::new();
    for line in map.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = phones.len();
        match words[..] {
            [one, at_one, other, at_other, ref keys @ ..] => {
                phones.push(phone(one, at_one, Some(number + 1), Says::Pcmu)?);
                phones.push(phone(other, at_other, Some(number), Says::Pcmu)?);
                let keys: Vec<&str> = keys.iter().flat_map(|word| word.split(':')).collect();
                if let [suite, ours, theirs] = keys[..] {
                    let read = |key| Keys::from_text(suite, key).map_err(|error| format!("{error:?}"));
                    let (ours, theirs) = (read(ours)?, read(theirs)?);
                    for phone in &mut phones[number..] {
                        phone.keys = Some(Box::new((Outbound::new(&ours), Inbound::new(&theirs))));
                    }
                }
            }
            [one, at_one] => phones.push(phone(one, at_one, None, Says::Nothing)?),
            [one, at_one, "pcmu"] => phones.push(phone(one, at_one, None, Says::Pcmu)?),
            [one, at_one, "opus"] => phones.push(phone(one, at_one, None, Says::Opus)?),
            [one, at_one, "opus-narrow"] => phones.push(phone(one, at_one, None, Says::OpusNarrow)?),
            _ => return Err(format!("no map line: {line:?}").into()),
        }
    }
    let epoll = Epoll::new()?;
    for (index, phone) in phones.iter().enumerate() {
        epoll.add(&phone.socket, index as u64)?;
    }
    let voice = Voice::new().ok_or("no codec")?;
    let tally = run(&mut phones, &voice, &epoll, warm, seconds);
    let listeners = phones.iter().filter(|phone| phone.mate.is_none()).count();
    let expected = listeners as f64 * 50.0 * seconds;
    println!(
        "{{\"sent\": {}, \"heard\": {}, \"astray\": {}, \"listened\": {}, \"listen_expected\": {expected}, \"p50_us\": {}, \"p99_us\": {}}}",
        tally.sent,
        tally.heard,
        tally.astray,
        tally.listened,
        tally.percentile_us(0.5),
        tally.percentile_us(0.99),
    );
    Ok(())
}

fn run(phones: &mut [Phone], voice: &Voice, epoll: &Epoll, warm: f64, seconds: f64) -> Tally {
    let begin = Instant::now();
    let slot_time = Duration::from_millis(20) / SLOTS as u32;
    let slots_of = |seconds: f64| (seconds / slot_time.as_secs_f64()) as u32;
    let (first, end) = (slots_of(warm), slots_of(warm + seconds));
    let mut tally = Tally::default();
    let mut ready = vec![Ready::EMPTY; 4096];
    // A little longer than is counted, so that the last packets come home.
    for slot in 0..end + slots_of(0.5) {
        let counts = (first..end).contains(&slot);
        let turn = slot as usize % SLOTS;
        for number in (turn..phones.len()).step_by(SLOTS) {
            let phone = &mut phones[number];
            if phone.says == Says::Nothing || slot >= end {
                continue;
            }
            if phone.mate.is_none() {
                talk(phone, number as u32, voice);
                continue;
            }
            send(phone, number as u32, counts, begin);
            tally.sent += u64::from(counts);
        }
        let next = begin + slot_time * (slot + 1);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            for one in epoll.wait(&mut ready, left.as_micros().div_ceil(1000) as i32) {
                hear(phones, one.token() as usize, counts, begin, &mut tally);
            }
            if Instant::now() >= next {
                break;
            }
        }
    }
    tally
}

fn talk(phone: &mut Phone, number: u32, voice: &Voice) {
    let (payload_type, packets, units) = match phone.says {
        Says::Opus => (111, &voice.opus, 960),
        Says::OpusNarrow => (111, &voice.opus_narrow, 960),
        _ => (0, &voice.pcmu, 160),
    };
    let payload = &packets[usize::from(phone.sequence) % packets.len()];
    let mut packet = [0; 2048];
    packet[0] = 0x80;
    packet[1] = payload_type | if phone.sequence == 0 { 0x80 } else { 0 };
    packet[2..4].copy_from_slice(&phone.sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&phone.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&number.to_be_bytes());
    packet[12..12 + payload.len()].copy_from_slice(payload);
    phone.sequence = phone.sequence.wrapping_add(1);
    phone.timestamp = phone.timestamp.wrapping_add(units);
    // A refused packet is one that is not heard.
    let _ = phone.socket.send(&packet[..12 + payload.len()]);
}

fn send(phone: &mut Phone, number: u32, counts: bool, begin: Instant) {
    let mut packet = [0x55; PACKET + MAX_TRAILER];
    packet[0] = 0x80;
    packet[1] = if phone.sequence == 0 { 0x80 } else { 0 };
    packet[2..4].copy_from_slice(&phone.sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&phone.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&number.to_be_bytes());
    packet[12..16].copy_from_slice(&MARK.to_be_bytes());
    packet[16..20].copy_from_slice(&number.to_be_bytes());
    packet[20] = u8::from(counts);
    packet[21..29].copy_from_slice(&(begin.elapsed().as_nanos() as u64).to_be_bytes());
    phone.sequence = phone.sequence.wrapping_add(1);
    phone.timestamp = phone.timestamp.wrapping_add(160);
    // A refused packet is one that is not heard.
    let length = match phone.keys.as_mut() {
        Some(keys) => keys.0.protect(&mut packet, PACKET).unwrap_or(0),
        None => PACKET,
    };
    let _ = phone.socket.send(&packet[..length]);
}

fn hear(phones: &mut [Phone], number: usize, counts: bool, begin: Instant, tally: &mut Tally) {
    let mut packet = [0; 2048];
    while let Ok(mut length) = phones[number].socket.recv(&mut packet) {
        if packet[0] >> 6 == 2 && (192..224).contains(&packet[1]) {
            continue; // a report
        }
        if let Some(keys) = phones[number].keys.as_mut() {
            length = keys.1.unprotect(&mut packet[..length], 0).unwrap_or(0);
        }
        if phones[number].mate.is_none() {
            tally.listened += u64::from(counts);
            continue;
        }
        let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        if length != PACKET || word(12) != MARK || phones[number].mate != Some(word(16) as usize) {
            tally.astray += 1;
        } else if packet[20] == 1 {
            let sent = (u64::from(word(21)) << 32) | u64::from(word(25));
            tally.note(begin.elapsed().saturating_sub(Duration::from_nanos(sent)));
            tally.heard += 1;
        }
    }
}
