use super::*;

/// A packet every 20 ms.
const STEP: Nanos = 20 * MILLISECOND;

/// One that sends, from an address, packets in sequence.
#[derive(Debug, Clone)]
struct Sender {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    authentic: bool,
}

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

fn sender(host: u8, port: u16) -> Sender {
    Sender {
        address: at(host, port),
        ssrc: u32::from(port) << 8 | u32::from(host),
        sequence: u16::MAX - 1,
        authentic: false,
    }
}

impl Sender {
    fn authentic(self) -> Self {
        Self {
            authentic: true,
            ..self
        }
    }

    fn say(&mut self, latch: &mut Latch, now: Nanos) -> Verdict {
        self.sequence = self.sequence.wrapping_add(1);
        let sign = Sign {
            ssrc: self.ssrc,
            sequence: self.sequence,
            authentic: self.authentic,
        };
        latch.judge(self.address, Some(sign), now)
    }
}

/// All speak in turn, a packet each 20 ms, from `from` to `until`. Gives how many packets of each were heard.
fn talk<const N: usize>(latch: &mut Latch, from: Nanos, until: Nanos, mut senders: [&mut Sender; N]) -> [usize; N] {
    let mut heard = [0; N];
    let mut now = from;
    while now < until {
        for (sender, heard) in senders.iter_mut().zip(&mut heard) {
            *heard += usize::from(sender.say(latch, now) != Verdict::Stranger);
        }
        now += STEP;
    }
    heard
}

fn terms(host: u8) -> Terms {
    Terms {
        signalled: at(host, 1),
        allowed: true,
        signalling: None,
    }
}

/// Of a peer whose SDP says 127.0.0.1.
fn opened() -> Latch {
    Latch::new(terms(1), 0)
}

/// A peer that was found behind its NAT, and settled.
fn settled() -> (Latch, Sender) {
    let (mut latch, mut caller) = (opened(), sender(2, 2));
    talk(&mut latch, 0, 4 * SECOND, [&mut caller]);
    assert!(latch.is_settled(4 * SECOND) && latch.peer() == caller.address);
    (latch, caller)
}

// --- at the beginning of a call ---------------------------------------------------------------------------------------

#[test]
fn the_first_plausible_source_is_the_peer_and_the_next_a_stranger() {
    let (mut latch, mut caller, mut next) = (opened(), sender(2, 2), sender(2, 3));
    assert_eq!(latch.judge(at(2, 2), None, 0), Verdict::Stranger);
    assert_eq!(caller.say(&mut latch, 0), Verdict::Moved);
    assert_eq!(caller.say(&mut latch, 0), Verdict::Peer);
    assert_eq!(next.say(&mut latch, 0), Verdict::Stranger);
    assert_eq!(latch.peer(), at(2, 2));
}

#[test]
fn the_signalled_address_locks_at_once() {
    let mut latch = opened();
    assert_eq!(sender(1, 1).say(&mut latch, 0), Verdict::Peer);
    assert_eq!(
        talk(&mut latch, 0, SECOND, [&mut sender(1, 2), &mut sender(2, 2)]),
        [0, 0]
    );
    assert!(latch.is_settled(0));
}

#[test]
fn without_leave_to_latch_only_the_signalled_address_is_heard() {
    let closed = Terms {
        allowed: false,
        ..terms(1)
    };
    let mut latch = Latch::new(closed, 0);
    assert_eq!(talk(&mut latch, 0, SECOND, [&mut sender(1, 2)]), [0]);
    assert_eq!(sender(1, 1).say(&mut latch, SECOND), Verdict::Peer);
}

#[test]
fn the_signalled_address_takes_a_stolen_latch_back_while_learning() {
    let (mut latch, mut thief) = (opened(), sender(2, 2));
    talk(&mut latch, 0, SECOND, [&mut thief]);
    let proven_at = 2 * STEP;
    let mut late = latch.clone();
    assert_eq!(sender(1, 1).say(&mut latch, proven_at + LEARNING - 1), Verdict::Moved);
    assert_eq!(thief.say(&mut latch, proven_at + LEARNING - 1), Verdict::Stranger);
    assert_eq!(sender(1, 1).say(&mut late, proven_at + LEARNING), Verdict::Stranger);
}

