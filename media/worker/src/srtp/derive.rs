//! Session keys from a master key: AES in counter mode as the pseudo-random function, key derivation rate 0.
//! Source: RFC 3711 4.3, RFC 6188 3, RFC 7714 11.

use aes::cipher::{KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use ctr::Ctr128BE;
use zeroize::Zeroizing;

use super::keys::Keys;

/// What a derived key is for; the numbers are the labels of RFC 3711 4.3.2 for RTP. Those for RTCP are three higher.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// Fill `into` with the session key for a purpose.
pub fn derive(keys: &Keys, purpose: Purpose, rtcp: bool, into: &mut [u8]) {
    let label = purpose as u8 + if rtcp { 3 } else { 0 };
    let mut iv = Zeroizing::new([0; 16]);
    // A salt of 96 bits is followed by 16 zero bits (RFC 7714 11), and every salt by the 16 bits of the block counter.
    iv[..keys.salt().len()].copy_from_slice(keys.salt());
    iv[7] ^= label;
    into.fill(0);
    // Two lengths of keys exist; `Keys` made sure of it.
    if let Some(key) = keys.key().first_chunk::<32>() {
        Ctr128BE::<Aes256>::new(key.into(), (&*iv).into()).apply_keystream(into);
    } else if let Some(key) = keys.key().first_chunk::<16>() {
        Ctr128BE::<Aes128>::new(key.into(), (&*iv).into()).apply_keystream(into);
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Suite;
    use super::super::test_support::hex;
    use super::*;

    fn derived(suite: Suite, master: &str, purpose: Purpose, rtcp: bool, length: usize) -> Vec<u8> {
        let keys = Keys::new(suite, &hex(master)).expect("keys");
        let mut octets = vec![0; length];
        derive(&keys, purpose, rtcp, &mut octets);
        octets
    }

    #[test]
    fn session_keys__rfc3711_b_3() {
        let master = "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6";
        let get = |purpose, length| derived(Suite::AesCm128HmacSha1_80, master, purpose, false, length);
        assert_eq!(get(Purpose::Encryption, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(get(Purpose::Salt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let long = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
                    6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2DC68";
        assert_eq!(get(Purpose::Authentication, 94), hex(long)[..94]);
    }

    #[test]
    fn session_keys__rfc6188_7_3() {
        let master = "F0F04914B513F2763A1B1FA130F10E29 98F6F6E43E4309D1E622A0E332B9F1B6 3B04803DE51EE7C96423AB5B78D2";
        let get = |purpose, length| derived(Suite::AesCm256HmacSha1_80, master, purpose, false, length);
        assert_eq!(
            get(Purpose::Encryption, 32),
            hex("5BA1064E30EC51613CAD926C5A28EF73 1EC7FB397F70A96 0653CAF06554CD8C4"
                .replace(' ', "")
                .as_str())
        );
        assert_eq!(get(Purpose::Salt, 14), hex("FA31791685CA444A9E07C6C64E93"));
        assert_eq!(
            get(Purpose::Authentication, 20),
            hex("FD9C32D39ED5FBB5A9DC96B30818454D 1313DC05")
        );
    }
}
