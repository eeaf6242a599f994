//! Crypto suites and master keys, as signalling names them.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// The longest master key with its salt, in octets.
const MAX_MASTER: usize = 32 + 14;
/// The longest master key identifier (RFC 4568 9.2).
const MAX_IDENTIFIER: usize = 128;

/// How packets are encrypted and authenticated (RFC 4568 6.2, RFC 6188 4, RFC 7714 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    AesCm128HmacSha1_80,
    AesCm128HmacSha1_32,
    AesCm256HmacSha1_80,
    AesCm256HmacSha1_32,
    AeadAes128Gcm,
    AeadAes256Gcm,
}

impl Suite {
    pub const ALL: [Self; 6] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// The name in an `a=crypto` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Octets of the master key, which are also those of the session keys.
    pub fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of the master salt, which are also those of the session salts.
    pub fn salt_len(self) -> usize {
        if self.is_aead() {
            12
        } else {
            14
        }
    }

    pub(super) fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// Octets of the tag behind an RTP packet.
    pub fn tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Octets of the tag in an RTCP packet: the short tag is for RTP only (RFC 4568 6.2.2, RFC 6188 4.2).
    pub fn control_tag_len(self) -> usize {
        if self.is_aead() {
            16
        } else {
            10
        }
    }
}

/// Why octets are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    UnknownSuite,
    NotBase64,
    WrongLength,
    Identifier,
}

/// The master key and salt of one direction, and the identifier (MKI) that its packets carry, mostly none.
///
/// Wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Keys {
    pub(super) suite: Suite,
    master: Zeroizing<[u8; MAX_MASTER]>,
    identifier: [u8; MAX_IDENTIFIER],
    identifier_len: usize,
}

impl Keys {
    /// `master`: key and salt, one behind the other, as in an `a=crypto` line.
    pub fn new(suite: Suite, master: &[u8]) -> Result<Self, KeyError> {
        if master.len() != suite.key_len() + suite.salt_len() {
            return Err(KeyError::WrongLength);
        }
        let mut octets = Zeroizing::new([0; MAX_MASTER]);
        octets[..master.len()].copy_from_slice(master);
        Ok(Self {
            suite,
            master: octets,
            identifier: [0; MAX_IDENTIFIER],
            identifier_len: 0,
        })
    }

    /// As the controller hands them over: a suite's name and base64.
    pub fn from_text(suite: &str, master: &str) -> Result<Self, KeyError> {
        let suite = Suite::from_name(suite).ok_or(KeyError::UnknownSuite)?;
        let mut room = Zeroizing::new([0; MAX_MASTER + 2]);
        match Base64::decode(master, &mut room[..]) {
            Ok(octets) => Self::new(suite, octets),
            Err(base64ct::Error::InvalidLength) => Err(KeyError::WrongLength),
            Err(base64ct::Error::InvalidEncoding) => Err(KeyError::NotBase64),
        }
    }

    /// The same keys, whose packets carry this identifier between ciphertext and tag (RFC 3711 3.1).
    pub fn with_identifier(mut self, identifier: &[u8]) -> Result<Self, KeyError> {
        let room = self
            .identifier
            .get_mut(..identifier.len())
            .ok_or(KeyError::Identifier)?;
        room.copy_from_slice(identifier);
        self.identifier_len = identifier.len();
        Ok(self)
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether both are the same octets, whatever they are for.
    pub fn same_master(&self, other: &Self) -> bool {
        *self.master == *other.master
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.master[..self.suite.key_len()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.master[self.suite.key_len()..self.suite.key_len() + self.suite.salt_len()]
    }

    pub(super) fn identifier(&self) -> &[u8] {
        &self.identifier[..self.identifier_len]
    }
}

/// Both are ours to compare: what the controller said before, and what it says now.
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && *self.master == *other.master && self.identifier() == other.identifier()
    }
}

impl Eq for Keys {}

impl std::fmt::Debug for Keys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Keys({})", self.suite.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
        }
        assert_eq!(Suite::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn keys_come_as_base64__rfc4568_6_1() {
        // The 30 octets of the RFC's examples.
        let text = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let keys = Keys::from_text("AES_CM_128_HMAC_SHA1_80", text).expect("keys");
        assert_eq!(keys.key(), b"YS___semctl () {");
        assert_eq!(keys.salt(), b"\t220;}\n}\nunles");
        let refused = |suite: &str, text: &str| Keys::from_text(suite, text).expect_err("no keys");
        assert_eq!(refused("AES_192_CM_HMAC_SHA1_80", text), KeyError::UnknownSuite);
        assert_eq!(refused("AES_256_CM_HMAC_SHA1_80", text), KeyError::WrongLength);
        assert_eq!(refused("AEAD_AES_128_GCM", text), KeyError::WrongLength);
        assert_eq!(refused("AES_CM_128_HMAC_SHA1_80", ""), KeyError::WrongLength);
        assert_eq!(
            refused("AES_CM_128_HMAC_SHA1_80", &"A".repeat(400)),
            KeyError::WrongLength
        );
        assert_eq!(
            refused("AES_CM_128_HMAC_SHA1_80", &text.replace('W', "*")),
            KeyError::NotBase64
        );
        assert_eq!(
            refused("AES_CM_128_HMAC_SHA1_80", &text.replace("nVubGVz", "nVubGV\u{e9}")),
            KeyError::NotBase64
        );
    }

    #[test]
    fn keys_are_never_printed() {
        let keys = Keys::new(Suite::AeadAes128Gcm, &[0xAB; 28]).expect("keys");
        assert_eq!(format!("{keys:?}"), "Keys(AEAD_AES_128_GCM)");
    }

    #[test]
    fn an_identifier_has_its_limit() {
        let keys = || Keys::new(Suite::AeadAes128Gcm, &[0xAB; 28]).expect("keys");
        assert_eq!(keys().with_identifier(&[7; 16]).expect("fits").identifier(), [7; 16]);
        assert_eq!(keys().with_identifier(&[7; 129]), Err(KeyError::Identifier));
    }
}
