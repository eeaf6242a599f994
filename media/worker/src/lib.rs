//! The media worker of dialplane. `docs/media.md` walks a packet through it.
//!
//! The modules stand in their order: each uses those above it and none below (`tests/architecture.rs` holds that).

// A test's name is its rule and, after two underscores, the rule's source.
#![cfg_attr(test, allow(non_snake_case))]

pub mod clock;
pub mod log;
pub mod options;
pub mod random;

pub mod protocol;

pub mod sys;

pub mod net;
mod slab;

pub mod codec;
pub mod rtp;

pub mod audio;
pub mod quality;
pub mod srtp;

pub mod dtmf;
pub mod playback;
pub mod session;

pub mod outbox;

pub mod forward;
pub mod record;

mod stream;

mod thread;

pub mod args;
pub mod control;

#[cfg(test)]
mod testing;
