//! Encryption and authentication of one packet whose index is known.
//!
//! RTP and RTCP differ only in where the index comes from and in what stands behind the packet, so one type serves both,
//! with session keys of its own. Source: RFC 3711 4.1.1, 4.2; RFC 7714 8, 9.

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ctr::{flavors::Ctr128BE, CtrCore};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::derive::{derive, Purpose};
use super::keys::{Keys, Suite};
use super::ENCRYPTED;

/// The longest tag.
pub const MAX_TAG: usize = 16;
const AUTHENTICATION_KEY: usize = 20;

/// What makes a packet unlike all others under its key.
#[derive(Debug, Clone, Copy)]
pub struct PacketIndex {
    pub ssrc: u32,
    /// 48 bits for RTP, 31 for RTCP.
    pub index: u64,
    /// Authenticated behind the packet: of RTP the roll-over counter, of RTCP the index with its flag.
    pub trailer: [u8; 4],
}

impl PacketIndex {
    pub fn of_rtp(ssrc: u32, index: u64) -> Self {
        Self {
            ssrc,
            index,
            trailer: ((index >> 16) as u32).to_be_bytes(),
        }
    }

    pub fn of_rtcp(ssrc: u32, index: u32) -> Self {
        Self {
            ssrc,
            index: u64::from(index),
            trailer: (index | ENCRYPTED).to_be_bytes(),
        }
    }
}

enum Transform {
    Counter128(Aes128, Hmac<Sha1>),
    Counter256(Aes256, Hmac<Sha1>),
    Gcm128(Aes128Gcm),
    Gcm256(Aes256Gcm),
}

/// One direction's session keys, for RTP or for RTCP.
pub struct Cipher {
    transform: Transform,
    salt: [u8; 14],
    tag_len: usize,
    rtcp: bool,
}

/// The two of a direction.
pub struct Pair {
    pub rtp: Cipher,
    pub rtcp: Cipher,
}

impl Pair {
    pub fn new(keys: &Keys) -> Self {
        Self {
            rtp: Cipher::new(keys, false),
            rtcp: Cipher::new(keys, true),
        }
    }
}