#[test]
fn a_look_at_the_address_changes_nothing() {
    let mut latch = opened();
    assert_eq!(latch.look(at(2, 2), 0), Look::Candidate);
    assert_eq!(latch.look(at(1, 1), 0), Look::Peer);
    assert_eq!(latch, opened());
    talk(&mut latch, 0, SECOND, [&mut sender(2, 2)]);
    let proven_at = 2 * STEP;
    for other in [at(2, 3), at(1, 1)] {
        assert_eq!(latch.look(other, proven_at + LEARNING - 1), Look::Candidate);
        assert_eq!(latch.look(other, proven_at + LEARNING), Look::Stranger);
    }
}

#[test]
fn a_peer_is_settled_once_nobody_can_take_its_place() {
    let mut latch = opened();
    assert!(!latch.is_settled(LEARNING));
    let mut signalled = latch.clone();
    talk(&mut latch, 0, SECOND, [&mut sender(2, 2)]);
    let closes_at = 2 * STEP + LEARNING;
    assert!(!latch.is_settled(closes_at - 1) && latch.is_settled(closes_at));
    sender(1, 1).say(&mut signalled, 0);
    assert!(signalled.is_settled(0));
}

#[test]
fn an_implausible_packet_from_the_signalled_address_locks_nothing() {
    let mut latch = opened();
    assert_eq!(latch.judge(at(1, 1), None, 0), Verdict::Peer);
    assert_eq!(sender(2, 2).say(&mut latch, 0), Verdict::Moved);
}

// --- evidence ---------------------------------------------------------------------------------------------------------

#[test]
fn a_stray_packet_before_the_caller_s_first_costs_a_moment_of_its_audio() {
    for gap in [0, 1, 20, 500, 10_000] {
        let (mut latch, mut stray, mut caller) = (opened(), sender(9, 9), sender(2, 2));
        assert_eq!(stray.say(&mut latch, 0), Verdict::Moved);
        let from = gap * MILLISECOND;
        let [heard] = talk(&mut latch, from, from + 6 * SECOND, [&mut caller]);
        assert!(heard >= 300 - 8, "{gap} ms later: {heard} of 300");
        assert_eq!(latch.peer(), caller.address);
    }
}

#[test]
fn stray_packets_after_the_caller_s_first_cost_nothing() {
    for gap in 0..20 {
        let (mut latch, mut stray, mut caller) = (opened(), sender(9, 9), sender(2, 2));
        let from = gap * STEP;
        let mut heard = talk(&mut latch, 0, from + 1, [&mut caller])[0];
        for _ in 0..50 {
            assert_eq!(stray.say(&mut latch, from + 1), Verdict::Stranger);
        }
        heard += talk(&mut latch, from + STEP, 2 * SECOND, [&mut caller])[0];
        assert_eq!(heard, 100, "{gap}");
    }
}

#[test]
fn the_rest_of_an_older_call_that_ends_costs_a_moment() {
    let (mut latch, mut older, mut caller) = (opened(), sender(9, 9), sender(2, 2));
    talk(&mut latch, 0, 100 * MILLISECOND, [&mut older]);
    let [heard] = talk(&mut latch, 100 * MILLISECOND, 3 * SECOND, [&mut caller]);
    assert!(heard >= 145 - 15, "{heard} of 145");
}

#[test]
fn packets_out_of_sequence_or_of_many_sources_prove_nothing() {
    let (mut latch, mut junk, mut caller) = (opened(), sender(9, 9), sender(2, 2));
    let mut heard = 0;
    for number in 0..150_u16 {
        let now = u64::from(number) * STEP;
        junk.sequence = number.wrapping_mul(7919);
        junk.ssrc = u32::from(number % 3 == 0);
        junk.say(&mut latch, now);
        if number >= 100 {
            heard += usize::from(caller.say(&mut latch, now) != Verdict::Stranger);
        } else {
            assert!(!latch.is_settled(now));
        }
    }
    assert!(heard >= 48, "{heard} of 50");
}

#[test]
fn the_same_packet_over_and_over_proves_nothing() {
    let mut latch = opened();
    let (mut junk, mut caller) = (sender(9, 9), sender(2, 2));
    for step in 0..20 {
        junk.sequence = 7;
        junk.say(&mut latch, step * STEP);
    }
    let from = 20 * STEP;
    assert!(talk(&mut latch, from, from + SECOND, [&mut caller])[0] >= 47);
}

