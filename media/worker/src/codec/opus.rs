//! Opus, through libopus. Source: RFC 6716, RFC 7587.
//!
//! RTP counts Opus in 48 kHz whatever the sampling rate. libopus itself takes and gives 8, 16, 24 or 48 kHz, so that no
//! resampler is needed toward the other codecs of telephony. We speak mono; stereo that we hear is mixed down by the
//! decoder. Lost packets are repaired from the copy that the next packet carries (in-band FEC), else concealed; in the
//! pauses of discontinuous transmission the decoder goes on with comfort noise.

use opus::{packet, Application, Bitrate, Channels};

/// How hard Opus tries (0 to 10). Measured with speech at 8 kHz: 20 ms cost 42 us of a core, against 68 us at 3, 86 us at 5
/// and 123 us at 10, and the SNR is the same within 0.3 dB.
pub const COMPLEXITY: u8 = 1;

/// The RTP clock.
pub const CLOCK_HZ: u32 = 48_000;
/// The longest packet, in milliseconds.
pub const MAX_PACKET_MS: u32 = 120;
/// Room that an encoded packet may need: the largest single frame (RFC 6716 3.4).
pub const MAX_OCTETS: usize = 1275;

/// Bit/s that copies for FEC need beside the packets themselves: less, and libopus makes none at the complexity that we use,
/// whose rates it takes for a fifth worse. Of that it spends about half.
const COPIES: i32 = 8500;

/// What a peer asks of us as its sender: format parameters of RFC 7587 6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// `maxaveragebitrate`, in bit/s.
    pub max_bitrate: Option<u32>,
    /// `maxplaybackrate`, in Hz.
    pub max_playback_hz: u32,
    /// `useinbandfec`.
    pub fec: bool,
    /// `usedtx`.
    pub dtx: bool,
    /// `cbr`.
    pub constant_bitrate: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            max_bitrate: None,
            max_playback_hz: CLOCK_HZ,
            fec: false,
            dtx: false,
            constant_bitrate: false,
        }
    }
}

impl Wishes {
    /// Read an `a=fmtp` value. What is unknown or malformed is left at its default.
    pub fn parse(fmtp: &str) -> Self {
        let mut wishes = Self::default();
        for parameter in fmtp.split(';') {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let Ok(value) = value.trim().parse::<u32>() else {
                continue;
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "maxaveragebitrate" => wishes.max_bitrate = Some(value.clamp(6000, 510_000)),
                "maxplaybackrate" => wishes.max_playback_hz = value.clamp(8000, CLOCK_HZ),
                "useinbandfec" => wishes.fec = value == 1,
                "usedtx" => wishes.dtx = value == 1,
                "cbr" => wishes.constant_bitrate = value == 1,
                _ => {}
            }
        }
        wishes
    }
}

/// Whether libopus works at this sampling rate (it also knows 12 kHz, which nothing here uses).
pub fn is_rate(rate_hz: u32) -> bool {
    matches!(rate_hz, 8000 | 16_000 | 24_000 | 48_000)
}

/// The packet length to use for an agreed `ptime`: the longest frame within it.
pub fn frame_ms(ptime_ms: u32) -> u32 {
    match ptime_ms {
        0..20 => 10,
        20..40 => 20,
        40..60 => 40,
        _ => 60,
    }
}

/// Length of a packet in units of the RTP clock; None when the octets are no Opus packet.
pub fn units(payload: &[u8]) -> Option<u32> {
    packet::get_nb_samples(payload, CLOCK_HZ).ok().map(|count| count as u32)
}

/// Samples to packets.
#[derive(Debug)]
pub struct Encoder {
    encoder: opus::Encoder,
    bitrate: i32,
    max_bitrate: i32,
    fec: bool,
}

impl Encoder {
    /// An encoder for mono audio of `rate_hz` (see `is_rate`). `complexity`: 0 (cheapest) to 10.
    pub fn new(rate_hz: u32, wishes: &Wishes, complexity: u8) -> Option<Self> {
        let mut encoder = opus::Encoder::new(rate_hz, Channels::Mono, Application::Voip).ok()?;
        let rate_hz = rate_hz.min(wishes.max_playback_hz);
        let bandwidth = match rate_hz {
            0..12_000 => opus::Bandwidth::Narrowband,
            12_000..16_000 => opus::Bandwidth::Mediumband,
            16_000..24_000 => opus::Bandwidth::Wideband,
            24_000..48_000 => opus::Bandwidth::Superwideband,
            _ => opus::Bandwidth::Fullband,
        };
        // What RFC 7587 3.1.1 recommends for speech at each bandwidth, from the upper half of it.
        let bitrate = match rate_hz {
            0..16_000 => 16_000,
            16_000..24_000 => 24_000,
            24_000..48_000 => 32_000,
            _ => 40_000,
        };
        let bitrate = wishes.max_bitrate.map_or(bitrate, |most| bitrate.min(most));
        encoder.set_complexity(i32::from(complexity.min(10))).ok()?;
        encoder.set_max_bandwidth(bandwidth).ok()?;
        encoder.set_vbr(!wishes.constant_bitrate).ok()?;
        encoder.set_dtx(wishes.dtx).ok()?;
        encoder.set_inband_fec(wishes.fec).ok()?;
        let mut encoder = Self {
            encoder,
            bitrate: bitrate as i32,
            max_bitrate: wishes.max_bitrate.map_or(i32::MAX, |most| most as i32),
            fec: wishes.fec,
        };
        encoder.expect_loss(0);
        Some(encoder)
    }