impl Cipher {
    pub fn new(keys: &Keys, rtcp: bool) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let mut authentication = Zeroizing::new([0; AUTHENTICATION_KEY]);
        let mut salt = [0; 14];
        derive(keys, Purpose::Encryption, rtcp, &mut key[..keys.suite.key_len()]);
        derive(keys, Purpose::Authentication, rtcp, &mut authentication[..]);
        derive(keys, Purpose::Salt, rtcp, &mut salt[..keys.suite.salt_len()]);
        Self::from_session(keys.suite, &key, &authentication, salt, rtcp)
    }

    /// From session keys as they are; of `key` the first half when the suite's is short.
    fn from_session(suite: Suite, key: &[u8; 32], mac: &[u8; AUTHENTICATION_KEY], salt: [u8; 14], rtcp: bool) -> Self {
        let mut short = Zeroizing::new([0; 16]);
        short.copy_from_slice(&key[..16]);
        let short = &(*short).into();
        let long = &(*key).into();
        // An HMAC key shorter than a block is padded with zeros: the same as its first octets followed by them.
        let mac = || {
            let mut block = Zeroizing::new([0; 64]);
            block[..AUTHENTICATION_KEY].copy_from_slice(mac);
            Hmac::<Sha1>::new(&(*block).into())
        };
        let transform = match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => Transform::Counter128(Aes128::new(short), mac()),
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => Transform::Counter256(Aes256::new(long), mac()),
            Suite::AeadAes128Gcm => Transform::Gcm128(Aes128Gcm::new(short)),
            Suite::AeadAes256Gcm => Transform::Gcm256(Aes256Gcm::new(long)),
        };
        Self {
            transform,
            salt,
            tag_len: if rtcp { suite.control_tag_len() } else { suite.tag_len() },
            rtcp,
        }
    }

    pub fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Whether the tag stands before the trailer of RTCP instead of behind it.
    pub fn is_aead(&self) -> bool {
        matches!(self.transform, Transform::Gcm128(_) | Transform::Gcm256(_))
    }

    /// Encrypt `body` and give the tag, of which `tag_len` octets count. None never happens: the packets that exist are
    /// far shorter than what one nonce may encrypt.
    pub fn seal(&self, header: &[u8], body: &mut [u8], place: PacketIndex) -> Option<[u8; MAX_TAG]> {
        let mut tag = [0; MAX_TAG];
        match &self.transform {
            Transform::Counter128(aes, mac) => {
                keystream(aes, self.counter(place), body);
                tag.copy_from_slice(&code(mac, header, body, place).finalize().into_bytes()[..MAX_TAG]);
            }
            Transform::Counter256(aes, mac) => {
                keystream(aes, self.counter(place), body);
                tag.copy_from_slice(&code(mac, header, body, place).finalize().into_bytes()[..MAX_TAG]);
            }
            Transform::Gcm128(gcm) => {
                let sealed = self.associated(header, place, |data| {
                    gcm.encrypt_inout_detached(&self.nonce(place).into(), data, body.into())
                });
                tag = sealed?.ok()?.into();
            }
            Transform::Gcm256(gcm) => {
                let sealed = self.associated(header, place, |data| {
                    gcm.encrypt_inout_detached(&self.nonce(place).into(), data, body.into())
                });
                tag = sealed?.ok()?.into();
            }
        }
        Some(tag)
    }

    /// Decrypt `body` when `tag` is right; else leave it as it is. Takes the same time wherever a wrong tag is wrong.
    pub fn open(&self, header: &[u8], body: &mut [u8], tag: &[u8], place: PacketIndex) -> bool {
        match &self.transform {
            Transform::Counter128(aes, mac) => {
                let right = code(mac, header, body, place).verify_truncated_left(tag).is_ok();
                if right {
                    keystream(aes, self.counter(place), body);
                }
                right
            }
            Transform::Counter256(aes, mac) => {
                let right = code(mac, header, body, place).verify_truncated_left(tag).is_ok();
                if right {
                    keystream(aes, self.counter(place), body);
                }
                right
            }
            Transform::Gcm128(gcm) => {
                let Some(tag) = tag.first_chunk::<16>() else {
                    return false;
                };
                let opened = self.associated(header, place, |data| {
                    gcm.decrypt_inout_detached(&self.nonce(place).into(), data, body.into(), tag.into())
                });
                matches!(opened, Some(Ok(())))
            }
            Transform::Gcm256(gcm) => {
                let Some(tag) = tag.first_chunk::<16>() else {
                    return false;
                };
                let opened = self.associated(header, place, |data| {
                    gcm.decrypt_inout_detached(&self.nonce(place).into(), data, body.into(), tag.into())
                });
                matches!(opened, Some(Ok(())))
            }
        }
    }

    /// What an AEAD authenticates beside the body: the header of RTP; of RTCP the first 8 octets and the trailer.
    fn associated<T>(&self, header: &[u8], place: PacketIndex, work: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if !self.rtcp {
            return Some(work(header));
        }
        let mut data = [0; 12];
        data[..8].copy_from_slice(header.first_chunk::<8>()?);
        data[8..].copy_from_slice(&place.trailer);
        Some(work(&data))
    }

    /// The first counter block: salt, SSRC and index, one over the other (RFC 3711 4.1.1).
    fn counter(&self, place: PacketIndex) -> [u8; 16] {
        let mut block = [0; 16];
        block[..14].copy_from_slice(&self.salt);
        overlay(&mut block[4..8], &place.ssrc.to_be_bytes());
        overlay(&mut block[8..14], &place.index.to_be_bytes()[2..]);
        block
    }

    /// The same for GCM, whose counter is its own affair (RFC 7714 8.1, 9.1).
    fn nonce(&self, place: PacketIndex) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.salt[..12]);
        overlay(&mut nonce[2..6], &place.ssrc.to_be_bytes());
        overlay(&mut nonce[6..12], &place.index.to_be_bytes()[2..]);
        nonce
    }
}

fn overlay(onto: &mut [u8], octets: &[u8]) {
    for (octet, other) in onto.iter_mut().zip(octets) {
        *octet ^= other;
    }
}

fn keystream<'a, C>(aes: &'a C, counter: [u8; 16], body: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
    &'a C: BlockCipherEncrypt + BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let core = CtrCore::<&C, Ctr128BE>::inner_iv_init(aes, &counter.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
}

fn code(mac: &Hmac<Sha1>, header: &[u8], body: &[u8], place: PacketIndex) -> Hmac<Sha1> {
    let mut code = mac.clone();
    code.update(header);
    code.update(body);
    code.update(&place.trailer);
    code
}

#[cfg(test)]
mod tests {
    use super::super::test_support::hex;
    use super::*;

    fn session(suite: Suite, key: &str, salt: &str, rtcp: bool) -> Cipher {
        let mut long = [0; 32];
        let key = hex(key);
        long[..key.len()].copy_from_slice(&key);
        let mut wide = [0; 14];
        let salt = hex(salt);
        wide[..salt.len()].copy_from_slice(&salt);
        Cipher::from_session(suite, &long, &[0; AUTHENTICATION_KEY], wide, rtcp)
    }

