use super::*;
use crate::random::Random;

const TICK: Nanos = 20 * MILLISECOND;
const UNITS: u32 = 160;

/// Packet number `index` of a stream without pauses, numbers close to their wrap-around.
fn packet(index: u64, payload: &[u8]) -> Arrival<'_> {
    Arrival {
        ssrc: 7,
        sequence: (65_530 + index) as u16,
        timestamp: (u64::from(u32::MAX) - 500 + index * u64::from(UNITS)) as u32,
        marker: index == 0,
        payload_type: 0,
        content: Content::Audio {
            units: UNITS,
            last: false,
        },
        payload,
    }
}

/// Moves packets through a buffer in virtual time and writes down what is heard: a packet's number, `L` for a packet given
/// up (`F` if the one behind it is there to help), `s` for a starved and `.` for a silent tick, `n` for comfort noise.
struct Bench {
    jitter: Jitter,
    now: Nanos,
    waiting: u32,
    heard: String,
}

impl Bench {
    fn new() -> Self {
        Self {
            jitter: Jitter::new(8000, Limits::default()),
            now: 0,
            waiting: 0,
            heard: String::new(),
        }
    }

    fn put(&mut self, arrival: &Arrival) -> Fate {
        self.jitter.insert(arrival, self.now)
    }

    fn put_number(&mut self, index: u64) -> Fate {
        self.put(&packet(index, &index.to_be_bytes()))
    }

    /// A listener's tick: as much as is needed for 20 ms.
    fn tick(&mut self) {
        while self.waiting < UNITS {
            match self.jitter.next(self.now) {
                Next::Audio { payload, units, .. } => {
                    let number = payload.try_into().map_or(0, u64::from_be_bytes);
                    self.heard += &format!("{number} ");
                    self.waiting += units;
                }
                Next::Noise { .. } => self.heard += "n ",
                Next::Lost { units, following } => {
                    self.heard += if following.is_some() { "F " } else { "L " };
                    self.waiting += units;
                }
                Next::Starved => {
                    self.heard += "s ";
                    self.jitter.note_starved(UNITS - self.waiting);
                    self.waiting = UNITS;
                }
                Next::Pause => {
                    self.heard += ". ";
                    self.waiting = UNITS;
                }
            }
        }
        self.waiting -= UNITS;
        self.now += TICK;
    }

    /// What was heard since the last time, repetitions of a silent tick left out.
    fn heard(&mut self) -> String {
        let mut words: Vec<&str> = self.heard.split_whitespace().collect();
        words.dedup_by(|next, before| next == before && *next == ".");
        let text = words.join(" ");
        self.heard.clear();
        text
    }

    /// Packets `first..` at their pace, `lost` left out, until a tick after the last.
    fn run(&mut self, packets: std::ops::Range<u64>, lost: &[u64]) {
        for index in packets {
            if !lost.contains(&index) {
                self.put_number(index);
            }
            self.tick();
        }
    }
}

