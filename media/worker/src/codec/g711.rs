//! PCMU and PCMA: samples to octets and back, and one law to the other. Source: ITU-T G.711, Tables 1 and 2.
//!
//! All three conversions are tables, made by the compiler from the definitions below.

/// The two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    Mu,
    A,
}

impl Law {
    /// The octet for silence.
    pub fn silence(self) -> u8 {
        match self {
            Law::Mu => 0xFF,
            Law::A => 0xD5,
        }
    }

    /// The 16-bit sample of each octet.
    pub fn decoder(self) -> &'static [i16; 256] {
        match self {
            Law::Mu => &MU_TO_LINEAR,
            Law::A => &A_TO_LINEAR,
        }
    }

    /// The octet nearest to a sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => LINEAR_TO_MU[usize::from((sample as u16) >> 2)],
            Law::A => LINEAR_TO_A[usize::from((sample as u16) >> 3)],
        }
    }
}

/// Octets of one law to those of the other that stand for the nearest level.
pub fn transcoder(from: Law, to: Law) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Law::Mu, Law::A) => Some(&MU_TO_A),
        (Law::A, Law::Mu) => Some(&A_TO_MU),
        _ => None,
    }
}

const MU_BIAS: i32 = 0x84;

const fn mu_decode(octet: u8) -> i16 {
    let code = !octet;
    let exponent = (code >> 4) & 7;
    let magnitude = ((((code & 0x0F) as i32) << 3) + MU_BIAS) << exponent;
    let level = magnitude - MU_BIAS;
    (if code & 0x80 != 0 { -level } else { level }) as i16
}

const fn mu_encode(sample: i32) -> u8 {
    let (sign, mut magnitude) = if sample < 0 { (0x80, -sample) } else { (0, sample) };
    if magnitude > 32635 {
        magnitude = 32635;
    }
    magnitude += MU_BIAS;
    let exponent = 31 - (magnitude as u32).leading_zeros() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

const fn a_decode(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mantissa = ((code & 0x0F) as i32) << 4;
    let level = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    // In A-law the sign bit is set for positive values.
    (if code & 0x80 != 0 { level } else { -level }) as i16
}

const fn a_encode(sample: i32) -> u8 {
    // Negative values round towards zero on a grid shifted by one step, hence the complement and not the negative.
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        let exponent = 31 - (magnitude as u32).leading_zeros() as i32 - 7;
        (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)
    };
    (sign | code as u8) ^ 0x55
}

const fn decode_table(mu: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = if mu {
            mu_decode(octet as u8)
        } else {
            a_decode(octet as u8)
        };
        octet += 1;
    }
    table
}

/// Indexed by the upper bits of a sample: 14 matter to the mu-law, 13 to the A-law.
const fn encode_table<const N: usize>(mu: bool, shift: u32) -> [u8; N] {
    let mut table = [0; N];
    let mut index = 0;
    while index < N {
        let sample = ((index << shift) as u16 as i16) as i32;
        table[index] = if mu { mu_encode(sample + 2) } else { a_encode(sample) };
        index += 1;
    }
    table
}

const fn cross_table(from_mu: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = if from_mu {
            a_encode(mu_decode(octet as u8) as i32)
        } else {
            mu_encode(a_decode(octet as u8) as i32)
        };
        octet += 1;
    }
    table
}

static MU_TO_LINEAR: [i16; 256] = decode_table(true);
static A_TO_LINEAR: [i16; 256] = decode_table(false);
static LINEAR_TO_MU: [u8; 1 << 14] = encode_table(true, 2);
static LINEAR_TO_A: [u8; 1 << 13] = encode_table(false, 3);
static MU_TO_A: [u8; 256] = cross_table(true);
static A_TO_MU: [u8; 256] = cross_table(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_values_of_the_recommendation() {
        // (law, sample on the 16-bit scale, octet): ends of segments, both signs.
        let cases = [
            (Law::Mu, 0, 0xFF),
            (Law::Mu, -1, 0x7F),
            (Law::Mu, 32124, 0x80),
            (Law::Mu, 32767, 0x80),
            (Law::Mu, -32768, 0x00),
            (Law::Mu, 1000, 0xCE),
            (Law::A, 0, 0xD5),
            (Law::A, -1, 0x55),
            (Law::A, 32767, 0xAA),
            (Law::A, -32768, 0x2A),
            (Law::A, 1000, 0xFA),
        ];
        for (law, sample, octet) in cases {
            assert_eq!(law.encode(sample), octet, "{law:?} {sample}");
        }
    }

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for octet in 0..=255_u8 {
                let again = law.encode(law.decoder()[usize::from(octet)]);
                // Mu-law has two octets for zero.
                assert!(
                    again == octet || (law == Law::Mu && octet == 0x7F && again == 0xFF),
                    "{law:?} {octet:#x}"
                );
            }
        }
    }

    #[test]
    fn encoding_chooses_a_level_within_half_a_step() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let level = i32::from(law.decoder()[usize::from(law.encode(sample))]);
                let error = (level - i32::from(sample)).abs();
                // Sixteen steps to a segment, the first of which begins at the bias (mu) or has that of the second (A).
                let bias = if law == Law::Mu { MU_BIAS } else { 0 };
                let half_step = ((i32::from(sample).abs() + bias) / 32).max(8) + 2;
                assert!(
                    error <= half_step || i32::from(sample).abs() > 32000,
                    "{law:?} {sample} -> {level}"
                );
            }
        }
    }

    #[test]
    fn crossing_the_laws_keeps_the_level() {
        for (from, to) in [(Law::Mu, Law::A), (Law::A, Law::Mu)] {
            let table = transcoder(from, to).expect("two laws");
            for octet in 0..=255_u8 {
                let before = i32::from(from.decoder()[usize::from(octet)]);
                let after = i32::from(to.decoder()[usize::from(table[usize::from(octet)])]);
                assert!(
                    (before - after).abs() <= before.abs() / 32 + 8,
                    "{from:?} {octet:#x}: {before} {after}"
                );
            }
        }
        assert!(transcoder(Law::A, Law::A).is_none());
    }

    #[test]
    fn silence_is_the_octet_of_zero() {
        assert_eq!(
            (Law::Mu.encode(0), Law::A.encode(0)),
            (Law::Mu.silence(), Law::A.silence())
        );
    }
}
