//! New keys in the middle of a call: what goes on, what begins anew, and what the old ones are still good for.

use super::*;

/// A sender that has rolled over, and a receiver that followed it.
fn under_way(suite: Suite) -> (Outbound, Inbound, Vec<u8>) {
    let (mut outbound, mut inbound) = both(suite);
    let first = protect(&mut outbound, &rtp(SSRC, 30_000, &[1; 20])).expect("protected");
    assert!(unprotect(&mut inbound, &first).is_ok());
    for sequence in [60_000, 20_000, 31_000] {
        let protected = protect(&mut outbound, &rtp(SSRC, sequence, &[1; 20])).expect("protected");
        assert!(unprotect(&mut inbound, &protected).is_ok());
    }
    (outbound, inbound, first)
}

#[test]
fn a_counter_goes_on_under_new_keys__rfc3711_3_3_1() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound, _) = under_way(suite);
        assert!(!outbound.rekey(&keys(suite, 1)), "the same keys");
        inbound.rekey(&keys(suite, 1), 0);
        assert!(outbound.rekey(&keys(suite, 2)));
        inbound.rekey(&keys(suite, 2), 0);
        for sequence in [31_001, 60_000, 10_000] {
            let packet = rtp(SSRC, sequence, &[1; 20]);
            let protected = protect(&mut outbound, &packet).expect("protected");
            assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        }
    }
}

#[test]
fn or_begins_at_zero_as_a_new_context_does__rfc4568_7_1_4() {
    for suite in Suite::ALL {
        let (mut old, mut inbound, first) = under_way(suite);
        let straggler = protect(&mut old, &rtp(SSRC, 31_001, &[1; 20])).expect("protected");
        let report = protect_rtcp(&mut old, &rtcp(SSRC, 1)).expect("protected");
        assert!(unprotect_rtcp(&mut inbound, &report).is_ok());
        inbound.rekey(&keys(suite, 2), 0);
        let mut fresh = Outbound::new(&keys(suite, 2));
        let packet = rtp(SSRC, 31_002, &[1; 20]);
        let protected = protect(&mut fresh, &packet).expect("protected");
        assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
        assert_eq!(unprotect(&mut inbound, &protected), Err(Refused::Replayed));
        let report = rtcp(SSRC, 1);
        let protected = protect_rtcp(&mut fresh, &report).expect("protected");
        assert_eq!(unprotect_rtcp(&mut inbound, &protected), Ok(report));
        assert_eq!(unprotect_rtcp(&mut inbound, &protected), Err(Refused::Replayed));
        // What the old key protected could now be played again: it is good no more.
        assert!(unprotect(&mut inbound, &first).is_err());
        assert!(unprotect(&mut inbound, &straggler).is_err());
    }
}

#[test]
fn packets_under_the_old_key_are_taken_for_a_while() {
    let suite = Suite::AesCm128HmacSha1_80;
    let (mut outbound, mut inbound, first) = under_way(suite);
    let mut next = Outbound::new(&keys(suite, 1));
    next.rekey(&keys(suite, 3));
    inbound.rekey(&keys(suite, 2), 1_000);
    let packet = rtp(SSRC, 31_001, &[1; 20]);
    let protected = protect(&mut outbound, &packet).expect("protected");
    assert_eq!(
        unprotect_at(&mut inbound, &first, 1_000),
        Err(Refused::Unauthentic),
        "a replay"
    );
    assert_eq!(
        unprotect_at(&mut inbound, &protected, 1_000 + OLD_KEY),
        Err(Refused::Unauthentic)
    );
    assert_eq!(unprotect_at(&mut inbound, &protected, 999 + OLD_KEY), Ok(packet));
    assert!(unprotect_at(&mut inbound, &protected, 999 + OLD_KEY).is_err());
    let report = rtcp(SSRC, 2);
    let protected = protect_rtcp(&mut outbound, &report).expect("protected");
    assert_eq!(unprotect_rtcp(&mut inbound, &protected), Ok(report));
}

#[test]
fn going_back_to_the_keys_before_opens_no_door_for_replay() {
    let suite = Suite::AeadAes128Gcm;
    let (mut outbound, mut inbound, first) = under_way(suite);
    let report = protect_rtcp(&mut outbound, &rtcp(SSRC, 1)).expect("protected");
    assert!(unprotect_rtcp(&mut inbound, &report).is_ok());
    inbound.rekey(&keys(suite, 2), 0);
    inbound.rekey(&keys(suite, 1), 10 * OLD_KEY);
    assert!(unprotect(&mut inbound, &first).is_err());
    assert_eq!(unprotect_rtcp(&mut inbound, &report), Err(Refused::Replayed));
    let packet = rtp(SSRC, 31_001, &[1; 20]);
    let protected = protect(&mut outbound, &packet).expect("protected");
    assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
}

#[test]
fn keys_of_another_suite_may_follow() {
    let (mut outbound, mut inbound, _) = under_way(Suite::AesCm128HmacSha1_80);
    outbound.rekey(&keys(Suite::AeadAes256Gcm, 4));
    inbound.rekey(&keys(Suite::AeadAes256Gcm, 4), 0);
    let packet = rtp(SSRC, 31_001, &[1; 20]);
    let protected = protect(&mut outbound, &packet).expect("protected");
    assert_eq!(protected.len(), packet.len() + 16);
    assert_eq!(unprotect(&mut inbound, &protected), Ok(packet));
}