    /// SSRC and index 0: the counter block is the salt.
    const ORIGIN: PacketIndex = PacketIndex {
        ssrc: 0,
        index: 0,
        trailer: [0; 4],
    };

    fn stream(suite: Suite, key: &str, blocks: usize) -> Vec<u8> {
        let mut octets = vec![0; 16 * blocks];
        session(suite, key, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD", false)
            .seal(&[], &mut octets, ORIGIN)
            .expect("sealed");
        octets
    }

    #[test]
    fn aes_128_in_counter_mode__rfc3711_b_2() {
        let octets = stream(Suite::AesCm128HmacSha1_80, "2B7E151628AED2A6ABF7158809CF4F3C", 0xFF02);
        let first =
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
        let last = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
        assert_eq!(octets[..48], hex(first));
        assert_eq!(octets[0xFEFF * 16..], hex(last));
    }

    #[test]
    fn aes_256_in_counter_mode__rfc6188_7_1() {
        let key = "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98";
        let octets = stream(Suite::AesCm256HmacSha1_80, key, 0xFF02);
        let first =
            "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31";
        let last = "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f";
        assert_eq!(octets[..48], hex(first));
        assert_eq!(octets[0xFEFF * 16..], hex(last));
    }

    const GCM_128: &str = "000102030405060708090a0b0c0d0e0f";
    const GCM_256: &str = "000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f";
    const GCM_SALT: &str = "51756964 2070726f 2071756f";

    fn seal_and_open(cipher: &Cipher, header: &str, plain: &str, place: PacketIndex, expected: &str) {
        let (header, plain) = (hex(header), hex(plain));
        let mut body = plain.clone();
        let tag = cipher.seal(&header, &mut body, place).expect("sealed");
        assert_eq!([&body[..], &tag].concat(), hex(expected));
        assert!(cipher.open(&header, &mut body, &tag, place));
        assert_eq!(body, plain);
        let wrong = PacketIndex {
            index: place.index + 1,
            ..place
        };
        assert!(!cipher.open(&header, &mut body, &tag, wrong));
        assert_eq!(body, plain, "a refused body is left alone");
    }

    #[test]
    fn gcm_of_rtp__rfc7714_16() {
        let header = "8040f17b 8041f8d3 5501a0b2";
        let plain = "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";
        let place = PacketIndex {
            ssrc: 0x5501_a0b2,
            index: 0xf17b,
            trailer: [0; 4],
        };
        let expected = "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833
                        899d7f27 beb16a91 52cf765e e4390cce";
        let cipher = session(Suite::AeadAes128Gcm, GCM_128, GCM_SALT, false);
        assert_eq!(cipher.nonce(place).to_vec(), hex("51753c65 80c2726f 20718414"));
        seal_and_open(&cipher, header, plain, place, expected);
        let expected = "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b
                        7aa3db36 dfffd6b0 f9bb7878 d7a76c13";
        seal_and_open(
            &session(Suite::AeadAes256Gcm, GCM_256, GCM_SALT, false),
            header,
            plain,
            place,
            expected,
        );
    }

    #[test]
    fn gcm_of_rtcp__rfc7714_17() {
        let header = "81c8000d 4d617273";
        let plain =
            "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";
        let place = PacketIndex {
            ssrc: 0x4d61_7273,
            index: 0x5d4,
            trailer: [0x80, 0, 0x05, 0xd4],
        };
        let expected =
            "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b
                        c84aa458 96cf4d2f c5abf872 45d9eade";
        let cipher = session(Suite::AeadAes128Gcm, GCM_128, GCM_SALT, true);
        assert_eq!(cipher.nonce(place).to_vec(), hex("51752405 5203726f 207170bb"));
        seal_and_open(&cipher, header, plain, place, expected);
        let expected =
            "d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad
                        1d1eb30c 4446839f 57ff6f6c b26ac3be";
        seal_and_open(
            &session(Suite::AeadAes256Gcm, GCM_256, GCM_SALT, true),
            header,
            plain,
            place,
            expected,
        );
    }

    #[test]
    fn salt_ssrc_and_index_lie_over_each_other__rfc3711_4_1_1() {
        let cipher = session(
            Suite::AesCm128HmacSha1_80,
            GCM_128,
            "00000000 00000000 00000000 0000",
            false,
        );
        let place = PacketIndex {
            ssrc: 0x0102_0304,
            index: 0x0506_0708_090A,
            trailer: [0; 4],
        };
        assert_eq!(
            cipher.counter(place).to_vec(),
            hex("00000000 01020304 05060708 090A0000")
        );
    }
}