fn numbers(range: std::ops::Range<u64>) -> String {
    range.map(|index| index.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn even_packets_are_heard_in_order_after_the_first_delay() {
    let mut bench = Bench::new();
    bench.run(0..50, &[]);
    assert_eq!(bench.heard(), format!(". {}", numbers(0..48)));
    assert_eq!(bench.jitter.counts, Counts::default());
}

#[test]
fn order_is_restored_and_copies_are_dropped() {
    let mut bench = Bench::new();
    for (index, fate) in [
        (0, Fate::Kept),
        (2, Fate::Kept),
        (1, Fate::Kept),
        (2, Fate::Duplicate),
        (1, Fate::Duplicate),
        (3, Fate::Kept),
    ] {
        assert_eq!(bench.put_number(index), fate, "{index}");
    }
    bench.now += 40 * MILLISECOND;
    (0..4).for_each(|_| bench.tick());
    assert_eq!(bench.heard(), "0 1 2 3");
    assert_eq!(bench.jitter.counts.duplicates, 2);
}

#[test]
fn a_packet_of_before_the_first_is_heard_if_there_is_time() {
    let mut bench = Bench::new();
    bench.put_number(1);
    bench.put_number(0);
    bench.now += 40 * MILLISECOND;
    (0..2).for_each(|_| bench.tick());
    assert_eq!(bench.heard(), "0 1");
    assert_eq!(bench.put_number(0), Fate::Late);
}

#[test]
fn a_lost_packet_is_given_up_when_its_time_has_come_and_the_next_one_helps() {
    let mut bench = Bench::new();
    bench.run(0..20, &[5, 10, 11]);
    assert_eq!(bench.heard(), ". 0 1 2 3 4 F 6 7 8 9 L F 12 13 14 15 16 17");
    assert_eq!(bench.jitter.counts.lost, 3);
    assert_eq!(bench.put_number(10), Fate::Late);
}

#[test]
fn a_packet_that_comes_after_it_was_given_up_is_dropped() {
    let mut bench = Bench::new();
    bench.run(0..10, &[5]);
    bench.put_number(5);
    bench.run(10..12, &[]);
    assert_eq!(bench.heard(), ". 0 1 2 3 4 F 6 7 8 9");
    assert_eq!((bench.jitter.counts.late, bench.jitter.counts.lost), (1, 1));
}

#[test]
fn a_late_packet_is_still_heard_and_the_delay_has_grown() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    // Nothing for 100 ms, then all at once.
    (10..15).for_each(|_| bench.tick());
    (10..15).for_each(|index| assert_eq!(bench.put_number(index), Fate::Kept));
    bench.run(15..20, &[]);
    assert_eq!(bench.heard(), format!(". {} s s s {}", numbers(0..10), numbers(10..15)));
    assert_eq!(bench.jitter.counts, Counts::default());
    assert!(bench.jitter.target() >= 100 * MILLISECOND);
}

#[test]
fn starving_for_a_lost_packet_is_not_added_to_the_delay() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    // 10 is lost and 11 is 40 ms late: by then 20 ms were made up in its place.
    (10..13).for_each(|_| bench.tick());
    bench.put_number(11);
    bench.put_number(12);
    bench.put_number(13);
    (13..16).for_each(|_| bench.tick());
    assert_eq!(bench.heard(), format!(". {} s 11 12 13", numbers(0..10)));
    assert_eq!(bench.jitter.counts.lost, 1);
}

#[test]
fn packets_of_any_length_follow_their_timestamps() {
    let mut jitter = Jitter::new(48_000, Limits::default());
    let mut timestamp = 0;
    for (index, units) in [960, 480, 2880, 1920, 120].into_iter().enumerate() {
        let content = Content::Audio { units, last: false };
        let arrival = Arrival {
            sequence: index as u16,
            timestamp,
            content,
            ..packet(0, b"")
        };
        jitter.insert(&arrival, 0);
        timestamp += units;
    }
    for expected in [960, 480, 2880, 1920, 120] {
        assert!(matches!(jitter.next(40 * MILLISECOND), Next::Audio { units, .. } if units == expected));
    }
    assert_eq!(jitter.next(40 * MILLISECOND), Next::Starved);
}

#[test]
fn a_pause_is_no_loss_and_sets_the_delay_anew() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    let noise = Arrival {
        content: Content::Noise,
        payload_type: 13,
        ..packet(10, &[60])
    };
    bench.put(&noise);
    (10..40).for_each(|_| bench.tick());
    // Speech goes on after 600 ms of silence: the next sequence number, a later timestamp.
    for index in 40..50 {
        let payload = u64::to_be_bytes(index);
        let speech = Arrival {
            sequence: packet(index - 29, &[]).sequence,
            ..packet(index, &payload)
        };
        bench.put(&speech);
        bench.tick();
    }
    assert_eq!(bench.heard(), format!(". {} n . {}", numbers(0..10), numbers(40..48)));
    assert_eq!(bench.jitter.counts, Counts::default());
}

#[test]
fn a_pause_that_was_announced_by_the_codec_is_silence_and_not_loss() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    let content = Content::Audio {
        units: UNITS,
        last: true,
    };
    bench.put(&Arrival {
        content,
        ..packet(10, &10_u64.to_be_bytes())
    });
    (10..20).for_each(|_| bench.tick());
    assert_eq!(bench.heard(), format!(". {} .", numbers(0..11)));
}

#[test]
fn a_source_that_falls_silent_pauses_after_200_ms() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    (0..30).for_each(|_| bench.tick());
    let heard = bench.heard();
    assert_eq!(heard, format!(". {}{} .", numbers(0..10), " s".repeat(11)));
}

