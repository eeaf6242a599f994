//! L16: linear samples of 16 bits, the high octet first, channels interleaved. Source: RFC 3551 4.5.11.
//!
//! We speak and hear in mono: of two channels the mean is heard, and both carry the same when we send.

/// Octets of one sampling instant.
fn stride(channels: u8) -> usize {
    2 * usize::from(channels.max(1))
}

/// Sampling instants in a payload; None when it does not end where one ends.
pub fn count(payload: &[u8], channels: u8) -> Option<usize> {
    payload
        .len()
        .is_multiple_of(stride(channels))
        .then(|| payload.len() / stride(channels))
}

/// Decode into `out` as far as it reaches. Returns how many samples were written.
pub fn decode(payload: &[u8], channels: u8, out: &mut [i16]) -> usize {
    let sample = |octets: &[u8]| i16::from_be_bytes([octets[0], octets[1]]);
    let instants = payload.chunks_exact(stride(channels));
    let count = instants.len().min(out.len());
    if channels <= 1 {
        out.iter_mut()
            .zip(instants)
            .for_each(|(to, octets)| *to = sample(octets));
    } else {
        for (to, octets) in out.iter_mut().zip(instants) {
            let sum: i32 = octets.chunks_exact(2).map(|octets| i32::from(sample(octets))).sum();
            *to = (sum / i32::from(channels)) as i16;
        }
    }
    count
}

/// Encode as many samples as fit. Returns how many octets were written.
pub fn encode(samples: &[i16], channels: u8, out: &mut [u8]) -> usize {
    let stride = stride(channels);
    let mut written = 0;
    for (octets, sample) in out.chunks_exact_mut(stride).zip(samples) {
        octets
            .chunks_exact_mut(2)
            .for_each(|octets| octets.copy_from_slice(&sample.to_be_bytes()));
        written += stride;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::noise;

    #[test]
    fn the_high_octet_comes_first__rfc3551_4_5_11() {
        let mut octets = [0; 4];
        assert_eq!(encode(&[0x0102, -2], 1, &mut octets), 4);
        assert_eq!(octets, [0x01, 0x02, 0xFF, 0xFE]);
    }

    #[test]
    fn what_is_encoded_is_decoded_exactly() {
        let said = noise(1, 441, i16::MAX);
        for channels in [1, 2] {
            let mut octets = [0; 4 * 441];
            let length = encode(&said, channels, &mut octets);
            assert_eq!(
                (length, count(&octets[..length], channels)),
                (said.len() * stride(channels), Some(441))
            );
            let mut heard = [0; 441];
            assert_eq!(decode(&octets[..length], channels, &mut heard), 441);
            assert_eq!(heard[..], said[..]);
        }
    }

    #[test]
    fn of_two_channels_the_mean_is_heard() {
        let mut heard = [0; 3];
        assert_eq!(
            decode(
                &[0x7F, 0xFF, 0x7F, 0xFF, 0x80, 0x00, 0x7F, 0xFE, 0x00, 0x0A, 0x00, 0x14],
                2,
                &mut heard
            ),
            3
        );
        assert_eq!(heard, [32767, -1, 15]);
    }

    #[test]
    fn any_octets_and_any_room_are_borne() {
        let mut random = Random::new(2);
        let (mut out, mut octets) = ([0; 40], [0; 40]);
        for _ in 0..10_000 {
            let payload: Vec<u8> = (0..random.below(100)).map(|_| random.next() as u8).collect();
            let (channels, room) = (random.below(4) as u8, random.below(41) as usize);
            assert!(decode(&payload, channels, &mut out[..room]) <= room);
            assert!(encode(&out, channels, &mut octets[..room]) <= room);
            assert!(count(&payload, channels).is_none_or(|count| count <= 50));
        }
    }
}
