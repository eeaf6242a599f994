//! The golden frames that the tests of both sides of the protocol read. See `tests/unit/media/test_engine.py`.

#![allow(clippy::expect_used)] // a test that cannot go on says where

use std::path::Path;

use dialplane_media::protocol::{decode_command, encode, Command, Event};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Golden {
    name: String,
    kind: String,
    hex: String,
    json: serde_json::Value,
}

fn golden(kind: &str) -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/media/frames.json");
    let text = std::fs::read_to_string(path).expect("the golden file");
    let all: Vec<Golden> = serde_json::from_str(&text).expect("JSON");
    all.into_iter().filter(|one| one.kind == kind).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let pair = |index: usize| u8::from_str_radix(&hex[index..index + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// A frame says the same as its JSON, and what we make of it is the same frame, octet by octet.
fn agree<T: Serialize + DeserializeOwned>(golden: &Golden, decode: impl Fn(&[u8]) -> T) {
    let frame = octets(&golden.hex);
    let message = decode(&frame[4..]);
    let as_json = serde_json::to_value(&message).expect("JSON");
    assert_eq!(as_json, golden.json, "{}", golden.name);
    let from_json: T = serde_json::from_value(golden.json.clone()).expect("our message");
    assert_eq!(encode(&from_json), frame, "{}", golden.name);
}

#[test]
fn commands_read_and_write_as_the_golden_frames() {
    for one in golden("command") {
        agree::<Command>(&one, |body| decode_command(body).expect(&one.name));
    }
}

#[test]
fn events_read_and_write_as_the_golden_frames() {
    for one in golden("event") {
        agree::<Event>(&one, |body| rmp_serde::from_slice(body).expect(&one.name));
    }
}

#[test]
fn every_message_has_a_golden_frame() {
    let tags = |kind: &str| {
        let mut tags: Vec<String> = golden(kind)
            .iter()
            .map(|one| one.json["t"].as_str().expect("a tag").to_owned())
            .collect();
        tags.sort();
        tags.dedup();
        tags
    };
    assert_eq!((tags("command").len(), tags("event").len()), (21, 16));
}