#[test]
fn digits_take_sequence_numbers_and_no_audio__rfc4733_2_5() {
    let mut bench = Bench::new();
    bench.run(0..10, &[]);
    for index in 10..15 {
        // All packets of a press carry its beginning.
        let digit = Arrival {
            content: Content::Other,
            payload_type: 101,
            timestamp: packet(10, &[]).timestamp,
            ..packet(index, &[])
        };
        assert_eq!(bench.put(&digit), Fate::Kept);
        bench.tick();
    }
    bench.run(15..20, &[]);
    assert_eq!(bench.heard(), format!(". {} . {}", numbers(0..10), numbers(15..18)));
    assert_eq!(bench.jitter.counts, Counts::default());
}

#[test]
fn another_source_or_a_leap_begins_anew() {
    let payload = 99_u64.to_be_bytes();
    let cases = [
        Arrival {
            ssrc: 8,
            ..packet(10, &payload)
        },
        Arrival {
            sequence: 30_000,
            ..packet(10, &payload)
        },
        Arrival {
            timestamp: 1_000_000_000,
            ..packet(10, &payload)
        },
    ];
    for other in cases {
        let mut bench = Bench::new();
        bench.run(0..10, &[]);
        bench.heard();
        assert_eq!(bench.put(&other), Fate::Restarted);
        (0..3).for_each(|_| bench.tick());
        assert_eq!(bench.heard(), ". 99", "{other:?}");
        assert_eq!(bench.jitter.counts.restarts, 1);
    }
}

#[test]
fn excess_tells_how_far_the_delay_is_from_its_aim() {
    let mut bench = Bench::new();
    bench.run(0..200, &[]);
    // It began with 40 ms, and even arrivals need 10.
    assert_eq!(bench.jitter.excess(), Some(8 * (40 - 10)));
    // Two packets in one tick: the second one is handed out 20 ms earlier than it might be.
    bench.now -= TICK;
    bench.tick();
    assert_eq!(bench.jitter.excess(), Some(8 * (40 - 20 - 10)));
}

#[test]
fn a_second_held_back_is_caught_up_with_by_skipping() {
    let mut bench = Bench::new();
    bench.run(0..200, &[]);
    (0..50).for_each(|_| bench.tick());
    bench.heard();
    (200..250).for_each(|index| assert_eq!(bench.put_number(index), Fate::Kept));
    bench.run(250..300, &[]);
    let heard = bench.heard();
    let skipped = bench.jitter.counts.skipped;
    assert!((25..40).contains(&skipped), "{skipped} {heard}");
    assert!(heard.ends_with(" 299") || bench.jitter.len() <= 21, "{heard}");
    assert_eq!(bench.jitter.counts.lost, 0);
}

#[test]
fn no_more_is_held_than_there_is_room_for() {
    let mut bench = Bench::new();
    for index in 0..1000 {
        bench.put_number(index);
        assert!(bench.jitter.len() <= MAX_PACKETS);
    }
    assert!(bench.jitter.counts.skipped > 0);
}

#[test]
fn any_packets_at_any_time_are_handed_out_at_most_once() {
    let mut random = Random::new(12);
    for round in 0..20 {
        let mut bench = Bench::new();
        let (mut put, mut given) = (0_u64, 0_u64);
        for step in 0..5000_u64 {
            let wild = random.below(50) == 0;
            let content = match random.below(20) {
                0 => Content::Noise,
                1 => Content::Other,
                _ => Content::Audio {
                    units: [1, 80, 160, 240, 5760][random.below(5) as usize],
                    last: random.below(30) == 0,
                },
            };
            let base = packet((step / 2 + random.below(6)).saturating_sub(3), b"payload");
            let arrival = Arrival {
                ssrc: if wild { random.below(3) as u32 } else { 7 },
                sequence: if wild { random.next() as u16 } else { base.sequence },
                timestamp: if random.below(40) == 0 {
                    random.next() as u32
                } else {
                    base.timestamp
                },
                marker: random.below(20) == 0,
                content,
                ..base
            };
            bench.now += random.below(30) * MILLISECOND;
            put += u64::from(matches!(bench.put(&arrival), Fate::Kept | Fate::Restarted));
            for _ in 0..random.below(4) {
                match bench.jitter.next(bench.now) {
                    Next::Audio { units, .. } => {
                        given += 1;
                        assert!(units > 0);
                    }
                    Next::Noise { .. } => given += 1,
                    Next::Lost { units, .. } => assert!(units > 0 && units <= 8 * 200),
                    Next::Starved => bench.jitter.note_starved(random.below(1000) as u32),
                    Next::Pause => {}
                }
                bench.jitter.excess();
            }
        }
        assert!(given > 0 && given <= put, "round {round}: {given} of {put}");
    }
}
