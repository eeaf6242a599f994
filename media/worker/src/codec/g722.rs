//! G.722 at 64 kbit/s: 7 kHz of audio as two ADPCM bands. Source: ITU-T G.722, blocks named as in its clauses 3 to 6.
//!
//! 16 kHz samples are split by a quadrature mirror filter into a lower and a higher band of 8 kHz each. In each band the
//! difference from a predicted value is quantized: 6 bits below, 2 bits above. Quantizer step and predictor adapt from
//! the quantized values alone, so that both ends keep the same state. One octet is two samples. RTP counts the stream in
//! octets, thus with a clock of 8000 Hz, through an old mistake that nobody can mend (RFC 3551 4.5.2).
//!
//! The arithmetic is that of the recommendation bit for bit: 16-bit values that saturate, products shifted by 15.

/// Sampling rate of the audio.
pub const RATE_HZ: u32 = 16_000;

/// Half of the symmetric 24-tap filter in units of 2^-13.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Decision levels of the 60-level quantizer of the lower band, for a step of 4096.
const LEVELS_LOW: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// The one decision level of the higher band.
const LEVEL_HIGH: i32 = 564;

/// Quantizer outputs by code word, for a step of 32768: 6 and 4 bits below, 2 bits above.
const OUTPUT_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const OUTPUT_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
];
const OUTPUT_2: [i32; 4] = [-7408, -1616, 7408, 1616];

/// How the logarithmic step grows with the magnitude that a code word stands for.
const GROWTH_4: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
const GROWTH_2: [i32; 4] = [798, -214, 798, -214];

/// 2048 * 2^(index / 32), the mantissas of the step.
const MANTISSAS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

/// The least significant bit of a band's quantizer step and its largest logarithm.
#[derive(Debug, Clone, Copy)]
struct Range {
    shift: i32,
    limit: i32,
}

const LOW: Range = Range {
    shift: 8,
    limit: 18_432,
};
const HIGH: Range = Range {
    shift: 10,
    limit: 22_528,
};

/// What both ends know of one band.
#[derive(Debug, Clone, Copy)]
struct Band {
    /// The logarithm of the quantizer step, and the step.
    log_step: i32,
    step: i32,
    /// The predicted sample, and the part of it that comes from the zeros.
    predicted: i32,
    from_zeros: i32,
    /// The last two reconstructed samples and the last two partly reconstructed ones, the newest first.
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    /// The last six quantized differences, the newest first.
    differences: [i32; 6],
    zeros: [i32; 6],
}

impl Band {
    fn new(step: i32) -> Self {
        Self {
            log_step: 0,
            step,
            predicted: 0,
            from_zeros: 0,
            reconstructed: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            differences: [0; 6],
            zeros: [0; 6],
        }
    }

    /// The value of a quantizer output at the current step.
    fn scaled(&self, output: i32) -> i32 {
        (self.step * output) >> 15
    }

    /// Blocks LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn scale(&mut self, growth: i32, range: Range) {
        self.log_step = (((self.log_step * 127) >> 7) + growth).clamp(0, range.limit);
        let mantissa = MANTISSAS[(self.log_step >> 6) as usize & 31];
        let shift = range.shift - (self.log_step >> 11);
        let step = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        };
        self.step = step << 2;
    }

    /// Take in a quantized difference and predict the next sample. Blocks RECONS, PARREC, UPPOL2, UPPOL1, UPZERO, DELAYA,
    /// FILTEP, FILTEZ, PREDIC.
    fn adapt(&mut self, difference: i32) {
        let reconstructed = saturate(self.predicted + difference);
        let partial = saturate(self.from_zeros + difference);
        self.move_poles(partial);
        self.move_zeros(difference);
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        let pole = |pole: i32, sample: i32| (pole * saturate(2 * sample)) >> 15;
        let from_poles = saturate(pole(self.poles[0], reconstructed) + pole(self.poles[1], self.reconstructed[1]));
        let taps = self.zeros.iter().zip(&self.differences);
        self.from_zeros = saturate(
            taps.map(|(&zero, &difference)| (zero * saturate(2 * difference)) >> 15)
                .sum(),
        );
        self.predicted = saturate(from_poles + self.from_zeros);
    }

    fn move_poles(&mut self, partial: i32) {
        let same_as = |before: i32| (partial < 0) == (before < 0);
        let turned = saturate(4 * self.poles[0]);
        let turned = if same_as(self.partial[0]) { -turned } else { turned }.min(32_767);
        let second =
            (turned >> 7) + if same_as(self.partial[1]) { 128 } else { -128 } + ((self.poles[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let first = saturate(((self.poles[0] * 32_640) >> 15) + if same_as(self.partial[0]) { 192 } else { -192 });
        let bound = saturate(15_360 - second);
        self.poles = [first.clamp(-bound, bound), second];
    }

    fn move_zeros(&mut self, difference: i32) {
        let gain = if difference == 0 { 0 } else { 128 };
        for (zero, &before) in self.zeros.iter_mut().zip(&self.differences) {
            let toward = if (difference < 0) == (before < 0) { gain } else { -gain };
            *zero = saturate(((*zero * 32_640) >> 15) + toward);
        }
    }
}

/// A delay line of 24 values that is read in one piece: everything is written twice, 24 places apart.
#[derive(Debug, Clone)]
struct Line {
    values: [i32; 48],
    at: usize,
}

impl Line {
    fn new() -> Self {
        Self { values: [0; 48], at: 0 }
    }

    /// Push two values and sum the even and the odd places of the last 24, the oldest first, through the filter.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        for (offset, value) in [first, second].into_iter().enumerate() {
            self.values[self.at + offset] = value;
            self.values[self.at + offset + 24] = value;
        }
        self.at = (self.at + 2) % 24;
        let window = &self.values[self.at..self.at + 24];
        let (mut even, mut odd) = (0, 0);
        for (index, pair) in window.chunks_exact(2).enumerate() {
            even += pair[0] * QMF[index];
            odd += pair[1] * QMF[11 - index];
        }
        (even, odd)
    }
}