#[test]
fn of_two_that_are_as_likely_the_first_keeps_it_as_long_as_it_speaks() {
    let (mut latch, mut first, mut second) = (opened(), sender(2, 2), sender(3, 3));
    assert_eq!(talk(&mut latch, 0, 2 * SECOND, [&mut first, &mut second]), [100, 0]);
    let [heard] = talk(&mut latch, 2 * SECOND, 3 * SECOND, [&mut second]);
    assert!((30..40).contains(&heard), "{heard} of 50 after the first fell silent");
}

#[test]
fn the_caller_from_its_sdp_s_address_wins_at_once_over_who_came_first() {
    let (mut latch, mut stray, mut caller) = (opened(), sender(9, 9), sender(1, 1));
    talk(&mut latch, 0, SECOND, [&mut stray]);
    assert_eq!(talk(&mut latch, SECOND, 2 * SECOND, [&mut caller, &mut stray]), [50, 0]);
}

#[test]
fn who_comes_from_the_host_of_the_sdp_or_of_the_signalling_wins_over_a_flood() {
    let of_signalling = Terms {
        signalling: Some([127, 0, 0, 2].into()),
        ..terms(1)
    };
    for (terms, mut caller) in [(terms(1), sender(1, 7)), (of_signalling, sender(2, 7))] {
        let (mut latch, mut flood) = (Latch::new(terms, 0), sender(9, 9));
        let mut heard = 0;
        for step in 0..100 {
            for _ in 0..50 {
                flood.say(&mut latch, step * STEP);
            }
            if step >= 50 {
                heard += usize::from(caller.say(&mut latch, step * STEP) != Verdict::Stranger);
            }
        }
        assert_eq!(heard, 50 + 1 - usize::from(PROOF), "{terms:?}");
    }
}

#[test]
fn a_flood_of_addresses_does_not_keep_the_caller_from_being_known() {
    let (mut latch, mut caller) = (opened(), sender(1, 7));
    let mut heard = 0;
    for step in 0..100_u16 {
        let now = u64::from(step) * STEP;
        for number in 0..60 {
            sender(9, 100 + step * 60 + number).say(&mut latch, now);
        }
        heard += usize::from(caller.say(&mut latch, now) != Verdict::Stranger);
    }
    assert!(heard >= 95, "{heard} of 100");
}

#[test]
fn a_flood_from_the_signalled_host_does_not_keep_the_signalled_address_from_being_known() {
    let mut latch = opened();
    for port in 2..=7 {
        sender(1, port).say(&mut latch, 0);
    }
    assert_eq!(latch.peer(), at(1, 2));
    assert_eq!(sender(1, 1).say(&mut latch, 0), Verdict::Moved);
}

#[test]
fn who_lost_the_latch_may_win_it_back_while_learning_and_never_after() {
    let (mut latch, mut caller, mut other) = (opened(), sender(1, 7), sender(3, 3));
    talk(&mut latch, 0, 200 * MILLISECOND, [&mut caller]);
    // The caller pauses, and another speaks meanwhile.
    talk(&mut latch, 200 * MILLISECOND, 1600 * MILLISECOND, [&mut other]);
    assert_eq!(latch.peer(), other.address);
    let mut late = latch.clone();
    let [heard, _] = talk(&mut latch, 1600 * MILLISECOND, 2 * SECOND, [&mut caller, &mut other]);
    assert_eq!((latch.peer(), heard), (caller.address, 20));
    assert_eq!(talk(&mut late, 4 * SECOND, 9 * SECOND, [&mut caller]), [0]);
}

#[test]
fn an_authentic_packet_is_proof_by_itself() {
    let (mut latch, mut first, mut second) = (opened(), sender(2, 2).authentic(), sender(3, 3).authentic());
    assert_eq!(first.say(&mut latch, 0), Verdict::Moved);
    assert_eq!(second.say(&mut latch, GONE - 1), Verdict::Stranger);
    assert_eq!(second.say(&mut latch, GONE), Verdict::Moved);
    assert!(!latch.is_settled(LEARNING - 1) && latch.is_settled(LEARNING));
}

#[test]
fn packets_that_are_no_rtp_of_the_session_move_nothing() {
    let mut latch = opened(); // such as RTCP on the port, by RFC 5761
    for step in 0..100 {
        assert_eq!(latch.judge(at(9, 9), None, step * STEP), Verdict::Stranger);
    }
    assert_eq!((latch.peer(), latch.is_settled(100 * STEP)), (at(1, 1), false));
}

