//! What is learnt from the packets of one synchronization source: loss, order, jitter. Source: RFC 3550 A.1, A.3, A.8.

use crate::clock::{samples, Nanos};
use crate::rtp::{Packet, MAX_DROPOUT, MAX_MISORDER};

/// What a report block says of a source (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub cumulative_lost: i32,
    pub highest_sequence: u32,
    pub jitter: u32,
}

/// Statistics of the current source. Losses of earlier sources of the stream are carried along.
#[derive(Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    lost_before: u64,
    jitter_rate_hz: u32,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: u64,
    highest: u64,
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    transit: u32,
    jitter: f32,
}

impl Source {
    fn new(packet: &Packet, transit: u32) -> Self {
        // One cycle up, so that a packet from before the first one does not count below zero.
        let first = 0x1_0000 | u64::from(packet.sequence);
        Self {
            ssrc: packet.ssrc,
            first,
            highest: first,
            received: 1,
            expected_at_report: 0,
            received_at_report: 0,
            transit,
            jitter: 0.0,
        }
    }

    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }
}

impl Reception {
    /// Take note of a packet that arrived `now`.
    pub fn note(&mut self, packet: &Packet, now: Nanos, rate_hz: u32) {
        let transit = (samples(now, rate_hz) as u32).wrapping_sub(packet.timestamp);
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == packet.ssrc) else {
            return self.begin(packet, transit, rate_hz);
        };
        let step = packet.sequence.wrapping_sub(source.highest as u16);
        if step < MAX_DROPOUT {
            source.highest += u64::from(step);
        } else if step <= u16::MAX - MAX_MISORDER {
            return self.begin(packet, transit, rate_hz);
        }
        source.received += 1;
        if rate_hz == self.jitter_rate_hz {
            let difference = (transit.wrapping_sub(source.transit) as i32).unsigned_abs() as f32;
            // Ten seconds and more are a restarted clock, not a late packet.
            if difference < 10.0 * rate_hz as f32 {
                source.jitter += (difference - source.jitter) / 16.0;
            }
        }
        self.jitter_rate_hz = rate_hz;
        source.transit = transit;
    }

    /// The current source and its highest sequence number.
    pub fn newest(&self) -> Option<(u32, u16)> {
        self.source.as_ref().map(|source| (source.ssrc, source.highest as u16))
    }

    /// The interarrival jitter in units of the clock of `rate_hz`; 0 when it was measured by another.
    pub fn jitter(&self, rate_hz: u32) -> f32 {
        let source = self.source.as_ref().filter(|_| self.jitter_rate_hz == rate_hz);
        source.map_or(0.0, |source| source.jitter)
    }

    /// Packets of the current source were counted elsewhere: so many, by which the highest number went on by `steps`. The
    /// newest has this timestamp and came at `at`; the jitter is that of all.
    pub fn passed(&mut self, packets: u64, steps: u64, timestamp: u32, at: Nanos, jitter: f32, rate_hz: u32) {
        if let Some(source) = self.source.as_mut() {
            source.highest += steps;
            source.received += packets;
            source.jitter = jitter;
            source.transit = (samples(at, rate_hz) as u32).wrapping_sub(timestamp);
            self.jitter_rate_hz = rate_hz;
        }
    }

    fn begin(&mut self, packet: &Packet, transit: u32, rate_hz: u32) {
        self.lost_before += self.current_lost();
        self.jitter_rate_hz = rate_hz;
        self.source = Some(Source::new(packet, transit));
    }

    fn current_lost(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.lost().max(0) as u64)
    }

    /// Packets missing by their sequence numbers, all sources of the stream together.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.current_lost()
    }

    pub fn jitter_ms(&self) -> f64 {
        let rate_hz = f64::from(self.jitter_rate_hz.max(1));
        self.source
            .as_ref()
            .map_or(0.0, |source| f64::from(source.jitter) * 1000.0 / rate_hz)
    }

    /// The block for our next report, and the start of a new interval for its fraction.
    pub fn report(&mut self) -> Option<Report> {
        let source = self.source.as_mut()?;
        let expected = source.expected() - source.expected_at_report;
        let received = source.received - source.received_at_report;
        source.expected_at_report = source.expected();
        source.received_at_report = source.received;
        let lost = expected.saturating_sub(received);
        let fraction_lost = (lost * 256).checked_div(expected).unwrap_or(0).min(255);
        Some(Report {
            ssrc: source.ssrc,
            fraction_lost: fraction_lost as u8,
            cumulative_lost: source.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_sequence: source.highest.wrapping_sub(0x1_0000) as u32,
            jitter: source.jitter as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet {
        Packet {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc,
            payload: 12..172,
        }
    }

    fn hear(sequences: &[u16]) -> Reception {
        let mut reception = Reception::default();
        for (index, &sequence) in sequences.iter().enumerate() {
            let at = index as u64 * 20 * MILLISECOND;
            reception.note(&packet(1, sequence, index as u32 * 160), at, 8000);
        }
        reception
    }

    #[test]
    fn loss_counts_what_the_sequence_numbers_miss__rfc3550_a_3() {
        let cases: [(&str, &[u16], u64); 6] = [
            ("none", &[10, 11, 12], 0),
            ("two", &[10, 13], 2),
            ("reordered", &[10, 12, 11, 13], 0),
            ("wrapped", &[65534, 65535, 1], 1),
            ("duplicates hide a loss", &[10, 10, 12], 0),
            ("before the first", &[0, 65535, 1], 0),
        ];
        for (name, sequences, lost) in cases {
            assert_eq!(hear(sequences).lost(), lost, "{name}");
        }
    }

    #[test]
    fn numbers_that_leap_until_the_count_of_cycles_is_used_up_are_survived() {
        let mut reception = Reception::default();
        let mut sequence = 0_u16;
        for index in 0..1_500_000_u32 {
            sequence = sequence.wrapping_add(MAX_DROPOUT - 1);
            reception.note(&packet(1, sequence, 0), 0, 8000);
            if index % 100_000 == 0 {
                assert!(reception.report().is_some());
            }
        }
        assert!(reception.report().is_some_and(|report| report.fraction_lost > 250));
    }

    #[test]
    fn a_source_that_begins_anew_keeps_its_losses_and_adds_none() {
        let mut reception = hear(&[10, 13]);
        reception.note(&packet(1, 30_000, 0), 0, 8000);
        reception.note(&packet(2, 7, 0), 0, 8000);
        assert_eq!(reception.lost(), 2);
        assert_eq!(
            reception.report().map(|report| (report.ssrc, report.highest_sequence)),
            Some((2, 7))
        );
    }

    #[test]
    fn the_fraction_covers_the_interval_since_the_last_report__rfc3550_6_4_1() {
        let mut reception = hear(&[0, 1, 2, 7]);
        let report = reception.report().expect("a source");
        assert_eq!(
            (report.fraction_lost, report.cumulative_lost, report.highest_sequence),
            (128, 4, 7)
        );
        reception.note(&packet(1, 8, 0), 0, 8000);
        let report = reception.report().expect("a source");
        assert_eq!(
            (report.fraction_lost, report.cumulative_lost, report.highest_sequence),
            (0, 4, 8)
        );
    }

    #[test]
    fn what_was_counted_elsewhere_counts_as_if_it_was_heard() {
        let at = |index: u16| u64::from(index) * 20 * MILLISECOND;
        let say = |reception: &mut Reception, index: u16| {
            let packet = packet(1, index.wrapping_add(65_500), u32::from(index) * 160);
            reception.note(&packet, at(index), 8000);
        };
        let (mut heard, mut counted) = (Reception::default(), Reception::default());
        for index in (0..300).filter(|index| index % 10 != 5) {
            say(&mut heard, index);
        }
        (0..20)
            .filter(|index| index % 10 != 5)
            .for_each(|index| say(&mut counted, index));
        assert_eq!(counted.newest(), Some((1, 65_519)));
        counted.passed(234, 260, 279 * 160, at(279), 0.0, 8000);
        (280..300)
            .filter(|index| index % 10 != 5)
            .for_each(|index| say(&mut counted, index));
        assert_eq!(counted.lost(), heard.lost());
        assert_eq!(counted.report(), heard.report());
        assert!(counted.jitter_ms() < 0.01 && counted.lost() == 30);
    }

    #[test]
    fn even_arrivals_have_no_jitter_and_uneven_ones_approach_their_deviation__rfc3550_a_8() {
        let mut reception = Reception::default();
        for index in 0..500_u64 {
            reception.note(
                &packet(1, index as u16, index as u32 * 160),
                index * 20 * MILLISECOND,
                8000,
            );
        }
        assert!(reception.jitter_ms() < 0.01);
        for index in 500..1000_u64 {
            let late = if index % 2 == 0 { 4 * MILLISECOND } else { 0 };
            reception.note(
                &packet(1, index as u16, index as u32 * 160),
                index * 20 * MILLISECOND + late,
                8000,
            );
        }
        assert!((reception.jitter_ms() - 4.0).abs() < 0.1, "{}", reception.jitter_ms());
    }
}