/// Samples to octets.
#[derive(Debug, Clone)]
pub struct Encoder {
    line: Line,
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            line: Line::new(),
            low: Band::new(32),
            high: Band::new(8),
        }
    }

    /// Encode pairs of samples, as many as there are and as fit. Returns how many octets were written.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let mut written = 0;
        for (octet, pair) in out.iter_mut().zip(samples.chunks_exact(2)) {
            *octet = self.encode_pair(i32::from(pair[0]), i32::from(pair[1]));
            written += 1;
        }
        written
    }

    fn encode_pair(&mut self, first: i32, second: i32) -> u8 {
        let (even, odd) = self.line.filter(first, second);
        let low = self.quantize_low((even + odd) >> 14);
        let high = self.quantize_high((odd - even) >> 14);
        self.low.adapt(self.low.scaled(OUTPUT_4[low >> 2]));
        self.low.scale(GROWTH_4[low >> 2], LOW);
        self.high.adapt(self.high.scaled(OUTPUT_2[high]));
        self.high.scale(GROWTH_2[high], HIGH);
        (high << 6 | low) as u8
    }

    /// Blocks SUBTRA, QUANTL. Code words run from the largest magnitude down: 31 negative ones, then 31 positive ones; the
    /// two smallest negative ones have words of their own.
    fn quantize_low(&self, sample: i32) -> usize {
        let difference = saturate(sample - self.low.predicted);
        let magnitude = if difference >= 0 { difference } else { -(difference + 1) };
        let index = LEVELS_LOW.partition_point(|&level| (level * self.low.step) >> 12 <= magnitude);
        match (difference < 0, index) {
            (true, 0) => 63,
            (true, 1) => 62,
            (true, _) => 33 - index,
            (false, _) => 61 - index,
        }
    }

    /// Blocks SUBTRA, QUANTH.
    fn quantize_high(&self, sample: i32) -> usize {
        let difference = saturate(sample - self.high.predicted);
        let magnitude = if difference >= 0 { difference } else { -(difference + 1) };
        let small = magnitude < (LEVEL_HIGH * self.high.step) >> 12;
        2 * usize::from(difference >= 0) + usize::from(small)
    }
}