// --- the session is agreed anew ---------------------------------------------------------------------------------------

#[test]
fn without_a_new_exchange_a_packet_moves_nothing__rfc3264_8() {
    let (mut latch, _) = settled();
    assert_eq!(talk(&mut latch, 60 * SECOND, 90 * SECOND, [&mut sender(2, 3)]), [0]);
}

#[test]
fn after_a_new_exchange_the_same_peer_is_found_at_another_port__rfc3264_8() {
    for silent in [0, SECOND, 60 * SECOND] {
        let (latch, _) = settled();
        let now = 4 * SECOND + silent;
        let mut latch = latch.renew(terms(1), 4 * SECOND - STEP, now);
        assert_eq!(latch.peer(), at(2, 2), "what we send goes where it went");
        let [heard] = talk(&mut latch, now, now + SECOND, [&mut sender(2, 3)]);
        let most = if silent == 0 {
            GONE / STEP
        } else {
            Nanos::from(PROOF - 1)
        };
        assert_eq!(heard as u64, 50 - most + u64::from(silent == 0), "{silent}");
        assert_eq!(latch.peer(), at(2, 3));
    }
}

#[test]
fn a_new_exchange_disturbs_no_audio_that_flows_and_admits_nobody_beside_it() {
    let (mut latch, mut caller) = settled();
    let mut stranger = sender(2, 3);
    for round in 0..20 {
        let now = (4 + round) * SECOND;
        latch = latch.renew(terms(1), now - STEP, now);
        let heard = talk(&mut latch, now, now + SECOND, [&mut stranger, &mut caller]);
        assert_eq!(heard, [0, 50]);
    }
    assert!(!latch.is_settled(24 * SECOND));
    talk(&mut latch, 24 * SECOND, 27 * SECOND, [&mut caller]);
    assert!(latch.is_settled(27 * SECOND));
}

#[test]
fn after_a_new_exchange_who_speaks_from_the_signalled_address_is_no_easier_to_replace_than_others_that_were_proven() {
    for said in [SECOND, STEP] {
        let (mut latch, mut caller, mut other) = (opened(), sender(1, 1), sender(9, 9));
        talk(&mut latch, 0, said, [&mut caller]);
        let mut latch = latch.renew(terms(1), said - STEP, said);
        assert_eq!(
            talk(&mut latch, said, said - STEP + LONG_GONE, [&mut other]),
            [0],
            "{said}"
        );
        assert_eq!(other.say(&mut latch, said - STEP + LONG_GONE), Verdict::Moved, "{said}");
    }
}

#[test]
fn a_stray_packet_after_a_hold_does_not_take_the_latch() {
    let (latch, mut caller) = settled();
    let mut latch = latch.renew(terms(1), 4 * SECOND, 30 * SECOND);
    assert_eq!(sender(9, 9).say(&mut latch, 31 * SECOND), Verdict::Stranger);
    assert_eq!(talk(&mut latch, 35 * SECOND, 36 * SECOND, [&mut caller]), [50]);
    let mut signalled = latch.renew(terms(1), 36 * SECOND, 37 * SECOND);
    assert_eq!(sender(1, 1).say(&mut signalled, 37 * SECOND), Verdict::Moved);
}

#[test]
fn after_a_hold_the_peer_s_host_wins_over_a_flood() {
    let (latch, _) = settled();
    let mut latch = latch.renew(terms(1), 4 * SECOND, 30 * SECOND);
    let (mut flood, mut caller) = (sender(9, 9), sender(2, 3));
    talk(&mut latch, 30 * SECOND, 31 * SECOND, [&mut flood]);
    assert_eq!(latch.peer(), flood.address);
    let [_, heard] = talk(&mut latch, 31 * SECOND, 32 * SECOND, [&mut flood, &mut caller]);
    assert_eq!(heard, 50 + 1 - usize::from(PROOF));
}

#[test]
fn another_address_in_the_session_begins_from_nothing() {
    let (latch, mut caller) = settled();
    let mut latch = latch.renew(terms(5), 4 * SECOND, 4 * SECOND);
    assert_eq!((latch.peer(), latch.is_likely(caller.address)), (at(5, 1), false));
    assert_eq!(caller.say(&mut latch, 4 * SECOND), Verdict::Moved);
    assert_eq!(sender(5, 1).say(&mut latch, 4 * SECOND), Verdict::Moved);
}
