//! What a peer measured by itself: the VoIP metrics block of an extended report. Source: RFC 3611 2, 4.7.

const EXTENDED_REPORT: u8 = 207;
const VOIP_METRICS: u8 = 7;
/// What stands for "cannot be told" in the quality figures.
const UNAVAILABLE: u8 = 127;

/// One block, about the source `ssrc`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoipMetrics {
    pub ssrc: u32,
    /// Lost on the way, and dropped by the peer's jitter buffer, 0 to 1.
    pub loss: f32,
    pub discard: f32,
    /// The part that was lost or dropped within bursts and between them, 0 to 1.
    pub burst_density: f32,
    pub gap_density: f32,
    pub burst_ms: u16,
    pub gap_ms: u16,
    pub round_trip_ms: u16,
    pub end_system_delay_ms: u16,
    /// R as the peer reckons it, 0 to 100.
    pub rating: Option<u8>,
    /// Opinion scores of listening and of conversation, 1 to 5.
    pub listening: Option<f32>,
    pub conversation: Option<f32>,
}

/// Give each VoIP metrics block of a compound packet to `tell`. What is no RTCP, or cut off, ends the reading.
pub fn read_voip_metrics(datagram: &[u8], mut tell: impl FnMut(VoipMetrics)) {
    let mut rest = datagram;
    while let Some(head) = rest.first_chunk::<4>() {
        let length = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let Some(packet) = rest.get(..length).filter(|_| head[0] >> 6 == 2) else {
            return;
        };
        if head[1] == EXTENDED_REPORT {
            read_blocks(packet.get(8..).unwrap_or_default(), &mut tell);
        }
        rest = &rest[length..];
    }
}

fn read_blocks(mut rest: &[u8], tell: &mut impl FnMut(VoipMetrics)) {
    while let Some(head) = rest.first_chunk::<4>() {
        let length = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let Some(block) = rest.get(..length) else {
            return;
        };
        if head[0] == VOIP_METRICS {
            if let Some(body) = block.get(4..).and_then(|body| body.first_chunk::<32>()) {
                tell(read_metrics(body));
            }
        }
        rest = &rest[length..];
    }
}

fn read_metrics(body: &[u8; 32]) -> VoipMetrics {
    let part = |at: usize| f32::from(body[at]) / 256.0;
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let figure = |at: usize| Some(body[at]).filter(|figure| *figure != UNAVAILABLE);
    let score = |at: usize| figure(at).map(|tenths| f32::from(tenths) / 10.0);
    VoipMetrics {
        ssrc: u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
        loss: part(4),
        discard: part(5),
        burst_density: part(6),
        gap_density: part(7),
        burst_ms: number(8),
        gap_ms: number(10),
        round_trip_ms: number(12),
        end_system_delay_ms: number(14),
        // 16, 17, 18, 19: signal, noise, echo return loss, Gmin; 20: R; 21: of an outer network.
        rating: figure(20),
        listening: score(22),
        conversation: score(23),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Vec<u8> {
        let mut body = vec![0x80, 207, 0, 14, 0, 0, 0, 9]; // 15 words
        body.extend([4, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2]); // a block of another kind
        body.extend([
            7, 0, 0, 8, 0xAA, 0xBB, 0xCC, 0xDD, 64, 32, 128, 1, 0x01, 0x00, 0x10, 0x00, 0, 80, 0, 40,
        ]);
        body.extend([0, 0, 0, 16, 89, 127, 41, 127, 0, 0, 0, 60, 0, 80, 1, 0]);
        body.extend([0; 4]); // the last word
        body
    }

    fn told(datagram: &[u8]) -> Vec<VoipMetrics> {
        let mut all = Vec::new();
        read_voip_metrics(datagram, |metrics| all.push(metrics));
        all
    }

    #[test]
    fn metrics_are_read_where_they_stand__rfc3611_4_7() {
        let receiver_report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        let expected = VoipMetrics {
            ssrc: 0xAABB_CCDD,
            loss: 0.25,
            discard: 0.125,
            burst_density: 0.5,
            gap_density: 1.0 / 256.0,
            burst_ms: 256,
            gap_ms: 4096,
            round_trip_ms: 80,
            end_system_delay_ms: 40,
            rating: Some(89),
            listening: Some(4.1),
            conversation: None,
        };
        assert_eq!(told(&[&receiver_report[..], &report()].concat()), [expected]);
    }

    #[test]
    fn what_is_cut_off_or_something_else_tells_nothing() {
        let whole = report();
        for length in 0..whole.len() {
            assert_eq!(told(&whole[..length]), [], "{length}");
        }
        let mut other = whole.clone();
        other[1] = 200;
        assert_eq!(told(&other), []);
        let mut short = whole;
        short[23] = 1; // the block ends before its figures do
        assert_eq!(told(&short).len(), 0);
    }

    #[test]
    fn any_bytes_end_the_reading() {
        let mut random = crate::random::Random::new(2);
        for _ in 0..50_000 {
            let mut octets: Vec<u8> = (0..random.below(90)).map(|_| random.next() as u8 & 0x0F).collect();
            if octets.len() > 8 {
                (octets[0], octets[1], octets[2]) = (0x80, 207, 0);
                octets[8] = 7;
            }
            read_voip_metrics(&octets, |_| ());
        }
    }
}