/// Octets to samples.
#[derive(Debug, Clone)]
pub struct Decoder {
    line: Line,
    low: Band,
    high: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self {
            line: Line::new(),
            low: Band::new(32),
            high: Band::new(8),
        }
    }

    /// Decode each octet into two samples, as many as fit. Returns how many samples were written.
    pub fn decode(&mut self, octets: &[u8], out: &mut [i16]) -> usize {
        let mut written = 0;
        for (pair, &octet) in out.chunks_exact_mut(2).zip(octets) {
            pair.copy_from_slice(&self.decode_octet(octet));
            written += 2;
        }
        written
    }

    fn decode_octet(&mut self, octet: u8) -> [i16; 2] {
        let (low_code, high_code) = (usize::from(octet & 0x3F), usize::from(octet >> 6));
        let limit = |sample: i32| sample.clamp(-16_384, 16_383);
        let low = limit(self.low.predicted + self.low.scaled(OUTPUT_6[low_code]));
        self.low.adapt(self.low.scaled(OUTPUT_4[low_code >> 2]));
        self.low.scale(GROWTH_4[low_code >> 2], LOW);
        let difference = self.high.scaled(OUTPUT_2[high_code]);
        let high = limit(self.high.predicted + difference);
        self.high.adapt(difference);
        self.high.scale(GROWTH_2[high_code], HIGH);
        let (even, odd) = self.line.filter(low + high, low - high);
        [saturate(odd >> 11) as i16, saturate(even >> 11) as i16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::{chirp, fit, noise, voice};

    fn samples(octets: &[u8]) -> Vec<i16> {
        octets
            .chunks_exact(2)
            .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    }

    fn encode(samples: &[i16]) -> Vec<u8> {
        let mut octets = vec![0; samples.len() / 2];
        assert_eq!(Encoder::new().encode(samples, &mut octets), octets.len());
        octets
    }

    fn decode(octets: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; octets.len() * 2];
        assert_eq!(Decoder::new().decode(octets, &mut samples), samples.len());
        samples
    }

    // The vectors were made with another implementation (FFmpeg's): every code word, and a glide with an overload.

    #[test]
    fn any_octets_decode_to_the_samples_of_the_recommendation() {
        let octets = include_bytes!("../../../../tests/vectors/g722/any_octets.g722");
        assert!(decode(octets) == samples(include_bytes!("../../../../tests/vectors/g722/any_octets.s16be")));
    }

    #[test]
    fn audio_encodes_to_the_octets_of_the_recommendation() {
        let audio = samples(include_bytes!("../../../../tests/vectors/g722/glide.s16be"));
        assert!(encode(&audio) == include_bytes!("../../../../tests/vectors/g722/glide.g722"));
    }

    #[test]
    fn what_is_encoded_is_heard_22_samples_later() {
        for (name, said, least) in [
            ("tone", chirp(995.0, 1005.0, RATE_HZ, 16_000, 8000.0), 45.0),
            ("low chirp", chirp(50.0, 3500.0, RATE_HZ, 32_000, 8000.0), 45.0),
            ("whole chirp", chirp(50.0, 7000.0, RATE_HZ, 32_000, 8000.0), 26.0),
            ("voice", voice(1, RATE_HZ, 64_000), 26.0),
        ] {
            let (snr, shift) = fit(&said, &decode(&encode(&said)), 40);
            println!("{name}: {snr:.1} dB at {shift}");
            assert!(snr >= least && shift == 22, "{name}: {snr:.1} dB at {shift}");
        }
    }

    #[test]
    fn frames_of_any_length_join_seamlessly() {
        let said = voice(2, RATE_HZ, 8000);
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let (mut heard, mut random) = (Vec::new(), Random::new(1));
        let mut rest = &said[..];
        while !rest.is_empty() {
            let (frame, after) = rest.split_at((2 * random.below(200) as usize).min(rest.len()));
            let (mut octets, mut samples) = ([0; 200], [0; 400]);
            let length = encoder.encode(frame, &mut octets);
            let count = decoder.decode(&octets[..length], &mut samples);
            heard.extend_from_slice(&samples[..count]);
            rest = after;
        }
        assert!(heard == decode(&encode(&said)));
    }

    #[test]
    fn the_states_stay_in_range_whatever_comes() {
        let mut random = Random::new(7);
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let (mut octets, mut samples) = ([0; 80], [0; 160]);
        for round in 0..2000 {
            match round % 3 {
                0 => octets.iter_mut().for_each(|octet| *octet = random.next() as u8),
                1 => octets.fill(random.next() as u8),
                _ => {
                    let loud = noise(round, 160, i16::MAX);
                    encoder.encode(&loud, &mut octets);
                }
            }
            decoder.decode(&octets, &mut samples);
            for band in [encoder.low, encoder.high, decoder.low, decoder.high] {
                assert!((0..=22_528).contains(&band.log_step) && band.predicted.abs() <= 32_768 && band.step > 0);
            }
        }
    }

    #[test]
    fn room_for_less_than_all_takes_what_fits() {
        assert_eq!(Encoder::new().encode(&[1, 2, 3], &mut [0; 8]), 1);
        assert_eq!(Encoder::new().encode(&[1; 40], &mut [0; 8]), 8);
        assert_eq!(Decoder::new().decode(&[1; 40], &mut [0; 9]), 8);
    }
}
