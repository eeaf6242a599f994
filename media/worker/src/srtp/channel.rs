//! Both directions of one stream, from what the controller says.

use super::inbound::Inbound;
use super::keys::Keys;
use super::outbound::Outbound;
use crate::clock::Nanos;
use crate::protocol::SrtpKeys;

/// What signalling agreed on, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    pub local: Keys,
    pub remote: Keys,
}

impl Agreed {
    /// The error says what is wrong, and nothing of the keys.
    pub fn new(said: &SrtpKeys) -> Result<Self, String> {
        let wrong = |whose: &str, what: String| format!("{whose} of {}: {what}", said.suite);
        let local =
            Keys::from_text(&said.suite, &said.local_key).map_err(|error| wrong("local_key", format!("{error:?}")))?;
        let remote = Keys::from_text(&said.suite, &said.remote_key)
            .map_err(|error| wrong("remote_key", format!("{error:?}")))?;
        let identifier = octets(&said.remote_mki).ok_or_else(|| wrong("remote_mki", "not hexadecimal".into()))?;
        let remote = remote
            .with_identifier(&identifier)
            .map_err(|error| wrong("remote_mki", format!("{error:?}")))?;
        // One key both ways would mean one keystream for two packets as soon as both ends chose the same SSRC.
        if local.same_master(&remote) {
            return Err(wrong("remote_key", "it is the local one".into()));
        }
        Ok(Self { local, remote })
    }
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// The encryption of one stream.
#[derive(Debug)]
pub struct Channel {
    pub outbound: Outbound,
    pub inbound: Inbound,
}

impl Channel {
    pub fn new(agreed: &Agreed) -> Self {
        Self {
            outbound: Outbound::new(&agreed.local),
            inbound: Inbound::new(&agreed.remote),
        }
    }

    /// Take what was agreed anew. True when our own key is another one: then the stream wants a new SSRC (`Outbound::rekey`).
    pub fn rekey(&mut self, agreed: &Agreed, now: Nanos) -> bool {
        self.inbound.rekey(&agreed.remote, now);
        self.outbound.rekey(&agreed.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl Fn(&mut SrtpKeys)) -> Result<Agreed, String> {
        let mut said = SrtpKeys {
            suite: "AES_CM_128_HMAC_SHA1_80".into(),
            local_key: "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR".into(),
            remote_key: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz".into(),
            remote_mki: "01".into(),
        };
        change(&mut said);
        Agreed::new(&said)
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused_without_showing_them() {
        let refused = |change: fn(&mut SrtpKeys)| said(change).expect_err("refused");
        assert!(said(|_| ()).is_ok());
        assert_eq!(refused(|it| it.suite = "X".into()), "local_key of X: UnknownSuite");
        let suite = "AES_CM_128_HMAC_SHA1_80";
        assert_eq!(
            refused(|it| it.local_key = "no".into()),
            format!("local_key of {suite}: NotBase64")
        );
        assert_eq!(
            refused(|it| it.remote_key = "AAAA".into()),
            format!("remote_key of {suite}: WrongLength")
        );
        assert_eq!(
            refused(|it| it.remote_mki = "1".into()),
            format!("remote_mki of {suite}: not hexadecimal")
        );
        assert_eq!(
            refused(|it| it.remote_mki = "é".into()),
            format!("remote_mki of {suite}: not hexadecimal")
        );
        assert_eq!(
            refused(|it| it.remote_mki = "00".repeat(129)),
            format!("remote_mki of {suite}: Identifier")
        );
        let reflected = refused(|it| it.remote_key = it.local_key.clone());
        assert_eq!(reflected, format!("remote_key of {suite}: it is the local one"));
    }

    #[test]
    fn only_another_key_of_our_own_asks_for_a_new_ssrc() {
        let agreed = said(|_| ()).expect("keys");
        let mut channel = Channel::new(&agreed);
        assert!(!channel.rekey(&agreed, 0));
        let theirs = said(|it| it.remote_key = "V".repeat(40)).expect("keys");
        assert!(!channel.rekey(&theirs, 0));
        let ours = said(|it| it.local_key = "V".repeat(40)).expect("keys");
        assert!(channel.rekey(&ours, 0));
    }
}
