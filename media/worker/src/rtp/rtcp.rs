//! RTCP packets: our reports to a peer, and what its reports tell us. Source: RFC 3550 6, A.2; RFC 5761.

use crate::rtp::reception::Report;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Room for the largest compound packet that `build` makes.
pub const MAX_BUILT: usize = 256;

/// The sender's half of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// Which sender report of the peer we heard last: its middle NTP bits, and how long ago in 1/65536 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastReport {
    pub middle: u32,
    pub delay: u32,
}

/// A report block about a source, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub cumulative_lost: i32,
    pub jitter: u32,
    pub last: LastReport,
}

/// One thing that a compound packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The peer sent a sender report with these middle NTP bits.
    SenderReport {
        ssrc: u32,
        middle: u32,
    },
    Block(Block),
    Goodbye {
        ssrc: u32,
    },
}

/// Read a compound packet and give each of its items to `tell`. False when the datagram is no RTCP at all; what was read
/// before a packet of the compound turned out to be cut off has been told.
pub fn parse(datagram: &[u8], mut tell: impl FnMut(Item)) -> bool {
    let mut rest = datagram;
    while !rest.is_empty() {
        let Some(head) = rest.first_chunk::<4>() else {
            return false;
        };
        if head[0] >> 6 != 2 || !(192..=223).contains(&head[1]) {
            return false;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let Some(packet) = rest.get(..length) else {
            return false;
        };
        read_packet(packet, &mut tell);
        rest = &rest[length..];
    }
    !datagram.is_empty()
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets
        .get(at..at + 4)?
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
}

fn read_packet(packet: &[u8], tell: &mut impl FnMut(Item)) -> Option<()> {
    let count = usize::from(packet[0] & 0x1F);
    match packet[1] {
        SENDER_REPORT => {
            let (high, low) = (word(packet, 8)?, word(packet, 12)?);
            word(packet, 24)?;
            let ssrc = word(packet, 4)?;
            let middle = (high << 16) | (low >> 16);
            tell(Item::SenderReport { ssrc, middle });
            read_blocks(packet.get(28..)?, count, tell);
        }
        RECEIVER_REPORT => read_blocks(packet.get(8..)?, count, tell),
        GOODBYE => {
            for index in 0..count {
                let ssrc = word(packet, 4 + 4 * index)?;
                tell(Item::Goodbye { ssrc });
            }
        }
        _ => {}
    }
    Some(())
}

fn read_blocks(octets: &[u8], count: usize, tell: &mut impl FnMut(Item)) {
    for block in octets.chunks_exact(24).take(count) {
        let at = |index: usize| word(block, index).unwrap_or(0);
        let lost = at(4);
        tell(Item::Block(Block {
            ssrc: at(0),
            fraction_lost: (lost >> 24) as u8,
            // 24 bits, signed.
            cumulative_lost: ((lost << 8) as i32) >> 8,
            jitter: at(12),
            last: LastReport {
                middle: at(16),
                delay: at(20),
            },
        }));
    }
}

/// The round trip that a block about us reveals, in milliseconds, when it refers to a report of ours. `now_middle`: the
/// middle 32 bits of the NTP time at which the block came in (RFC 3550 6.4.1).
pub fn round_trip_ms(block: &Block, now_middle: u32) -> Option<f64> {
    if block.last.middle == 0 {
        return None;
    }
    let units = now_middle
        .wrapping_sub(block.last.middle)
        .wrapping_sub(block.last.delay);
    // A peer that reckons its delay coarsely can come out a little below zero.
    let units = if units > u32::MAX - 0x1_0000 { 0 } else { units };
    let trip_ms = f64::from(units) * 1000.0 / 65536.0;
    (trip_ms < 60_000.0).then_some(trip_ms)
}

/// What goes into one compound packet of ours.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    pub ssrc: u32,
    /// None when nothing was sent since the last report.
    pub sender: Option<SenderInfo>,
    pub report: Option<(Report, LastReport)>,
    /// The CNAME, at most 64 octets.
    pub name: &'a str,
    pub goodbye: bool,
}