    /// How many packets of a hundred the peer is likely to miss, from its reports. Copies for FEC cost half as much again as
    /// the encoding itself, so they are made only while there is loss.
    pub fn expect_loss(&mut self, percent: u8) {
        // Without these, libopus finds no room for copies at 8 kHz.
        let for_copies = if self.fec && percent > 0 { COPIES } else { 0 };
        let bitrate = (self.bitrate + for_copies).min(self.max_bitrate);
        // Only values out of range could fail.
        let _ = self.encoder.set_bitrate(Bitrate::Bits(bitrate));
        let _ = self.encoder.set_packet_loss_perc(i32::from(percent.min(100)));
    }

    /// Encode one frame of 10, 20, 40 or 60 ms. Returns the packet's length; None for a frame of another length or too
    /// little room. A packet of one or two octets need not be sent: discontinuous transmission (RFC 7587 3.1.3).
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        self.encoder.encode(samples, out).ok()
    }
}

/// Packets to samples.
#[derive(Debug)]
pub struct Decoder {
    decoder: opus::Decoder,
    rate_hz: u32,
}

impl Decoder {
    /// A decoder that gives mono audio of `rate_hz` (see `is_rate`).
    pub fn new(rate_hz: u32) -> Option<Self> {
        let decoder = opus::Decoder::new(rate_hz, Channels::Mono).ok()?;
        Some(Self { decoder, rate_hz })
    }

    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Decode a packet. Returns how many samples were written; None when it is damaged or `out` too small for it.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        if payload.is_empty() {
            return None; // libopus would conceal
        }
        self.decoder.decode(payload, out, false).ok()
    }

    /// Fill `out`, whole multiples of 2.5 ms, in place of lost packets. `next`: the packet right after them, which may hold
    /// a copy of the last one.
    pub fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) {
        let most = (self.rate_hz * MAX_PACKET_MS / 1000) as usize;
        let mut rest = out;
        // The copy covers the end of the gap: libopus conceals what is before it, up to the longest packet at a time.
        while rest.len() > most {
            let (head, tail) = rest.split_at_mut(most);
            self.fill(&[], false, head);
            rest = tail;
        }
        match next {
            Some(next) if !next.is_empty() => self.fill(next, true, rest),
            _ => self.fill(&[], false, rest),
        }
    }

    fn fill(&mut self, packet: &[u8], repair: bool, out: &mut [i16]) {
        if out.is_empty() {
            return;
        }
        let done = self.decoder.decode(packet, out, repair).unwrap_or(0).min(out.len());
        out[done..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::{fit, noise, rms, voice};

    const RATES: [u32; 4] = [8000, 16_000, 24_000, 48_000];

    fn encode_all(encoder: &mut Encoder, said: &[i16], frame: usize) -> Vec<Vec<u8>> {
        let mut room = [0; MAX_OCTETS];
        let packets = said.chunks_exact(frame).map(|frame| {
            let length = encoder.encode(frame, &mut room).expect("a frame");
            room[..length].to_vec()
        });
        packets.collect()
    }

    fn decode_all(decoder: &mut Decoder, packets: &[Vec<u8>]) -> Vec<i16> {
        let mut heard = Vec::new();
        let mut room = [0; 5760];
        for packet in packets {
            let count = decoder.decode(packet, &mut room).expect("a packet");
            heard.extend_from_slice(&room[..count]);
        }
        heard
    }

    #[test]
    fn format_parameters_are_read__rfc7587_6_1() {
        let wishes = Wishes::parse(
            "maxplaybackrate=16000; sprop-stereo=1;UseInbandFec = 1;usedtx=1; maxaveragebitrate=20000;cbr=1",
        );
        let expected = Wishes {
            max_bitrate: Some(20_000),
            max_playback_hz: 16_000,
            fec: true,
            dtx: true,
            constant_bitrate: true,
        };
        assert_eq!(wishes, expected);
        for odd in [
            "",
            ";;=;",
            "useinbandfec",
            "useinbandfec=",
            "useinbandfec=yes",
            "cbr=-1",
        ] {
            assert_eq!(Wishes::parse(odd), Wishes::default(), "{odd}");
        }
        assert_eq!(Wishes::parse("maxaveragebitrate=1").max_bitrate, Some(6000));
    }

    #[test]
    fn every_rate_and_packet_length_carries_a_voice() {
        for rate_hz in RATES {
            for ptime_ms in [10, 20, 40, 60] {
                let frame = (rate_hz * frame_ms(ptime_ms) / 1000) as usize;
                let said = voice(3, rate_hz, frame * (3000 / ptime_ms as usize));
                let mut encoder = Encoder::new(rate_hz, &Wishes::default(), 5).expect("an encoder");
                let packets = encode_all(&mut encoder, &said, frame);
                assert!(packets.iter().all(|packet| units(packet) == Some(ptime_ms * 48)));
                let heard = decode_all(&mut Decoder::new(rate_hz).expect("a decoder"), &packets);
                let (snr, shift) = fit(&said, &heard, rate_hz as usize / 100);
                println!(
                    "{rate_hz} Hz, {ptime_ms} ms: {snr:.1} dB after {:.2} ms",
                    shift as f64 * 1000.0 / f64::from(rate_hz)
                );
                assert!(snr > 6.5, "{rate_hz} Hz, {ptime_ms} ms: {snr:.1} dB");
            }
        }
    }

    #[test]
    fn stereo_is_heard_as_mono() {
        let said = voice(4, 48_000, 48_000);
        let both: Vec<i16> = said.iter().flat_map(|&sample| [sample, sample]).collect();
        let mut stereo = opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).expect("an encoder");
        let packets: Vec<Vec<u8>> = both
            .chunks_exact(1920)
            .map(|frame| stereo.encode_vec(frame, 1500).expect("a frame"))
            .collect();
        let heard = decode_all(&mut Decoder::new(48_000).expect("a decoder"), &packets);
        assert_eq!(heard.len(), said.len());
        assert!(fit(&said, &heard, 480).0 > 8.0);
    }

    /// Whether a packet of one mono frame of 20 ms carries a copy, and the bit rate of all of them.
    fn with_copies(rate_hz: u32, wishes: &Wishes, loss: u8) -> (usize, usize) {
        let mut encoder = Encoder::new(rate_hz, wishes, COMPLEXITY).expect("an encoder");
        encoder.expect_loss(loss);
        let frame = rate_hz as usize / 50;
        let packets = encode_all(&mut encoder, &voice(5, rate_hz, frame * 200), frame);
        // The bit behind that of voice activity, in what is no CELT (RFC 6716 4.2.3).
        let copies = |packet: &&Vec<u8>| packet[0] >> 3 < 16 && packet.get(1).is_some_and(|octet| octet & 0x40 != 0);
        let octets: usize = packets.iter().map(Vec::len).sum();
        (packets.iter().filter(copies).count(), octets * 8 / 4)
    }

    #[test]
    fn copies_are_made_at_every_rate_and_loss_and_only_then__rfc7587_3_2() {
        let wishes = Wishes {
            fec: true,
            ..Wishes::default()
        };
        for rate_hz in [8000, 16_000, 24_000, 48_000] {
            assert_eq!(with_copies(rate_hz, &wishes, 0).0, 0, "{rate_hz}");
            assert_eq!(with_copies(rate_hz, &Wishes::default(), 20).0, 0, "{rate_hz}");
            for loss in [1, 2, 5, 10, 20, 40] {
                let (copies, _) = with_copies(rate_hz, &wishes, loss);
                assert!(copies > 100, "{rate_hz} Hz, {loss} %: {copies} of 200");
            }
        }
    }

    #[test]
    fn copies_stay_within_the_rate_that_the_peer_allows__rfc7587_6_1() {
        let wishes = Wishes {
            fec: true,
            max_bitrate: Some(18_000),
            constant_bitrate: true,
            ..Wishes::default()
        };
        let (_, rate) = with_copies(16_000, &wishes, 20);
        assert!(rate <= 18_500, "{rate}");
    }

    /// Loses every tenth packet; gives the SNR of what is heard against what is heard without loss.
    fn with_loss(rate_hz: u32, fec: bool, use_it: bool) -> f64 {
        let frame = rate_hz as usize / 50;
        let said = voice(5, rate_hz, frame * 300);
        let wishes = Wishes {
            fec,
            ..Wishes::default()
        };
        let mut encoder = Encoder::new(rate_hz, &wishes, COMPLEXITY).expect("an encoder");
        encoder.expect_loss(10);
        let packets = encode_all(&mut encoder, &said, frame);
        let whole = decode_all(&mut Decoder::new(rate_hz).expect("a decoder"), &packets);
        let mut decoder = Decoder::new(rate_hz).expect("a decoder");
        let mut heard = Vec::new();
        let mut room = [0; 1920];
        for (index, packet) in packets.iter().enumerate() {
            if index % 10 == 9 {
                let next = packets.get(index + 1).filter(|_| use_it);
                decoder.conceal(next.map(Vec::as_slice), &mut room[..frame]);
                heard.extend_from_slice(&room[..frame]);
            } else {
                let count = decoder.decode(packet, &mut room).expect("a packet");
                heard.extend_from_slice(&room[..count]);
            }
        }
        assert_eq!(heard.len(), whole.len());
        crate::testing::snr(&whole, &heard)
    }

    #[test]
    fn the_copy_in_the_next_packet_repairs_better_than_concealment__rfc6716_2_1_7() {
        for rate_hz in [8000, 16_000] {
            let (repaired, concealed) = (with_loss(rate_hz, true, true), with_loss(rate_hz, true, false));
            let without = with_loss(rate_hz, false, true);
            println!(
                "{rate_hz} Hz: repaired {repaired:.1} dB, concealed {concealed:.1} dB, without fec {without:.1} dB"
            );
            assert!(
                repaired > concealed + 3.0,
                "{rate_hz} Hz: repaired {repaired:.1} dB, concealed {concealed:.1} dB"
            );
        }
    }

    #[test]
    fn pauses_shrink_to_nothing_and_sound_on__rfc7587_3_1_3() {
        let wishes = Wishes {
            dtx: true,
            ..Wishes::default()
        };
        let mut encoder = Encoder::new(16_000, &wishes, 5).expect("an encoder");
        let mut said = voice(6, 16_000, 16_000);
        said.extend(noise(6, 32_000, 40));
        let packets = encode_all(&mut encoder, &said, 320);
        let small = packets[50..].iter().filter(|packet| packet.len() <= 2).count();
        assert!(small > 60, "{small} of 100");
        let mut decoder = Decoder::new(16_000).expect("a decoder");
        let mut room = [0; 1920];
        let mut quiet = Vec::new();
        for packet in &packets {
            match packet.len() {
                0..=2 => {
                    decoder.conceal(None, &mut room[..320]);
                    quiet.extend_from_slice(&room[..320]);
                }
                _ => assert_eq!(decoder.decode(packet, &mut room), Some(320)),
            }
        }
        let level = rms(&quiet[quiet.len() / 2..]);
        assert!(level < 60.0, "{level}");
    }

    #[test]
    fn gaps_of_any_length_are_filled() {
        let said = voice(7, 8000, 16_000);
        let mut encoder = Encoder::new(
            8000,
            &Wishes {
                fec: true,
                ..Wishes::default()
            },
            5,
        )
        .expect("an encoder");
        encoder.expect_loss(20);
        let packets = encode_all(&mut encoder, &said, 160);
        let mut decoder = Decoder::new(8000).expect("a decoder");
        decode_all(&mut decoder, &packets[..50]);
        for ticks in [0, 1, 3, 8, 24, 60, 400] {
            let mut room = vec![i16::MAX; ticks * 20];
            decoder.conceal(Some(&packets[60]), &mut room);
            assert!(room.iter().all(|&sample| sample != i16::MAX), "{ticks}");
        }
    }

    #[test]
    fn any_octets_leave_the_decoder_able_to_go_on() {
        let mut random = Random::new(9);
        let mut decoder = Decoder::new(48_000).expect("a decoder");
        let mut room = [0; 5760];
        for _ in 0..5000 {
            let payload: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
            let length = units(&payload);
            if let Some(count) = decoder.decode(&payload, &mut room) {
                assert_eq!(length, Some(count as u32));
            }
            decoder.conceal(Some(&payload), &mut room[..480]);
        }
        assert_eq!((units(&[]), decoder.decode(&[], &mut room)), (None, None));
        let mut encoder = Encoder::new(48_000, &Wishes::default(), 5).expect("an encoder");
        let packets = encode_all(&mut encoder, &voice(1, 48_000, 9600), 960);
        assert_eq!(decode_all(&mut decoder, &packets).len(), 9600);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Encoder::new(44_100, &Wishes::default(), 5).is_none() && Decoder::new(32_000).is_none());
        let mut encoder = Encoder::new(8000, &Wishes::default(), 5).expect("an encoder");
        assert_eq!(encoder.encode(&[0; 161], &mut [0; MAX_OCTETS]), None);
        assert_eq!(encoder.encode(&[0; 160], &mut []), None);
        assert_eq!(
            [5, 10, 19, 20, 30, 40, 50, 60, 100].map(frame_ms),
            [10, 10, 10, 20, 20, 40, 40, 60, 60]
        );
    }
}
