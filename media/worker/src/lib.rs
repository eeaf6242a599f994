//! The media worker of dialplane. `docs/media.md` walks a packet through it.

// A test's name is its rule and, after two underscores, the rule's source.
#![cfg_attr(test, allow(non_snake_case))]

pub mod args;
pub mod arrivals;
pub mod clock;
pub mod codec;
pub mod control;
mod control_traffic;
pub mod dtmf;
pub mod dtmf_inband;
pub mod ear;
pub mod flood;
pub mod forward;
pub mod hearing;
pub mod jitter;
mod key_way;
mod keys;
pub mod latch;
pub mod log;
pub mod mix;
pub mod net;
pub mod play;
pub mod plc;
pub mod ports;
pub mod prompts;
pub mod protocol;
pub mod quality;
pub mod random;
pub mod reception;
pub mod record;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod sending;
pub mod session;
mod slab;
pub mod speaking;
pub mod srtp;
mod stream;
pub mod sys;
mod tasks;
#[cfg(test)]
mod testing;
pub mod tones;
pub mod wav;
mod wheel;
mod worker;
mod writer;
