//! Protects and unprotects what it reads, so that the tests can set the worker's SRTP against another implementation.
//!
//! One request a line, one answer a line. NAME is a direction under keys of its own.
//!
//!     out NAME SUITE BASE64 [MKI]      keys for sending; again: other keys
//!     in NAME SUITE BASE64 [MKI]       keys for receiving; again: other keys
//!     protect NAME HEX                 also protect_control, unprotect, unprotect_control: RTCP
//!
//! Answers are `ok`, the packet in hexadecimal digits, or `!` and a reason.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use dialplane_media::srtp::{Inbound, KeyError, Keys, Outbound, MAX_TRAILER};

#[derive(Default)]
struct Peer {
    out: HashMap<String, Outbound>,
    inbound: HashMap<String, Inbound>,
}

impl Peer {
    fn answer(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["out", name, suite, master, ref identifier @ ..] => {
                let keys = keys(suite, master, identifier)?;
                let known = self.out.entry(name.to_owned()).or_insert_with(|| Outbound::new(&keys));
                known.rekey(&keys);
                Ok("ok".into())
            }
            ["in", name, suite, master, ref identifier @ ..] => {
                let keys = keys(suite, master, identifier)?;
                let known = self
                    .inbound
                    .entry(name.to_owned())
                    .or_insert_with(|| Inbound::new(&keys));
                known.rekey(&keys, 0);
                Ok("ok".into())
            }
            [act @ ("protect" | "protect_control"), name, packet] => {
                let outbound = self.out.get_mut(name).ok_or("no such name")?;
                let mut buffer = from_hex(packet)?;
                let length = buffer.len();
                buffer.resize(length + MAX_TRAILER, 0);
                let done = match act {
                    "protect" => outbound.protect(&mut buffer, length),
                    _ => outbound.protect_rtcp(&mut buffer, length),
                };
                done.map(|length| to_hex(&buffer[..length]))
                    .map_err(|refused| format!("{refused:?}"))
            }
            [act @ ("unprotect" | "unprotect_control"), name, packet] => {
                let inbound = self.inbound.get_mut(name).ok_or("no such name")?;
                let mut buffer = from_hex(packet)?;
                let done = match act {
                    "unprotect" => inbound.unprotect(&mut buffer, 0),
                    _ => inbound.unprotect_rtcp(&mut buffer, 0),
                };
                done.map(|length| to_hex(&buffer[..length]))
                    .map_err(|refused| format!("{refused:?}"))
            }
            _ => Err("no such request".into()),
        }
    }
}

fn keys(suite: &str, master: &str, identifier: &[&str]) -> Result<Keys, String> {
    let keys = Keys::from_text(suite, master).and_then(|keys| match identifier {
        [] => Ok(keys),
        [octets, ..] => keys.with_identifier(&from_hex(octets).map_err(|_| KeyError::Identifier)?),
    });
    keys.map_err(|error| format!("{error:?}"))
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let octet = |at| {
        text.get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or("not hexadecimal")
    };
    (0..text.len())
        .step_by(2)
        .map(|at| octet(at).map_err(str::to_owned))
        .collect()
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn main() -> std::io::Result<()> {
    let mut peer = Peer::default();
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        match peer.answer(&line?) {
            Ok(answer) => writeln!(answers, "{answer}")?,
            Err(reason) => writeln!(answers, "! {reason}")?,
        }
        answers.flush()?;
    }
    Ok(())
}
