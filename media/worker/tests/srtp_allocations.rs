//! Encryption in the packet path takes no memory: not for a packet that is good, nor for one that is refused.

use allocation_counter::measure;
use dialplane_media::srtp::{Inbound, Keys, Outbound, Suite, MAX_TRAILER};

#[test]
fn packets_are_protected_and_unprotected_without_an_allocation() {
    for suite in Suite::ALL {
        let keys = Keys::new(suite, &vec![7; suite.key_len() + suite.salt_len()]).expect("keys");
        let (mut outbound, mut inbound) = (Outbound::new(&keys), Inbound::new(&keys));
        let mut buffer = [0x55; 172 + MAX_TRAILER];
        let mut pass = |sequence: u16| {
            buffer[..2].copy_from_slice(&[0x80, 0]);
            buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
            let length = outbound.protect(&mut buffer, 172).expect("protected");
            assert_eq!(inbound.unprotect(&mut buffer[..length], 0), Ok(172));
            buffer[1] = 201;
            let length = outbound.protect_rtcp(&mut buffer, 28).expect("protected");
            assert_eq!(inbound.unprotect_rtcp(&mut buffer[..length], 0), Ok(28));
            assert!(inbound.unprotect_rtcp(&mut buffer[..40], 0).is_err());
        };
        pass(0); // the source finds its place
        let taken = measure(|| (1..200).for_each(&mut pass));
        assert_eq!(taken.count_total, 0, "{suite:?}");
    }
}
