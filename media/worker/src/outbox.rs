//! The way from all other threads to the control thread: through a channel and a wake-up of its loop, at call rate. Names are
//! shared strings, so that an event costs no copy of them where it is made.

use std::sync::mpsc::Sender;
use std::sync::Arc;

use crate::playback::prompts::Loaded;
use crate::protocol::{Event, Name};
use crate::sys::Waker;

/// What comes back.
#[derive(Debug)]
pub enum Up {
    Event(Event),
    /// The files of a play were read.
    Loaded(Loaded),
    /// The kernel forwards what the peer of a stream says, or does not any more.
    Forwarded {
        stream: Name,
        forwarded: bool,
    },
    /// A mix was ended by a bug, and these are out of it.
    Dissolved {
        mix: Name,
        streams: Vec<Name>,
    },
    /// A media thread, or the writer, has ended after `Stop`.
    Stopped,
}

/// The way up, with its wake-up.
#[derive(Debug, Clone)]
pub struct Outbox {
    up: Sender<Up>,
    waker: Arc<Waker>,
}

impl Outbox {
    pub fn new(up: Sender<Up>, waker: Arc<Waker>) -> Self {
        Self { up, waker }
    }

    pub fn tell(&self, event: Event) {
        self.send(Up::Event(event));
    }

    pub fn send(&self, up: Up) {
        // The control thread ends last; a failure means that nobody is left to be told.
        if self.up.send(up).is_ok() {
            self.waker.wake();
        }
    }
}