struct Writer<'a> {
    octets: &'a mut [u8; MAX_BUILT],
    length: usize,
}

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) {
        // All that is put fits: 28 + 24 + 76 + 8 octets at most.
        if let Some(room) = self.octets.get_mut(self.length..self.length + octets.len()) {
            room.copy_from_slice(octets);
            self.length += octets.len();
        }
    }

    fn word(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn begin(&mut self, count: u8, kind: u8) -> usize {
        let start = self.length;
        self.put(&[0x80 | count, kind, 0, 0]);
        start
    }

    fn end(&mut self, start: usize) {
        while !self.length.is_multiple_of(4) {
            self.put(&[0]);
        }
        let words = ((self.length - start) / 4 - 1) as u16;
        self.octets[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

/// Write a compound packet and return its length.
pub fn build(compound: &Compound, octets: &mut [u8; MAX_BUILT]) -> usize {
    let mut writer = Writer { octets, length: 0 };
    let blocks = u8::from(compound.report.is_some());
    let kind = if compound.sender.is_some() {
        SENDER_REPORT
    } else {
        RECEIVER_REPORT
    };
    let start = writer.begin(blocks, kind);
    writer.word(compound.ssrc);
    if let Some(sender) = compound.sender {
        writer.put(&sender.ntp.to_be_bytes());
        writer.word(sender.timestamp);
        writer.word(sender.packets);
        writer.word(sender.octets);
    }
    if let Some((report, last)) = compound.report {
        writer.word(report.ssrc);
        writer.word((u32::from(report.fraction_lost) << 24) | (report.cumulative_lost as u32 & 0xFF_FFFF));
        writer.word(report.highest_sequence);
        writer.word(report.jitter);
        writer.word(last.middle);
        writer.word(last.delay);
    }
    writer.end(start);
    let start = writer.begin(1, SOURCE_DESCRIPTION);
    writer.word(compound.ssrc);
    let name = &compound.name.as_bytes()[..compound.name.len().min(64)];
    writer.put(&[1, name.len() as u8]);
    writer.put(name);
    writer.put(&[0]);
    writer.end(start);
    if compound.goodbye {
        let start = writer.begin(1, GOODBYE);
        writer.word(compound.ssrc);
        writer.end(start);
    }
    writer.length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(datagram: &[u8]) -> (bool, Vec<Item>) {
        let mut items = Vec::new();
        let good = parse(datagram, |item| items.push(item));
        (good, items)
    }

    fn report() -> Report {
        Report {
            ssrc: 0x0A0B_0C0D,
            fraction_lost: 128,
            cumulative_lost: -3,
            highest_sequence: 0x1_2345,
            jitter: 17,
        }
    }

    fn built(sender: bool, goodbye: bool) -> Vec<u8> {
        let mut octets = [0; MAX_BUILT];
        let compound = Compound {
            ssrc: 7,
            sender: sender.then_some(SenderInfo {
                ntp: 0x1111_2222_3333_4444,
                timestamp: 5,
                packets: 6,
                octets: 7,
            }),
            report: Some((report(), LastReport { middle: 9, delay: 10 })),
            name: "name",
            goodbye,
        };
        let length = build(&compound, &mut octets);
        octets[..length].to_vec()
    }

    #[test]
    fn what_we_build_says_what_we_meant() {
        let block = Item::Block(Block {
            ssrc: 0x0A0B_0C0D,
            fraction_lost: 128,
            cumulative_lost: -3,
            jitter: 17,
            last: LastReport { middle: 9, delay: 10 },
        });
        let sender = Item::SenderReport {
            ssrc: 7,
            middle: 0x2222_3333,
        };
        assert_eq!(told(&built(true, false)), (true, vec![sender, block]));
        assert_eq!(
            told(&built(false, true)),
            (true, vec![block, Item::Goodbye { ssrc: 7 }])
        );
    }

    #[test]
    fn a_compound_packet_cut_anywhere_is_refused_or_ends_between_packets() {
        let whole = built(true, true);
        for length in 0..whole.len() {
            let (good, _) = told(&whole[..length]);
            // 52: after the report; the next boundary is after the description.
            let boundary = length == 52 || length == whole.len() - 8;
            assert_eq!(good, boundary, "{length}");
        }
    }

    #[test]
    fn blocks_that_the_count_promises_but_the_length_lacks_are_not_told() {
        assert_eq!(told(b"\x9F\xC9\x00\x01\x00\x00\x00\x01"), (true, vec![]));
        assert_eq!(told(b"\x81\xC8\x00\x01\x00\x00\x00\x01"), (true, vec![]));
        assert_eq!(
            told(b"\x83\xCB\x00\x01\x00\x00\x00\x05"),
            (true, vec![Item::Goodbye { ssrc: 5 }])
        );
    }

    #[test]
    fn the_round_trip_is_what_is_left_of_the_time_between__rfc3550_6_4_1() {
        let block = |middle, delay| Block {
            ssrc: 0,
            fraction_lost: 0,
            cumulative_lost: 0,
            jitter: 0,
            last: LastReport { middle, delay },
        };
        // The figures of RFC 3550 Figure 2: 6.125 s.
        assert_eq!(
            round_trip_ms(&block(0xB705_2000, 0x0005_4000), 0xB710_8000),
            Some(6125.0)
        );
        assert_eq!(round_trip_ms(&block(0, 0), 0xB710_8000), None);
        assert_eq!(round_trip_ms(&block(100, 20), 110), Some(0.0));
        assert_eq!(round_trip_ms(&block(0x7000_0000, 0), 0x1000_0000), None);
    }

    #[test]
    fn any_bytes_are_read_to_an_end() {
        let mut random = crate::random::Random::new(5);
        for _ in 0..200_000 {
            let mut datagram: Vec<u8> = (0..random.below(96)).map(|_| random.next() as u8).collect();
            for (index, octet) in [0x81, 200 + random.below(4) as u8, 0, random.below(24) as u8]
                .into_iter()
                .enumerate()
            {
                if let Some(place) = datagram.get_mut(index) {
                    *place = octet;
                }
            }
            told(&datagram);
        }
    }
}
